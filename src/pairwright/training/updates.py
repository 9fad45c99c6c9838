"""From a rollout to new weights: passes over its examples, a step of the policy and one of the value role each.

Losses are divided by totals of the whole optimiser step (training/step.py), so cutting it into micro-batches changes
nothing. Policy and value role have an optimiser each: other learning rates, other gradient norms.

Legend: n examples of a micro-batch, S tokens of all their answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pairwright.backbone.roles import Roles
from pairwright.objectives import ppo
from pairwright.objectives.inputs import Sampled
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example
from pairwright.training import step
from pairwright.training.forwards import Objective
from pairwright.training.rollouts import Rollout, Targets, answer_sums, plan_batches
from pairwright.training.step import Forward


@dataclass(frozen=True)
class Learners:
    """What is trained."""

    policy: step.Parameters
    policy_optimiser: step.Optimiser
    value: step.Parameters
    """Empty without a value role."""
    value_optimiser: step.Optimiser | None


@dataclass
class Tally:
    """Sums over all optimiser steps of an update."""

    sums: dict[str, float]
    units: float = 0.0
    """Tokens, or answers, that they are over."""
    steps: int = 0
    first_ratio: float = 0.0
    """Largest |rho - 1| in the first optimiser step."""


def update(
    roles: Roles,
    objective: Objective,
    learners: Learners,
    rollout: Rollout,
    targets: Targets,
    *,
    temperature: float,
    tokens_per_batch: int,
    seed: Sequence[int],
    learning_rate: float,
    value_learning_rate: float,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, float]:
    """All passes over the rollout; the metrics of the update (docs/metrics.md). Raises NonFiniteError."""
    options, tally = objective.options, Tally({})
    slices = rollout.slices()
    passes = [
        plan_batches(rollout.examples, options.minibatches, tokens_per_batch, [*seed, number] if number else seed)
        for number in range(options.update_epochs)
    ]
    planned = [batches for each in passes for batches in each]
    for number, batches in enumerate(planned):
        found, units, deviation = _one_step(
            roles,
            objective,
            learners,
            _Data(rollout, targets, slices, temperature),
            batches,
            learning_rate,
            value_learning_rate,
        )
        if number == 0:
            tally.first_ratio = deviation
        _add(tally, found, units)
        progress(number + 1, len(planned))
    return _means(tally)


@dataclass(frozen=True)
class _Data:
    rollout: Rollout
    targets: Targets
    slices: dict[int, slice]
    temperature: float

    def of(self, values: Tensor, batch: Sequence[Example]) -> Tensor:
        """The batch's part of (S,) values of the rollout."""
        return torch.cat([values[self.slices[id(example)]] for example in batch])


def _one_step(
    roles: Roles,
    objective: Objective,
    learners: Learners,
    data: _Data,
    batches: Sequence[Sequence[Example]],
    learning_rate: float,
    value_learning_rate: float,
) -> tuple[dict[str, float], int, float]:
    """A step of the policy and one of the value role; metrics, the units that they are over, largest |rho - 1|."""
    examples = [example for batch in batches for example in batch]
    answers = sum(len(example.sequences) for example in examples)
    tokens = sum(data.slices[id(e)].stop - data.slices[id(e)].start for e in examples)
    deviations: list[Tensor] = []
    found = step.take(
        learners.policy_optimiser,
        learners.policy,
        batches,
        lambda batch: _policy(roles, objective, data, batch, deviations),
        total=float(tokens if objective.per_token else answers),
        learning_rate=learning_rate,
    )
    if learners.value_optimiser is not None:
        with roles.value():
            value = step.take(
                learners.value_optimiser,
                learners.value,
                batches,
                lambda batch: _value(roles, objective, data, batch),
                total=float(tokens),
                learning_rate=value_learning_rate,
            )
        found |= {"value_loss": value["loss"], "value_grad_norm": value["grad_norm"]}
        found["value_clip_fraction"] = value["value_clip_fraction"]
        found["tokens_computed"] += value["tokens_computed"]
    return found, tokens if objective.module.UNIT == "token" else answers, float(torch.stack(deviations).max())


LOGGED = (
    "loss", "grad_norm", "tokens_computed", "clip_fraction", "ratio", "ratio_first", "update_kl", "updates",
    "value_loss", "value_grad_norm", "value_clip_fraction",
)  # fmt: skip
"""What `update` returns at most, but for `skipped`."""
OVER_STEPS = ("loss", "grad_norm", "value_loss", "value_grad_norm", "skipped")
"""Averaged over the optimiser steps; the others are sums over units (tokens, or answers)."""


def _add(tally: Tally, found: dict[str, float], units: int) -> None:
    for name, value in found.items():
        tally.sums[name] = tally.sums.get(name, 0.0) + value
    tally.units += units
    tally.steps += 1


def _means(tally: Tally) -> dict[str, float]:
    out: dict[str, float] = {"tokens_computed": int(tally.sums.pop("tokens_computed"))}
    for name, value in tally.sums.items():
        out[name] = value / (tally.steps if name in OVER_STEPS else tally.units)
    return out | {"ratio_first": tally.first_ratio, "updates": tally.steps}


def _policy(
    roles: Roles, objective: Objective, data: _Data, batch: Sequence[Example], deviations: list[Tensor]
) -> Forward:
    built = trie.build(batch)
    new = roles.logprobs(built, data.temperature)
    wanted = (data.rollout.logps, data.targets.advantages, data.rollout.ref_logps)
    old, advantages, ref = (data.of(values, batch) for values in wanted)
    lengths = torch.from_numpy(built.lengths()).to(new.device)
    if objective.module.UNIT == "answer":
        at_last = lengths.cumsum(0) - 1  # an answer's advantage stands at each of its tokens
        new, old, ref = (answer_sums(values, lengths) for values in (new, old, ref))
        inputs = Sampled(new, old, advantages[at_last], ref)
    else:
        inputs = Sampled(new, old, advantages, ref)
    units: Tensor = objective.module.loss(inputs, objective.options)
    losses = _per_example(_per_answer(units, lengths, objective), batch)
    with torch.no_grad():
        ratio = ppo.exp(inputs.log_ratios())
        far = torch.where(inputs.advantages > 0, ratio > 1 + objective.options.clip, ratio < 1 - objective.options.clip)
        deviations.append((ratio - 1).abs().max())
        metrics = {
            "clip_fraction": (far & (inputs.advantages != 0)).sum(),
            "ratio": ratio.sum(),
            "update_kl": ppo.k3(inputs.old_logps, inputs.logps).sum(),
        }
    return Forward(losses, metrics, len(built))


def _value(roles: Roles, objective: Objective, data: _Data, batch: Sequence[Example]) -> Forward:
    assert data.rollout.values is not None and data.targets.returns is not None
    built = trie.build(batch)
    values = roles.values(built)
    old, returns = data.of(data.rollout.values, batch), data.of(data.targets.returns, batch)
    clip = objective.options.value_clip
    losses = ppo.value_loss(values, old, returns, clip)
    lengths = torch.from_numpy(built.lengths()).to(values.device)
    clipped = ((values.detach() - old).abs() > clip).sum()
    return Forward(_per_example(answer_sums(losses, lengths), batch), {"value_clip_fraction": clipped}, len(built))


def _per_answer(losses: Tensor, lengths: Tensor, objective: Objective) -> Tensor:
    """(Q,) from losses of tokens or of answers: what the step adds up and divides by its tokens (REDUCTION tokens) or
    by its answers (an answer's loss is then the mean over its tokens)."""
    if objective.module.UNIT == "answer":
        return losses
    sums = answer_sums(losses, lengths)
    return sums if objective.per_token else sums / lengths


def _per_example(answers: Tensor, batch: Sequence[Example]) -> Tensor:
    """(n,) sums of (Q,) values over each example's answers."""
    return torch.stack([part.sum() for part in answers.split([len(example.sequences) for example in batch])])
