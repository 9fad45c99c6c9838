"""Weights of an answer's turns, put on its tokens."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pairwright.tokens.sequences import Example, TokenSequence

TurnWeight = Callable[[int, int], float]
"""(number of the turn from 0, turns) -> what the turn's tokens are multiplied by."""


def runs(sequence: TokenSequence) -> list[tuple[int, int]]:
    """(start, stop) of each run of supervised tokens: the scored turns, between which others speak."""
    steps = np.flatnonzero(np.diff(sequence.supervised.astype(np.int8), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in zip(steps[::2], steps[1::2])]


def with_turn_weights(examples: Sequence[Example], weight: TurnWeight) -> list[Example]:
    """The examples, the tokens of each scored turn weighed by it."""
    return [replace(e, sequences=tuple(_weighed(s, weight) for s in e.sequences)) for e in examples]


def _weighed(sequence: TokenSequence, weight: TurnWeight) -> TokenSequence:
    weights = np.ones(len(sequence.ids), np.float32)
    turns = runs(sequence)
    for number, (start, stop) in enumerate(turns):
        weights[start:stop] = weight(number, len(turns))
    return replace(sequence, weights=weights)
