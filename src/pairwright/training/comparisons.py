"""The pairs of a micro-batch as indices into its sequences, whatever the examples are: pairs, rankings, solutions.

An objective of pairs sees P gathered pairs; what it gives is added up per example again. A ranking's pairs share one
example between them, so that a prompt with many answers counts no more than one with two.

Legend: n examples, Q sequences of the batch in order, P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pairwright.tokens.sequences import Example


@dataclass(frozen=True)
class Compared:
    better: Tensor
    """(P,) int64 index of the better sequence among the Q."""
    worse: Tensor
    """(P,) int64."""
    example: Tensor
    """(P,) int64 index of the pair's example."""
    share: Tensor
    """(P,) float32: how much of its example each pair is. Adds up to the example's counts_as."""
    label: Tensor | None
    """(P,) float32 probability that the better one is; None where no pair of the batch says it."""
    margin: Tensor | None
    """(P,) float32, 0 where a pair has none; None where no pair of the batch has one."""
    examples: int
    """n."""

    def per_example(self, values: Tensor) -> Tensor:
        """(n,) from (P,) values of the pairs: each times its share, added up.

        By hand: a ranking of three answers, losses 0.3, 0.6 and 0.9: 0.6, as much as a pair of that loss. A solution of
        three steps with these losses: 1.8, and it counts as three examples.
        """
        return values.new_zeros(self.examples).index_add(0, self.example, values * self.share)

    def ratings(self, batch: Sequence[Example]) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """(P,) float32 each, of the better and of the worse sequences; None where an example has none."""
        scores = [example.scores for example in batch]
        if None in scores:
            return None, None
        flat = [value for values in scores for value in values or ()]
        rating = torch.tensor(flat, dtype=torch.float32, device=self.better.device)
        return rating[self.better], rating[self.worse]


def compared(batch: Sequence[Example], device: torch.device) -> Compared:
    """The pairs of `batch`, example by example."""
    better, worse, owner, share = [], [], [], []
    first = 0
    for number, example in enumerate(batch):
        whole = sum(pair.weight for pair in example.pairs)
        for pair in example.pairs:
            better.append(first + pair.better)
            worse.append(first + pair.worse)
            owner.append(number)
            share.append(example.counts_as * pair.weight / whole)
        first += len(example.sequences)
    pairs = [pair for example in batch for pair in example.pairs]
    indices = torch.tensor([better, worse, owner], dtype=torch.int64, device=device)
    shares = torch.tensor(share, dtype=torch.float32, device=device)
    label = _optional([pair.label for pair in pairs], 1.0, device)
    margin = _optional([pair.margin for pair in pairs], 0.0, device)
    return Compared(indices[0], indices[1], indices[2], shares, label, margin, len(batch))


def _optional(values: Sequence[float | None], absent: float, device: torch.device) -> Tensor | None:
    """(P,) float32 with `absent` for None; None where all are."""
    if all(value is None for value in values):
        return None
    return torch.tensor([absent if value is None else value for value in values], dtype=torch.float32, device=device)
