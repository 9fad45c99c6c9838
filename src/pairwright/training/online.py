"""The loop over a policy's own answers: sample, score, update, log, save; resume to the same bits.

A step is one batch of prompts: K answers to each, their scores, the update on them. It is a function of the trained
weights, the optimisers' states, the divergence's coefficient and the step number, so a checkpoint holds just these and
the lengths of the logs, and is saved between steps: a run that is killed while it samples, scores, updates or saves
goes on from the last one, and draws the same answers again.

Left out: who samples and who scores (they are arguments), printing (the recipe's callbacks), several processes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pairwright.backbone.roles import Roles
from pairwright.errors import Interrupted
from pairwright.objectives import ppo
from pairwright.tokens.batches import step_indices, steps_per_epoch
from pairwright.training import checkpoints, step
from pairwright.training.forwards import Objective
from pairwright.training.logs import LineLog
from pairwright.training.offline import LOGS
from pairwright.training.online_metrics import rollout_metrics, value_metrics
from pairwright.training.rollouts import Answer, Prompt, Rollout, Sampler, Scorer, collect, targets
from pairwright.training.state import compare_fingerprints, restore, snapshot
from pairwright.training.updates import Learners, update

ONCE = ("kl_coef", "distinct", "num_tokens", "sampler_difference", "sampler_difference_max")
"""Metrics that say nothing new of held-out prompts, which get one answer each."""
EVALUATION = 999_999_937
"""Stands in the seed of held-out answers where a training step's number would: the same draws in every evaluation."""


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know; RlhfConfig explains each."""

    steps: int
    per_step: int
    samples: int
    temperature: float
    tokens_per_batch: int
    learning_rate: float
    value_learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    max_grad_norm: float
    seed: int
    save_every: int
    keep: int
    eval_every: int
    sampler_tolerance: float


@dataclass(frozen=True)
class Callbacks:
    """How the recipe listens in."""

    logged: Callable[[int, dict[str, float]], None] = lambda *_: None
    """After every step and evaluation, with the step (counted from 1) and its metrics."""
    phase: Callable[[int, str], None] = lambda *_: None
    """When a phase of a step (counted from 1) begins, or has come on."""
    describe: Callable[[Prompt, Answer], dict[str, Any]] = lambda *_: {}
    """An answer as a line of samples.jsonl."""
    stop: Callable[[], int] = lambda: 0
    """Number of the signal that has asked the run to save and end; 0 as long as none has."""


@dataclass
class _State:
    """What a step changes, besides weights."""

    kl_coef: float
    last: dict[str, float]


def run(
    roles: Roles,
    objective: Objective,
    train: Sequence[Prompt],
    held_out: Sequence[Prompt],
    sampler: Sampler,
    scorer: Scorer,
    settings: Settings,
    folder: Path,
    fingerprint: dict[str, Any],
    *,
    shown: int = 0,
    checkpoint: Path | None = None,
    callbacks: Callbacks | None = None,
) -> dict[str, float]:
    """Train to `settings.steps`, from `checkpoint` where one is given. Returns the last step's metrics together with
    the last evaluation's. The first `shown` held-out prompts' answers (of the training prompts where nothing is held
    out) go to samples.jsonl at every evaluation.

    Raises NonFiniteError, ParityError, CheckpointError (a checkpoint of another run), StorageError, Interrupted after a
    save when `callbacks.stop` said so, and what sampler and scorer raise.
    """
    loop = _Loop(roles, objective, sampler, scorer, settings, _learners(roles, objective, settings))
    state = _State(objective.options.kl_coef, {})
    done, lengths = 0, dict.fromkeys(LOGS, 0)
    if checkpoint is not None:
        done, lengths = _restore(loop, state, fingerprint, checkpoint)
    loop.callbacks = callbacks = callbacks or Callbacks()
    logs = {name: LineLog(folder / name, lengths[name]) for name in LOGS}

    def note(entry: dict[str, Any]) -> None:
        state.last.update({k: v for k, v in entry.items() if k != "step"})
        logs["metrics.jsonl"].append(entry)
        callbacks.logged(entry["step"], entry)

    def look(number: int) -> None:
        prompts = held_out or train[:shown]
        if not prompts:
            return
        rollout = loop.roll_out(prompts, 1, [settings.seed, EVALUATION], values=False)
        if held_out:
            metrics = rollout_metrics(rollout, state.kl_coef)
            note({"step": number, **{f"eval_{name}": metrics[name] for name in metrics if name not in ONCE}})
        for prompt, own, score in list(zip(prompts, rollout.answers, rollout.scores.tolist()))[:shown]:
            logs["samples.jsonl"].append({"step": number, **callbacks.describe(prompt, own[0]), "score": score})

    try:
        if done == 0:
            look(0)
        for number in range(done, settings.steps):
            finished = number + 1
            metrics, seconds = loop.train(train, number, state)
            epoch = round(finished / steps_per_epoch(len(train), settings.per_step), 6)
            note({"step": finished, "epoch": epoch, **metrics})
            logs["timings.jsonl"].append({"step": finished, **seconds, "tokens": metrics["tokens_computed"]})
            ending = finished == settings.steps
            if ending or finished % settings.eval_every == 0:
                look(finished)
            stopping = callbacks.stop()
            if ending or stopping or finished % settings.save_every == 0:
                callbacks.phase(finished, "saving")
                _save(loop, state, fingerprint, folder, finished, logs)
            if stopping and not ending:
                where = folder / "checkpoints" / f"step-{finished:06d}"
                message = (
                    f"stopped as asked after step {finished} of {settings.steps}; saved in {where}. Go on with --resume"
                )
                raise Interrupted(message, stopping)
        return state.last
    finally:
        for log in logs.values():
            log.close()


@dataclass
class _Loop:
    roles: Roles
    objective: Objective
    sampler: Sampler
    scorer: Scorer
    settings: Settings
    learners: Learners
    callbacks: Callbacks = field(default_factory=Callbacks)

    def train(self, train: Sequence[Prompt], number: int, state: _State) -> tuple[dict[str, float], dict[str, float]]:
        """Step `number`, from 0: its metrics, and the seconds of its phases."""
        s, o = self.settings, self.objective.options
        seconds: dict[str, float] = {}
        prompts = [train[i] for i in step_indices(number, len(train), s.per_step, s.seed)]
        seed = [s.seed, number]
        phase = lambda name: self.callbacks.phase(number + 1, name)  # noqa: E731
        rollout = self.roll_out(
            prompts, s.samples, seed, values=self.objective.module.VALUE, phase=phase, seconds=seconds
        )
        metrics = rollout_metrics(rollout, state.kl_coef)
        began = time.perf_counter()
        pulled = targets(self.objective, rollout, state.kl_coef)
        if rollout.values is not None and pulled.returns is not None:
            metrics |= value_metrics(rollout.values, pulled.returns)
        rate = step.learning_rate_at(number, s.steps, 1.0, s.schedule, s.warmup)
        updated = update(
            self.roles,
            self.objective,
            self.learners,
            rollout,
            pulled,
            temperature=s.temperature,
            tokens_per_batch=s.tokens_per_batch,
            seed=seed,
            learning_rate=rate * s.learning_rate,
            value_learning_rate=rate * s.value_learning_rate,
            progress=lambda at, total: phase(f"update {at}/{total}"),
        )
        seconds["update"] = time.perf_counter() - began
        updated["tokens_computed"] += rollout.tokens
        target = getattr(o, "target_kl", None)
        state.kl_coef = ppo.steered(state.kl_coef, metrics["kl"], len(rollout.lengths), target)
        seconds = {"seconds": sum(seconds.values()), **seconds}
        return {**metrics, **updated, "learning_rate": rate * s.learning_rate}, seconds

    def roll_out(
        self,
        prompts: Sequence[Prompt],
        samples: int,
        seed: list[int],
        *,
        values: bool,
        phase: Callable[[str], None] = lambda *_: None,
        seconds: dict[str, float] | None = None,
    ) -> Rollout:
        """Sample, score, and read off what the roles say."""
        seconds = {} if seconds is None else seconds
        phase("sampling")
        with _timed(seconds, "sampling"):
            answers = self.sampler(prompts, samples, _number(seed))
        phase("scoring")
        with _timed(seconds, "scoring"):
            scored = self.scorer(prompts, answers)
        phase("reading")
        with _timed(seconds, "reading"):
            return collect(
                self.roles,
                prompts,
                answers,
                scored,
                values=values,
                temperature=self.settings.temperature,
                minibatches=self.objective.options.minibatches,
                tokens_per_batch=self.settings.tokens_per_batch,
                seed=seed,
                bound=self.settings.sampler_tolerance,
            )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


def _number(seed: Sequence[int]) -> int:
    """One number that stands for several."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _learners(roles: Roles, objective: Objective, settings: Settings) -> Learners:
    def optimiser(parameters: step.Parameters, learning_rate: float) -> step.Optimiser:
        return step.make_optimiser(
            parameters,
            learning_rate=learning_rate,
            weight_decay=settings.weight_decay,
            max_norm=settings.max_grad_norm,
            half=roles.policy.dtype == torch.float16,
        )

    policy = roles.policy_parameters()
    value = roles.value_parameters() if objective.module.VALUE else {}
    return Learners(
        policy,
        optimiser(policy, settings.learning_rate),
        value,
        optimiser(value, settings.value_learning_rate) if value else None,
    )


def _save(
    loop: _Loop, state: _State, fingerprint: dict[str, Any], folder: Path, finished: int, logs: dict[str, LineLog]
) -> None:
    learners = loop.learners
    tensors = snapshot(learners.policy_optimiser)
    scalers = {"policy": learners.policy_optimiser.scaler.state_dict()}
    skipped = {"policy": learners.policy_optimiser.skipped}
    if learners.value_optimiser is not None:
        tensors |= {f"value-{name}": group for name, group in snapshot(learners.value_optimiser).items()}
        scalers["value"] = learners.value_optimiser.scaler.state_dict()
        skipped["value"] = learners.value_optimiser.skipped
    entry = {
        "step": finished,
        "fingerprint": fingerprint,
        "logs": {name: log.sync() for name, log in logs.items()},
        "last": state.last,
        "kl_coef": state.kl_coef,
        "scaler": scalers,
        "skipped": skipped,
    }
    checkpoints.save(folder / "checkpoints", finished, tensors, entry, keep=loop.settings.keep)


def _restore(loop: _Loop, state: _State, fingerprint: dict[str, Any], checkpoint: Path) -> tuple[int, dict[str, int]]:
    """Weights, optimisers and state of a checkpoint; returns the steps done and the lengths of the logs."""
    tensors, saved = checkpoints.load(checkpoint)
    compare_fingerprints(saved["fingerprint"], fingerprint, checkpoint)
    learners = loop.learners
    for role, parameters, optimiser, prefix in (
        ("policy", learners.policy, learners.policy_optimiser, ""),
        ("value", learners.value, learners.value_optimiser, "value-"),
    ):
        if optimiser is not None:
            groups = {name: tensors[f"{prefix}{name}"] for name in ("weights", "optimizer")}
            own = {"scaler": saved["scaler"][role], "skipped": saved["skipped"][role]}
            restore(parameters, optimiser, groups, own)
    state.kl_coef, state.last = saved["kl_coef"], saved["last"]
    return saved["step"], saved["logs"]
