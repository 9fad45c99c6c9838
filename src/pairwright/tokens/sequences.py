"""Token sequences: what the tokenizer side hands to the trie side.

Legend: T tokens of one sequence.
"""

from dataclasses import dataclass

import numpy as np

from pairwright.records import Source


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One conversation as the model sees it: prompt and answer in one piece."""

    ids: np.ndarray
    """(T,) int64 token ids."""
    supervised: np.ndarray
    """(T,) bool: token t's log-probability, given tokens < t, is scored. supervised[0] is False."""

    def __post_init__(self) -> None:
        if self.ids.ndim != 1 or self.ids.shape != self.supervised.shape:
            raise ValueError(
                f"ids {self.ids.shape} and supervised {self.supervised.shape} must be one-dimensional and equal"
            )
        if len(self.ids) and self.supervised[0]:
            raise ValueError("the first token has nothing before it and cannot be supervised")


@dataclass(frozen=True, slots=True)
class Example:
    """The unit of the loss: sequences that belong together, in the order the objective expects.

    A preference pair is (chosen, rejected); a demonstration or a labelled answer is (conversation,).
    """

    sequences: tuple[TokenSequence, ...]
    source: Source
    weight: float = 1.0
    margin: float | None = None
    label: float | None = None
    """Of a pair, the probability in [0, 1] that the first answer is the better one, None where the data is sure of it;
    of a labelled answer, 1 for a good one and 0 for a bad one."""
    scores: tuple[float, float] | None = None
    """Ratings of the first and the second answer, where the data has both."""
    mismatched: TokenSequence | None = None
    """This example's prompt with the answer to another (labelled.py)."""
