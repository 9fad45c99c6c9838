"""Token sequences: what the tokenizer side hands to the trie side.

Legend: T tokens of one sequence, K sequences of one example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pairwright.records import Source


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One conversation as the model sees it: prompt and answer in one piece."""

    ids: np.ndarray
    """(T,) int64 token ids."""
    supervised: np.ndarray
    """(T,) bool: token t's log-probability, given tokens < t, is scored. supervised[0] is False."""
    weights: np.ndarray | None = None
    """(T,) float32: what each scored token's log-probability is multiplied by in its sequence's sum; None for 1."""

    def __post_init__(self) -> None:
        if self.ids.ndim != 1 or self.ids.shape != self.supervised.shape:
            raise ValueError(
                f"ids {self.ids.shape} and supervised {self.supervised.shape} must be one-dimensional and equal"
            )
        if self.weights is not None and self.weights.shape != self.ids.shape:
            raise ValueError(f"weights {self.weights.shape} must have the shape of ids, {self.ids.shape}")
        if len(self.ids) and self.supervised[0]:
            raise ValueError("the first token has nothing before it and cannot be supervised")


class Pair(NamedTuple):
    """Two sequences of an example, compared."""

    better: int
    """Index into the example's sequences."""
    worse: int
    label: float | None = None
    """Probability in [0, 1] that `better` is the better one; None where the data is sure of it."""
    margin: float | None = None
    """By how much, where the data says it."""
    weight: float = 1.0
    """How much this pair weighs beside the example's other pairs. Above 0."""


@dataclass(frozen=True, slots=True)
class Example:
    """The unit of the loss: sequences that belong together, and which of them are compared.

    A preference pair is (chosen, rejected); a ranking is its K answers, the prompt once, with all its pairs; a solution
    is all its step preferences; a demonstration or a labelled answer is (conversation,) and has no pairs to look at.
    """

    sequences: tuple[TokenSequence, ...]
    source: Source
    weight: float = 1.0
    pairs: tuple[Pair, ...] = (Pair(0, 1),)
    """What is compared. The example's loss is the mean over its pairs by their weights, times `counts_as`."""
    counts_as: int = 1
    """How many examples it is where a sum of losses is divided by their number: 1 for a ranking, whose pairs are one
    judgement of one prompt (InstructGPT, 2203.02155, section 3.5); a solution's number of step preferences."""
    label: float | None = None
    """Of a labelled answer: 1 for a good one, 0 for a bad one."""
    scores: tuple[float, ...] | None = None
    """(K,) ratings of the sequences, where the data has all of them."""
    mismatched: TokenSequence | None = None
    """This example's prompt with the answer to another (labelled.py)."""


def count(examples: Sequence[Example]) -> int:
    """How many examples these count as."""
    return sum(example.counts_as for example in examples)
