"""What a run takes, part by part: one arithmetic for `pairwright plan` and for the choices of `pairwright train`.

A step has three moments: a batch is computed, the optimiser steps, answers are sampled. What does not change between
them is counted once; the highest of the three decides. docs/planning.md tells how far off this was.
"""

from dataclasses import dataclass, field
from typing import Literal

from pairwright.planning import activations as act
from pairwright.planning import peak
from pairwright.planning.activations import Attention, Setting
from pairwright.planning.architectures import Model
from pairwright.planning.batch import Batch
from pairwright.planning.hardware import Gpu
from pairwright.planning.weights import Adapters, Sum, Trained, Tuning, base_weights

Reference = Literal["none", "cache", "live"]

MARGIN = 0.92
"""Share of a GPU's memory, less its context, that is planned with. The rest is for gaps between allocations."""
UNKNOWN = 1.5
"""Activations of an architecture that is not written out here are taken this much higher."""


@dataclass(frozen=True)
class Part:
    name: str
    bytes: int
    how: str
    """The arithmetic."""


@dataclass(frozen=True)
class Roles:
    """What PPO and its kin need beside the policy, as adapters and heads on the same base."""

    value: bool = False
    rewards: int = 0
    sequences: int = 0
    """Answers that are sampled at once."""
    length: int = 0
    """Tokens of the longest, with its prompt: what the keys' and values' cache has to hold."""


@dataclass(frozen=True)
class Run:
    """What is to be run: everything that decides memory besides model and batch."""

    tuning: Tuning
    width: int
    """Bytes of a weight that is not quantised, and of an activation."""
    checkpointing: bool
    attention: Attention
    adapters: Adapters
    reference: Reference = "cache"
    continued: bool = False
    """Training goes on from an adapter, whose frozen copy is then the reference where that is live."""
    roles: Roles = field(default_factory=Roles)

    @property
    def setting(self) -> Setting:
        adapters = None if self.tuning == "full" else self.adapters
        return Setting(self.tuning, self.width, self.checkpointing, self.attention, adapters)


@dataclass(frozen=True)
class Memory:
    """The parts at the highest moment, and what the others would be."""

    parts: tuple[Part, ...]
    moment: str
    moments: dict[str, int]
    """Total bytes at each moment."""

    @property
    def total(self) -> int:
        return sum(part.bytes for part in self.parts)


def attention_on(gpu: Gpu, model: Model, width: int) -> Attention:
    """The attention that backbone/attention.py takes there, as far as memory goes."""
    if model.softcap or not model.whole:
        return "math"
    if gpu.name == "cpu":
        return cpu_attention(model, width)
    if gpu.bf16:
        return "varlen"
    # The memory-efficient kernel takes grouped heads from torch 2.14 on; before, scores are made in float32.
    return "flash" if model.heads == model.kv_heads else "math"


def cpu_attention(model: Model, width: int) -> Attention:
    if model.softcap:
        return "math"
    return "flash" if width == 2 else "blockwise" if model.family.fused else "products"


def memory(model: Model, run: Run, batch: Batch) -> Memory:
    """Bytes of `run` on `batch`, without the CUDA context."""
    still = resident(model, run)
    moments = {"a batch": _computing(model, run, batch), "the optimiser's step": _stepping(model, run)}
    if run.roles.sequences:
        moments["sampling"] = _sampling(model, run)
    totals = {name: sum(part.bytes for part in (*still, *parts)) for name, parts in moments.items()}
    highest = max(totals, key=lambda name: totals[name])
    return Memory(tuple(p for p in (*still, *moments[highest]) if p.bytes), highest, totals)


def trained(model: Model, run: Run) -> Trained:
    """The policy's trained parameters, and the value role's (its adapter is float32 as well, and its head)."""
    if run.tuning == "full":
        return Trained(model.parameters, run.width)
    return Trained(run.adapters.parameters(model), run.adapters.width)


def resident(model: Model, run: Run) -> list[Part]:
    """What is there all the time."""
    parts = [_part("weights", base_weights(model, run.tuning, run.width))]
    learns, adapter = trained(model, run), run.adapters.parameters(model)
    if run.tuning != "full":
        parts.append(Part("adapter", 4 * adapter, f"{adapter:,} at rank {run.adapters.r} x 4"))
    parts += _reference(model, run, adapter)
    roles, head = run.roles, 4 * model.hidden
    if roles.value:
        parts.append(Part("value role", 4 * adapter + head, f"adapter {adapter:,} x 4 + head {model.hidden:,} x 4"))
    if roles.rewards:
        each = 4 * adapter + head
        parts.append(Part("reward role", roles.rewards * each, f"{roles.rewards} x (adapter x 4 + head x 4)"))
    parts.append(_part("float32 masters", learns.masters))
    parts.append(_part("AdamW moments", learns.moments))
    if roles.value:
        parts.append(Part("value's moments", 2 * (4 * adapter + head), f"{adapter + model.hidden:,} x (4 + 4)"))
    return parts


def _reference(model: Model, run: Run, adapter: int) -> list[Part]:
    """A frozen copy where one is needed: of the model, of an adapter that training goes on from. A cached reference,
    and the base with its adapter off, take nothing."""
    if run.tuning == "full" and (run.reference == "live" or run.roles.value or run.roles.sequences):
        return [Part("reference copy", model.parameters * run.width, f"{model.parameters:,} weights x {run.width}")]
    if run.continued and (run.reference == "live" or run.roles.sequences):
        return [Part("reference adapter", 4 * adapter, f"{adapter:,} x 4")]
    return []


def _computing(model: Model, run: Run, batch: Batch) -> list[Part]:
    highest = peak.highest(model, run.setting, batch)
    more = 1.0 if model.whole else UNKNOWN
    parts = [_part("gradients", trained(model, run).gradients)]
    if run.roles.value:
        size = run.adapters.parameters(model) + model.hidden
        parts.append(Part("value's gradients", 4 * size, f"{size:,} x 4"))
    layers = f"{highest.layers / batch.tokens:,.0f} a token over {model.layers} layers x {batch.tokens:,} tokens"
    parts.append(Part("activations", int(more * highest.layers), layers + _checkpointed(run)))
    parts.append(Part("around the layers", int(more * highest.head), "last norm, scored rows, masks, angles"))
    rows = min(batch.scored, act.chunk_rows(model))
    chunks = f"{highest.logits / (4 * rows * model.vocabulary):g} x " if highest.logits else "0 x "
    parts.append(Part("logits", highest.logits, chunks + f"{rows:,} rows x {model.vocabulary:,} x 4"))
    parts.append(Part("made on the way", int(more * highest.passing), f"highest in the {highest.moment}"))
    if run.tuning == "qlora":
        largest = max(linear.weights for linear in model.linears)
        parts.append(Part("unpacked matrix", largest * run.width, f"{largest:,} x {run.width}, one at a time"))
    return parts


def _checkpointed(run: Run) -> str:
    return " (their inputs, and one layer whole)" if run.checkpointing else ""


def _stepping(model: Model, run: Run) -> list[Part]:
    parts = [_part("gradients", trained(model, run).stepping)]
    if run.roles.value:
        size = run.adapters.parameters(model) + model.hidden
        parts.append(Part("value's gradients", 4 * size, f"{size:,} x 4"))
    return parts


def cache_bytes(model: Model, width: int, sequences: int, length: int) -> int:
    """Keys and values of every token of every layer."""
    return 2 * model.layers * model.keys * width * sequences * length


def _sampling(model: Model, run: Run) -> list[Part]:
    n, length = run.roles.sequences, run.roles.length
    cache = cache_bytes(model, run.width, n, length)
    how = f"2 x {model.layers} layers x {model.keys:,} x {run.width} x {n} answers x {length:,} tokens"
    logits = 2 * n * model.vocabulary * 4
    # While it grows a layer's cache stands twice; one token's pass adds little.
    grows = cache // model.layers
    parts = [
        Part("keys and values", cache, how),
        Part("logits", logits, f"2 x {n} x {model.vocabulary:,} x 4"),
        Part("made on the way", grows, "one layer's cache while it grows"),
    ]
    if run.tuning == "qlora":
        largest = max(linear.weights for linear in model.linears)
        parts.append(Part("unpacked matrix", largest * run.width, f"{largest:,} x {run.width}, one at a time"))
    return parts


def room(gpu: Gpu) -> int:
    """Bytes of a GPU that are planned with."""
    return int(MARGIN * (gpu.total - gpu.context))


def _part(name: str, sum_: Sum) -> Part:
    return Part(name, sum_.bytes, sum_.how)
