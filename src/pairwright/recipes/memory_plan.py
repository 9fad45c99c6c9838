"""How the memory of a run is planned: the sizes of this model and this data, for the arithmetic of planning/ that
`pairwright plan` shows."""

import dataclasses
import math
from typing import Any

import torch

from pairwright.backbone.attention import BLOCK_TOKENS, blocks_of
from pairwright.backbone.load import Backbone
from pairwright.errors import ModelError
from pairwright.planning.activations import Attention
from pairwright.planning.architectures import Model
from pairwright.planning.batch import Batch, Block
from pairwright.planning.choose import Choice, Need, choose, without_estimate
from pairwright.planning.memory import Reference, Roles, Run, cpu_attention, memory
from pairwright.planning.weights import Adapters
from pairwright.recipes import inventory
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import Data
from pairwright.recipes.rlhf_config import RlhfConfig
from pairwright.tokens import trie
from pairwright.tokens.trie import Trie
from pairwright.training.forwards import Objective


def plan(
    config: TrainConfig, objective: Objective, backbone: Backbone, data: Data, before: dict[str, Any] | None
) -> Choice:
    """Token budget and gradient checkpointing. `before` is what the run that is resumed had chosen."""
    return said(_plan(config, objective, backbone, data, before), before)


def asked(config: TrainConfig | RlhfConfig, before: dict[str, Any] | None) -> tuple[int | None, str]:
    """Token budget and gradient checkpointing that are given; else those of the run that is resumed, because with
    other micro-batches sums round differently."""
    tokens, checkpointing = config.tokens_per_batch, config.gradient_checkpointing
    if before is None:
        return tokens, checkpointing
    return (
        before["tokens_per_batch"] if tokens is None else tokens,
        before["gradient_checkpointing"] if checkpointing == "auto" else checkpointing,
    )


def said(choice: Choice, before: dict[str, Any] | None) -> Choice:
    """The choice, with a line where it is not that of the run that is resumed."""
    now = (choice.tokens_per_batch, "on" if choice.checkpointing else "off")
    if before is None or now == (before["tokens_per_batch"], before["gradient_checkpointing"]):
        return choice
    line = (
        f"resume: the run goes on with other micro-batches ({now[0]:,} tokens, gradient checkpointing {now[1]}; before "
        f"{before['tokens_per_batch']:,}, {before['gradient_checkpointing']}). The last digits may differ from an "
        "uninterrupted run's, and with them what dropout and sampling draw"
    )
    return dataclasses.replace(choice, line=f"{choice.line}\n{line}")


def _plan(
    config: TrainConfig, objective: Objective, backbone: Backbone, data: Data, before: dict[str, Any] | None
) -> Choice:
    sizes = sorted(((trie.size([e], with_last=objective.scored), i) for i, e in enumerate(data.train)), reverse=True)
    longest = sizes[0][0]
    tokens_per_batch, checkpointing = asked(config, before)
    try:
        model = inventory.of_loaded(backbone.base)
    except ModelError as reason:
        return without_estimate(
            str(reason), longest=longest, tokens_per_batch=tokens_per_batch, checkpointing=checkpointing
        )
    reference: Reference = config.reference if objective.module.REFERENCE else "none"
    built = trie.build([data.train[sizes[0][1]]], with_last=objective.scored)
    return choose(
        need(backbone, model, built, reference),
        sum(p.numel() * p.element_size() for p in backbone.model.parameters()),
        free_bytes(backbone.device),
        longest=longest,
        step_tokens=sum(size for size, _ in sizes[: config.pairs_per_step]),
        on_gpu=backbone.device.type == "cuda",
        tokens_per_batch=tokens_per_batch,
        checkpointing=checkpointing,
    )


def need(backbone: Backbone, model: Model, built: Trie, reference: Reference, roles: Roles | None = None) -> Need:
    """What a step takes on top of a loaded backbone, with batches of tries like `built`. `roles`: those beside the
    policy, which are loaded already."""
    attention, adapters = _attention(backbone, model), _adapters(backbone, model)

    def bytes_of(tokens: int, checkpointing: bool) -> int:
        run = Run(
            tuning=backbone.tuning,
            width=backbone.dtype.itemsize,
            checkpointing=checkpointing,
            attention=attention,
            adapters=adapters,
            reference=reference,
            continued=backbone.continued,
            roles=roles or Roles(),
        )
        batch = of_batch(built, backbone.backend, max(1, math.ceil(tokens / len(built))))
        there = {"weights", "adapter"}  # loaded already
        if roles is not None:
            there |= {"value role", "reward role", "reference copy", "reference adapter"}
        return sum(part.bytes for part in memory(model, run, batch).parts if part.name not in there)

    return bytes_of


def _attention(backbone: Backbone, model: Model) -> Attention:
    """What backbone/attention.py or transformers computes there, by what it keeps."""
    if backbone.backend in ("varlen", "flex") and not model.softcap:
        return "varlen"
    if backbone.device.type != "cpu" or model.softcap or not model.whole:
        return "flash" if model.heads == model.kv_heads and not model.softcap else "math"
    return "flash" if backbone.backend == "rows" else cpu_attention(model, backbone.dtype.itemsize)


def _adapters(backbone: Backbone, model: Model) -> Adapters:
    """The adapter that is trained, as peft made or read it."""
    if backbone.tuning == "full":
        return Adapters()
    config = backbone.model.peft_config[backbone.model.active_adapter]
    targets = config.target_modules
    names = [linear.name for linear in model.linears]
    if isinstance(targets, str):  # all-linear, or a pattern: whatever it leaves out only makes it less
        return Adapters(config.r)
    chosen = [n for n in dict.fromkeys(names) if any(t == n or t.endswith(f".{n}") for t in targets)]
    return Adapters(config.r, ",".join(chosen)) if chosen else Adapters(config.r)


def of_batch(built: Trie, backend: str, copies: int = 1) -> Batch:
    """The sizes of `copies` tries like this one, as that attention backend sees them."""
    rows = sum(len(path) for path in built.paths)
    if backend == "rows":
        width = max(len(path) for path in built.paths)
        row = Block(width, width, masked=True, count=copies * built.sequences)
        padded = copies * built.sequences * width
        return Batch(padded, copies * len(built.source), copies * len(built.source), copies * rows, (row,))
    blocks = blocks_of(built, 0 if backend in ("varlen", "flex") else BLOCK_TOKENS)
    return Batch(
        copies * len(built),
        copies * len(set(built.source.tolist())),
        copies * len(built.source),
        copies * rows,
        tuple(
            Block(
                queries=b.stop - b.start,
                keys=b.stop - b.start + sum(blocks[i].stop - blocks[i].start for i in b.ancestors),
                masked=bool(b.ancestors) or not b.causal,
                joined=bool(b.ancestors),
                count=copies,
            )
            for b in blocks
        ),
    )


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available
