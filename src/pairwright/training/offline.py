"""The loop over fixed data: step, log, evaluate, sample, save; resume to the same bits.

A step is a pure function of the weights, the optimiser's state and the step number (order and dropout are seeded by
it), so a checkpoint holds just these and the lengths of the logs.

Left out: what the batches are made of and what the loss is (forwards.py), printing (the recipe's callbacks).
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

import torch
from torch import Tensor

from pairwright.backbone.load import Backbone
from pairwright.errors import Interrupted, NonFiniteError, SpikeError
from pairwright.tokens.batches import micro_batches, step_indices, steps_per_epoch
from pairwright.tokens.labelled import partners
from pairwright.tokens.sequences import Example, count
from pairwright.training import checkpoints, step
from pairwright.training.forwards import Objective, References, forward, log_ratio_sum
from pairwright.training.logs import LineLog
from pairwright.training.monitors import EXTREMES, combined, over_processes, per_example
from pairwright.training.spikes import Watch
from pairwright.training.state import compare_fingerprints, restore, snapshot
from pairwright.training.step import Forward

LOGS = ("metrics.jsonl", "timings.jsonl", "samples.jsonl")


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know; TrainConfig explains each."""

    steps: int
    per_step: int
    tokens_per_batch: int
    learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    max_grad_norm: float
    seed: int
    save_every: int
    keep: int
    eval_every: int
    spike_limit: float = 50.0


@dataclass(frozen=True)
class World:
    """The processes of a run. Each computes its share of a step's examples; gradients are summed."""

    rank: int = 0
    size: int = 1
    reduce: Callable[[Tensor], Tensor] | None = None
    """Sum over the processes; None for a single one."""

    def share(self, examples: Sequence[Example]) -> Sequence[Example]:
        return examples[self.rank :: self.size]

    def largest(self, values: Tensor) -> Tensor:
        """(n,) the largest of each over the processes."""
        if self.reduce is None:
            return values
        table = values.new_zeros(self.size, len(values))
        table[self.rank] = values
        return self.reduce(table).amax(0)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process says so; all get the same answer."""
        return flag if self.reduce is None else bool(self.reduce(torch.tensor(float(flag), device=device)) > 0)


@dataclass(frozen=True)
class Callbacks:
    """How the recipe listens in."""

    logged: Callable[[int, dict[str, float]], None] = lambda *_: None
    """After every step and evaluation, with the step (counted from 1) and its metrics."""
    samples: Callable[[], Iterable[dict[str, Any]]] = lambda: ()
    """Answers of the model to the fixed prompts."""
    stop: Callable[[], int] = lambda: 0
    """Number of the signal that has asked the run to save and end; 0 as long as none has."""


def run(
    backbone: Backbone,
    objective: Objective,
    train: Sequence[Example],
    held_out: Sequence[Example],
    references: References | None,
    settings: Settings,
    folder: Path,
    fingerprint: dict[str, Any],
    *,
    checkpoint: Path | None = None,
    world: World | None = None,
    callbacks: Callbacks | None = None,
) -> dict[str, float]:
    """Train to `settings.steps`, from `checkpoint` where one is given. Returns the last step's metrics together with
    the last evaluation's.

    Raises NonFiniteError, SpikeError, CheckpointError (a checkpoint of another run: the differences are in the
    message), StorageError, and Interrupted after a save when `callbacks.stop` said so.
    """
    world, callbacks = world or World(), callbacks or Callbacks()
    parameters = backbone.trainable()
    optimiser = step.make_optimiser(
        parameters,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_norm=settings.max_grad_norm,
        half=backbone.dtype == torch.float16,
    )
    watch = Watch(settings.spike_limit)
    state: dict[str, Any] = {"step": 0, "logs": dict.fromkeys(LOGS, 0), "last": {}, "watch": {}}
    if checkpoint is not None:
        tensors, state = checkpoints.load(checkpoint)
        compare_fingerprints(state["fingerprint"], fingerprint, checkpoint)
        restore(parameters, optimiser, tensors, state)
        watch.seen.update(state["watch"])
    loop = _Loop(backbone, objective, references, parameters, optimiser, settings, world, watch)
    journal = _Journal(folder, world.rank == 0, callbacks, state["logs"], state["last"])
    try:
        if state["step"] == 0:
            _look(0, loop, held_out, journal)
        for number in range(state["step"], settings.steps):
            _one_step(number, loop, train, journal)
            finished = number + 1
            ending = finished == settings.steps
            if ending or finished % settings.eval_every == 0:
                _look(finished, loop, held_out, journal)
            signal = callbacks.stop()
            stopping = world.any(signal > 0, backbone.device)
            if ending or stopping or finished % settings.save_every == 0:
                _save(finished, loop, journal, fingerprint)
            if stopping and not ending:
                where = folder / "checkpoints" / f"step-{finished:06d}"
                message = (
                    f"stopped as asked after step {finished} of {settings.steps}; saved in {where}. Go on with --resume"
                )
                raise Interrupted(message, signal or SIGTERM)
        return journal.last
    finally:
        journal.close()


def _one_step(number: int, loop: "_Loop", train: Sequence[Example], journal: "_Journal") -> None:
    """Compute, change the weights, and log."""
    s = loop.settings
    began = time.perf_counter()
    indices = step_indices(number, len(train), s.per_step, s.seed, loop.objective.labels(train))
    metrics = loop.train([train[i] for i in indices], number)
    seconds = time.perf_counter() - began
    epoch = round((number + 1) / steps_per_epoch(len(train), s.per_step), 6)
    journal.note({"step": number + 1, "epoch": epoch, **metrics})
    timing = {"step": number + 1, "seconds": seconds, "tokens": metrics["tokens_computed"]}
    journal.write("timings.jsonl", timing)


def _look(number: int, loop: "_Loop", held_out: Sequence[Example], journal: "_Journal") -> None:
    """Evaluate and sample as the model stands after `number` steps."""
    if held_out:
        journal.note({"step": number, **loop.evaluate(held_out)})
    for sample in journal.callbacks.samples():
        journal.write("samples.jsonl", {"step": number, **sample})


def _save(number: int, loop: "_Loop", journal: "_Journal", fingerprint: dict[str, Any]) -> None:
    if not journal.logs:
        return  # the first process saves for all
    optimiser = loop.optimiser
    state = {
        "step": number,
        "fingerprint": fingerprint,
        "logs": {name: log.sync() for name, log in journal.logs.items()},
        "last": journal.last,
        "watch": loop.watch.seen,
        "scaler": optimiser.scaler.state_dict(),
        "skipped": optimiser.skipped,
    }
    checkpoints.save(journal.folder / "checkpoints", number, snapshot(optimiser), state, keep=loop.settings.keep)


class _Journal:
    """The logs of a run, which its first process writes, and who else is told."""

    def __init__(
        self, folder: Path, writes: bool, callbacks: Callbacks, lengths: dict[str, int], last: dict[str, float]
    ) -> None:
        self.folder, self.callbacks, self.last = folder, callbacks, last
        self.logs = {name: LineLog(folder / name, lengths[name]) for name in LOGS} if writes else {}

    def write(self, name: str, entry: dict[str, Any]) -> None:
        if name in self.logs:
            self.logs[name].append(entry)

    def note(self, entry: dict[str, Any]) -> None:
        """Metrics of a step or an evaluation."""
        self.last.update({k: v for k, v in entry.items() if k != "step"})
        self.write("metrics.jsonl", entry)
        self.callbacks.logged(entry["step"], entry)

    def close(self) -> None:
        for log in self.logs.values():
            log.close()


@dataclass(frozen=True)
class _Loop:
    """What a step needs besides its examples."""

    backbone: Backbone
    objective: Objective
    references: References | None
    parameters: step.Parameters
    optimiser: step.Optimiser
    settings: Settings
    world: World
    watch: Watch

    def train(self, examples: Sequence[Example], number: int) -> dict[str, float]:
        s = self.settings
        # Dropout is a function of seed, step and process: no generator's state has to be saved.
        torch.manual_seed((s.seed * 1_000_003 + number) * 1_009 + self.world.rank)
        rate = step.learning_rate_at(number, s.steps, s.learning_rate, s.schedule, s.warmup)
        batches, compute = self._work(examples)

        def inspect(sums: dict[str, float], losses: Sequence[Tensor]) -> None:
            metrics = per_example(sums, count(examples))
            if spike := self.watch.spike(metrics):
                raise SpikeError(self.watch.explain(spike, number + 1, metrics, losses, batches))
            self.watch.add(metrics)

        sums = step.take(
            self.optimiser,
            self.parameters,
            batches,
            compute,
            total=self.objective.total(examples),
            learning_rate=rate,
            reduce=self.world.reduce,
            largest=self.world.largest,
            inspect=inspect,
        )
        return {**per_example(sums, count(examples)), "learning_rate": rate}

    def _work(self, examples: Sequence[Example]) -> tuple[list[list[Example]], Callable[[Sequence[Example]], Forward]]:
        """This process's micro-batches, and what to do with each. One that got no example computes the first one for
        nothing: the processes add up tensors, and each has to bring the same ones."""

        def compute(batch: Sequence[Example]) -> Forward:
            out = forward(self.backbone, self.objective, self.references, batch, kl)
            if mine:
                return out
            # An extreme of an example of this step is one of the step's, whoever computed it.
            nothing = {name: value if name in EXTREMES else value * 0 for name, value in out.metrics.items()}
            return Forward(out.losses * 0, nothing, 0)

        mine = self.world.share(examples)
        kl = self._kl(examples)
        tokens = self.settings.tokens_per_batch
        return micro_batches(mine or examples[:1], tokens, with_last=self.objective.scored), compute

    def _kl(self, examples: Sequence[Example]) -> Tensor | None:
        """() how far the policy is from the reference on the mismatched answers of the whole step, not below 0; None
        where the objective does not ask.

        Every loss of the step depends on it, so it comes first, in a pass of its own without gradient: however the
        step is cut or spread over processes, it is one number. Nothing is lost by that: no gradient goes through it.
        """
        if not self.objective.labelled:
            return None
        assert self.references is not None
        mine = partners(self.world.share(examples))
        batches = micro_batches(mine, self.settings.tokens_per_batch)
        total = log_ratio_sum(self.backbone, self.references, batches)
        if self.world.reduce is not None:
            total = self.world.reduce(total)
        return (total / len(examples)).clamp(min=0)

    @torch.no_grad()
    def evaluate(self, examples: Sequence[Example]) -> dict[str, float]:
        """The same metrics over held-out examples, named eval_... Raises NonFiniteError naming the example."""
        self.backbone.model.eval()
        sums: dict[str, Tensor] = {}
        losses = []
        batches, compute = self._work(examples)
        for batch in batches:
            out = compute(batch)
            losses.append(out.losses)
            values = {**out.metrics, "loss": out.losses.sum()}
            sums = combined(sums, {name: value.double() for name, value in values.items()})
        self.backbone.model.train()
        names, numbers = over_processes(sums, self.world.reduce, self.world.largest)
        found = dict(zip(names, numbers.tolist()))
        if odd := [name for name, value in found.items() if not math.isfinite(value)]:
            what = step.not_finite(losses, batches) or f"{odd[0]} is {found[odd[0]]}"
            raise NonFiniteError(f"in the evaluation on held-out examples {what}")
        found["loss"] /= self.objective.total(examples)
        return {f"eval_{name}": value for name, value in per_example(found, count(examples)).items()}
