"""A micro-batch of examples -> losses and metrics: the one place where objectives meet log-probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pairwright.backbone.heads import head_named, scores
from pairwright.backbone.load import Backbone
from pairwright.backbone.policy import logprobs, sequence_sums
from pairwright.objectives.inputs import Answers, Labelled, Pairs, Scores
from pairwright.tokens import trie
from pairwright.tokens.labelled import partners
from pairwright.tokens.sequences import Example, count
from pairwright.tokens.trie import Trie
from pairwright.training.comparisons import compared
from pairwright.training.monitors import answer_metrics, labelled_metrics, pair_metrics, score_metrics
from pairwright.training.step import Forward

References = Callable[[Sequence[Example], Trie], Tensor]
"""(examples, their trie) -> (Q,) reference log-probability of each sequence, float32, on the backbone's device."""


@dataclass(frozen=True)
class Objective:
    """An objective with its settings filled in."""

    module: ModuleType
    """INPUT, REFERENCE, REDUCTION, loss(inputs, options); see objectives/."""
    options: Any
    nll_weight: float = 0.0

    @property
    def per_token(self) -> bool:
        return self.module.REDUCTION == "tokens"

    @property
    def needs_ratings(self) -> bool:
        return hasattr(self.module, "needs_ratings") and self.module.needs_ratings(self.options)

    @property
    def labelled(self) -> bool:
        return self.module.INPUT == "labelled"

    @property
    def scored(self) -> bool:
        """Whether a scalar head is trained, on whole answers, and no log-probabilities are asked for."""
        return self.module.INPUT == "scores"

    def labels(self, examples: Sequence[Example]) -> np.ndarray | None:
        """(n,) bool, where the examples of a step have to be mixed by their labels."""
        return np.array([example.label == 1 for example in examples], bool) if self.labelled else None

    def total(self, examples: Sequence[Example]) -> float:
        """What a step over `examples` divides its summed loss by."""
        if self.per_token:
            return float(sum(int(s.supervised.sum()) for e in examples for s in e.sequences))
        return float(count(examples))


def forward(
    backbone: Backbone,
    objective: Objective,
    references: References | None,
    batch: Sequence[Example],
    kl: Tensor | None = None,
) -> Forward:
    """Losses (n,) of the examples in `batch`, times their weights, and the sums of their metrics. `kl` is () the
    step's distance from the reference on mismatched answers, for the input kind that has them (log_ratio_sum)."""
    built = trie.build(batch, with_last=objective.scored)
    kind = objective.module.INPUT
    tokens = torch.from_numpy(built.lengths()).to(backbone.device)
    weights = torch.tensor([example.weight for example in batch], dtype=torch.float32, device=backbone.device)
    if kind == "scores":
        losses, metrics = _scores(objective, scores(backbone, built, head_named(backbone)), tokens, batch)
        return Forward(losses * weights, metrics, len(built))
    sums = sequence_sums(logprobs(backbone, built), built)
    reference = references(batch, built) if references is not None else None
    if kind == "answers":
        losses, metrics = objective.module.loss(Answers(sums, tokens), objective.options), answer_metrics(sums, tokens)
    elif kind == "labelled":
        losses, metrics = _labelled(objective, sums, tokens, reference, batch, kl)
    else:
        losses, metrics = _pairs(objective, sums, tokens, reference, batch)
    return Forward(losses * weights, metrics, len(built))


def passes(objective: Objective, examples: Sequence[Example]) -> list[Sequence[Example]]:
    """What goes through the model for a step over `examples`, each part in micro-batches of its own."""
    return [examples, partners(examples)] if objective.labelled else [examples]


@torch.no_grad()
def log_ratio_sum(backbone: Backbone, references: References, batches: Sequence[Sequence[Example]]) -> Tensor:
    """() float64 sum over all sequences of log pi - log ref, without dropout."""
    training = backbone.model.training
    total = torch.zeros((), dtype=torch.float64, device=backbone.device)
    for batch in batches:
        backbone.model.eval()
        built = trie.build(batch)
        sums = sequence_sums(logprobs(backbone, built), built)
        total += (sums - references(batch, built)).double().sum()
    backbone.model.train(training)
    return total


def _labelled(
    objective: Objective,
    sums: Tensor,
    tokens: Tensor,
    reference: Tensor | None,
    batch: Sequence[Example],
    kl: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    assert reference is not None and kl is not None
    label = torch.tensor([example.label == 1 for example in batch], device=sums.device)
    answers = Labelled(sums, tokens, label, kl.to(sums.dtype).expand(len(batch)), reference)
    rewards = objective.module.rewards(answers, objective.options)
    metrics = labelled_metrics(sums, tokens, label, rewards, answers.kl)
    return objective.module.loss(answers, objective.options), metrics


def _pairs(
    objective: Objective, sums: Tensor, tokens: Tensor, reference: Tensor | None, batch: Sequence[Example]
) -> tuple[Tensor, dict[str, Tensor]]:
    """(n,) losses and the metrics of the pairs that the examples compare."""
    found = compared(batch, sums.device)
    rating_chosen, rating_rejected = found.ratings(batch)
    pairs = Pairs(
        chosen=sums[found.better],
        rejected=sums[found.worse],
        chosen_tokens=tokens[found.better],
        rejected_tokens=tokens[found.worse],
        ref_chosen=None if reference is None else reference[found.better],
        ref_rejected=None if reference is None else reference[found.worse],
        rating_chosen=rating_chosen,
        rating_rejected=rating_rejected,
    )
    rewards = objective.module.rewards(pairs, objective.options) if hasattr(objective.module, "rewards") else None
    metrics = pair_metrics(pairs.chosen, pairs.rejected, found.share, tokens, rewards)
    return found.per_example(pair_losses(objective, pairs, found.label)), metrics


def _scores(
    objective: Objective, values: Tensor, tokens: Tensor, batch: Sequence[Example]
) -> tuple[Tensor, dict[str, Tensor]]:
    """(n,) losses and the metrics of the pairs that the examples compare, from the (Q,) scores of their answers."""
    found = compared(batch, values.device)
    chosen, rejected = values[found.better], values[found.worse]
    margin = torch.zeros_like(chosen) if found.margin is None else found.margin
    losses = pair_losses(objective, Scores(chosen, rejected, margin), found.label)
    return found.per_example(losses), score_metrics(chosen, rejected, found.share, values, tokens)


def pair_losses(objective: Objective, pairs: Pairs | Scores, label: Tensor | None) -> Tensor:
    """(P,) losses of pairs, the added likelihood among them. Where the better answer is known with a probability only,
    the expected loss: label * loss(w, l) + (1 - label) * loss(l, w). `label` is (P,), None where all are sure.

    By hand: losses 0.313262 and 1.313262 of the two orders, label 0.75: 0.563262.
    """

    def of(pairs: Pairs | Scores) -> Tensor:
        losses: Tensor = objective.module.loss(pairs, objective.options)
        if objective.nll_weight:
            assert isinstance(pairs, Pairs), "scores have no likelihood"
            losses = losses - objective.nll_weight * pairs.chosen / pairs.chosen_tokens
        return losses

    return of(pairs) if label is None else label * of(pairs) + (1 - label) * of(pairs.swapped())
