"""A batch of the policy's own answers: sampled, scored, and given log-probabilities, values and advantages.

Who samples and who scores are functions that the caller brings. Token by token everything lies flat, answer after
answer, in the order in which the trie of the examples numbers them.

Legend: P prompts, K answers to each, Q = P K answers, S their tokens in all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pairwright.backbone.roles import Roles
from pairwright.errors import NonFiniteError, ParityError
from pairwright.objectives import ppo
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.batches import micro_batches
from pairwright.tokens.sequences import Example, TokenSequence
from pairwright.training.forwards import Objective


@dataclass(frozen=True, slots=True)
class Prompt:
    ids: tuple[int, ...]
    source: Source
    record: Any
    """What the scorer may want to know besides; the loop does not look at it."""


class Answer(Protocol):
    """What a sampler gives; feedback/generate.py makes them."""

    @property
    def ids(self) -> tuple[int, ...]: ...
    @property
    def logprobs(self) -> tuple[float, ...]: ...
    @property
    def ended(self) -> bool: ...


@dataclass(frozen=True)
class Scored:
    """What a scorer gives, for Q answers in order."""

    total: Sequence[float]
    """(Q,) the score that training raises."""
    parts: dict[str, Sequence[float]]
    """(Q,) what it is made of, by name, before weights; for the log."""


Sampler = Callable[[Sequence[Prompt], int, int], Sequence[Sequence[Answer]]]
"""(prompts, K, seed) -> for each prompt its K answers. A function of the policy's weights and of these alone."""
Scorer = Callable[[Sequence[Prompt], Sequence[Sequence[Answer]]], Scored]
"""(prompts, their answers) -> scores."""


@dataclass(frozen=True)
class Rollout:
    """What the update learns from. Tensors are on the policy's device, without gradient."""

    prompts: Sequence[Prompt]
    answers: Sequence[Sequence[Answer]]
    examples: list[Example]
    """Each is some answers to one prompt, so that they share its tokens."""
    lengths: Tensor
    """(Q,) tokens of each answer."""
    scores: Tensor
    """(Q,)"""
    parts: dict[str, Tensor]
    logps: Tensor
    """(S,) log pi of the policy that sampled, computed by the trainer, at the sampling temperature."""
    ref_logps: Tensor
    """(S,)"""
    values: Tensor | None
    """(S,) None where no value role was asked."""
    difference: tuple[float, float]
    """Mean and largest absolute difference of a token's log-probability between sampler and trainer."""
    tokens: int
    """Tokens computed by the trainer for all this."""

    def slices(self) -> dict[int, slice]:
        """id(example) -> where its tokens lie."""
        found, at = {}, 0
        for example in self.examples:
            count = sum(int(s.supervised.sum()) for s in example.sequences)
            found[id(example)] = slice(at, at + count)
            at += count
        return found


def examples_of(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], tokens_per_batch: int) -> list[Example]:
    """The answers as examples, in order: all of a prompt in one, or in several where they exceed the budget."""
    examples = []
    for prompt, own in zip(prompts, answers, strict=True):
        room = tokens_per_batch - len(prompt.ids)
        group: list[TokenSequence] = []
        used = 0
        for answer in own:
            if group and used + len(answer.ids) > room:
                examples.append(Example(tuple(group), prompt.source))
                group, used = [], 0
            ids = np.array([*prompt.ids, *answer.ids], dtype=np.int64)
            group.append(TokenSequence(ids, np.arange(len(ids)) >= len(prompt.ids)))
            used += len(answer.ids)
        examples.append(Example(tuple(group), prompt.source))
    return examples


def plan_batches(
    examples: Sequence[Example], minibatches: int, tokens_per_batch: int, seed: Sequence[int]
) -> list[list[list[Example]]]:
    """The optimiser steps of one pass over the examples, each cut into micro-batches. The order is drawn by `seed`."""
    order = np.random.default_rng(seed).permutation(len(examples))
    parts = np.array_split(order, min(minibatches, len(examples)))
    return [micro_batches([examples[i] for i in part], tokens_per_batch) for part in parts]


@dataclass(frozen=True)
class Targets:
    """Where the update pulls."""

    advantages: Tensor
    """(S,) one of a whole answer stands at each of its tokens."""
    returns: Tensor | None
    """(S,) None without a value role."""


@torch.no_grad()
def collect(
    roles: Roles,
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[Answer]],
    scored: Scored,
    *,
    values: bool,
    temperature: float,
    minibatches: int,
    tokens_per_batch: int,
    seed: Sequence[int],
    bound: float,
) -> Rollout:
    """Log-probabilities of sampled answers, and their values where those are wanted.

    They are computed in the micro-batches of the first pass of the update (`plan_batches` with the same seed), so that
    its first step finds the very same log-probabilities and a ratio of exactly 1. Raises NonFiniteError for a score
    that is no number, ParityError where sampler and trainer differ by more than `bound` a token on the mean.
    """
    device = roles.policy.device
    examples = examples_of(prompts, answers, tokens_per_batch)
    flat = [answer for own in answers for answer in own]
    lengths = torch.tensor([len(answer.ids) for answer in flat], device=device)
    scores = _scores(scored, prompts, answers, device)
    batches = [batch for part in plan_batches(examples, minibatches, tokens_per_batch, seed) for batch in part]
    logps, ref_logps, *valued = _read(roles, examples, batches, temperature, values)
    sampled = torch.tensor([value for answer in flat for value in answer.logprobs], device=device)
    difference = _compare(sampled, logps, bound)
    tokens = (3 if values else 2) * sum(trie.size(batch) for batch in batches)
    parts = {name: torch.tensor(list(found), device=device) for name, found in scored.parts.items()}
    return Rollout(
        prompts, answers, examples, lengths, scores, parts, logps, ref_logps, valued[0] if values else None, difference,
        tokens,
    )  # fmt: skip


def _scores(
    scored: Scored, prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]], device: torch.device
) -> Tensor:
    owners = [prompt for prompt, own in zip(prompts, answers) for _ in own]
    if len(scored.total) != len(owners):
        raise ValueError(f"{len(scored.total)} scores for {len(owners)} answers")
    scores = torch.tensor([float(value) for value in scored.total], device=device)
    odd = (~torch.isfinite(scores)).nonzero()
    if len(odd):
        where = int(odd[0])
        raise NonFiniteError(f"the score of an answer to {owners[where].source} is {float(scores[where])}")
    return scores


def _read(
    roles: Roles, examples: Sequence[Example], batches: list[list[Example]], temperature: float, values: bool
) -> list[Tensor]:
    """(S,) of policy, reference and, if wanted, value role, in the order of `examples`."""
    found: dict[int, tuple[Tensor, ...]] = {}
    for batch in batches:
        built = trie.build(batch)
        read = [roles.logprobs(built, temperature), roles.reference_logprobs(built, temperature)]
        if values:
            with roles.value():
                read.append(roles.values(built))
        sizes = [sum(int(s.supervised.sum()) for s in example.sequences) for example in batch]
        for example, *parts in zip(batch, *(x.split(sizes) for x in read), strict=True):
            found[id(example)] = tuple(parts)
    return [torch.cat(column) for column in zip(*(found[id(example)] for example in examples))]


def _compare(sampled: Tensor, logps: Tensor, bound: float) -> tuple[float, float]:
    distance = (sampled - logps).abs()
    mean, largest = float(distance.mean()), float(distance.max())
    if not mean <= bound:
        raise ParityError(
            f"sampler and trainer give a sampled token log-probabilities that differ by {mean:.2g} on the mean "
            f"(largest {largest:.2g}; the bound is {bound:g}): the answers are not the policy's own. Train with "
            "--attention rows, or raise --sampler-tolerance if you know why"
        )
    return mean, largest


def targets(objective: Objective, rollout: Rollout, kl_coef: float) -> Targets:
    """Advantages, and returns where the objective has a value role."""
    module, options, lengths = objective.module, objective.options, rollout.lengths
    if module.VALUE:
        return Targets(
            *module.advantages(
                rollout.logps, rollout.ref_logps, rollout.values, rollout.scores, lengths, kl_coef, options
            )
        )
    group = torch.repeat_interleave(torch.tensor([len(own) for own in rollout.answers], device=lengths.device))
    if module.UNIT == "answer":
        kl = answer_sums(ppo.k1(rollout.logps, rollout.ref_logps), lengths)
        answers = module.advantages(rollout.scores, kl, group, kl_coef, options)
    else:
        answers = module.advantages(rollout.scores, group, options)
    return Targets(answers.repeat_interleave(lengths), None)


def answer_sums(values: Tensor, lengths: Tensor) -> Tensor:
    """(Q,) sums of (S,) values over each answer's tokens, added up in float64."""
    answer = torch.repeat_interleave(lengths)
    zeros = torch.zeros(len(lengths), dtype=torch.float64, device=values.device)
    return zeros.index_add(0, answer, values.double()).to(values.dtype)
