"""The trie batch: sequences that share prefixes, as one flat row in which every distinct token stands once.

    "the cat sat" and "the cat ran off"   ->   the cat sat | ran off

Token i may attend to token j exactly when j <= i < end[j]: j is i itself or one of its ancestors. That line is the
whole mask, for pairs, rankings, samples, steps and several conversations packed in one row, without padding.

Left out: a sequence's tokens from its last supervised one on. Nothing is predicted from them, so their hidden
states are never needed; unless the sequence itself is scored, where it ends (`with_last`).

Legend: N tokens in the row, S scored tokens, Q sequences. numpy only; backbone/attention.py moves it to a device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pairwright.tokens.sequences import Example, TokenSequence

MIN_SHARED = 16
"""Examples share a tree when their common prefix has this many tokens (a system prompt, the same question). A shared
BOS alone would tie every conversation into one tree and buy nothing. Within one example any prefix is shared."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens without a branch: children of the same parent differ in their first token."""

    start: int
    stop: int
    parent: int
    """Index of the parent segment, -1 at a root. A parent stands before its children."""
    end: int
    """Index just past the segment's whole subtree."""


@dataclass(frozen=True, slots=True)
class Trie:
    ids: np.ndarray
    """(N,) int64 token ids in depth-first order."""
    position: np.ndarray
    """(N,) int64 distance from the start of the token's own conversation."""
    end: np.ndarray
    """(N,) int64 index just past the token's subtree."""
    source: np.ndarray
    """(S,) int64 index of the token whose hidden state predicts the scored token."""
    target: np.ndarray
    """(S,) int64 id of the scored token."""
    sequence: np.ndarray
    """(S,) int64 index of the sequence that the scored token belongs to."""
    weight: np.ndarray | None
    """(S,) float32 what the scored token's log-probability is multiplied by in its sequence's sum; None for 1."""
    sequences: int
    """Q; a sequence's log-probability is the sum over its own scored tokens."""
    segments: tuple[Segment, ...]
    paths: tuple[np.ndarray, ...]
    """For each sequence the (its length,) indices of its tokens in the row."""

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self) -> np.ndarray:
        """(Q,) number of scored tokens of each sequence."""
        return np.bincount(self.sequence, minlength=self.sequences)

    def last(self) -> np.ndarray:
        """(Q,) index of each sequence's last token: with `with_last`, the end of its answer."""
        return np.array([path[-1] for path in self.paths], dtype=np.int64)


def build(examples: Sequence[Example], *, with_last: bool = False) -> Trie:
    """The trie of all sequences of `examples`, numbered in order: those of the first example, then the second's.

    `with_last`: each sequence's last supervised token stands in it too, the end of its answer, which a scalar head
    reads.
    """
    sequences = [s for example in examples for s in example.sequences]
    inputs = [s.ids[: _last_supervised(s) + with_last] for s in sequences]
    builder = _Builder(inputs)
    for group in _groups(examples, inputs):
        builder.add(group, offset=0, parent=-1, path=[])
    return builder.finish(sequences)


def size(examples: Sequence[Example], *, with_last: bool = False) -> int:
    """N of the trie of `examples`: the tokens that a forward pass over them computes."""
    return len(build(examples, with_last=with_last))


def _last_supervised(sequence: TokenSequence) -> int:
    where = np.flatnonzero(sequence.supervised)
    return int(where[-1]) if len(where) else 0


def _common_prefix(sequences: Sequence[np.ndarray]) -> int:
    first, *others = sequences
    shared = len(first)
    for other in others:
        n = min(shared, len(other))
        differs = first[:n] != other[:n]
        shared = int(differs.argmax()) if differs.any() else n
    return shared


def _groups(examples: Sequence[Example], inputs: Sequence[np.ndarray]) -> list[list[int]]:
    """Sequence numbers by tree: an example's own sequences together, and examples with MIN_SHARED tokens in common."""
    groups: dict[bytes | int, list[int]] = {}
    first = 0
    for number, example in enumerate(examples):
        own = list(range(first, first + len(example.sequences)))
        first += len(own)
        shared = _common_prefix([inputs[i] for i in own]) >= MIN_SHARED
        key = inputs[own[0]][:MIN_SHARED].tobytes() if shared else number
        groups.setdefault(key, []).extend(own)
    return list(groups.values())


def _weights(sequences: Sequence[TokenSequence], scored: Sequence[np.ndarray]) -> np.ndarray | None:
    if all(s.weights is None for s in sequences):
        return None
    ones = (np.ones(len(t), np.float32) if s.weights is None else s.weights[t] for s, t in zip(sequences, scored))
    return np.concatenate([np.empty(0, np.float32), *ones])


class _Builder:
    """Grows the row depth first; holds what is known so far."""

    def __init__(self, inputs: Sequence[np.ndarray]) -> None:
        self.inputs = inputs
        self.paths: list[np.ndarray] = [np.empty(0, np.int64)] * len(inputs)
        self.pieces: list[tuple[np.ndarray, int]] = []  # ids, position of the first
        self.segments: list[Segment] = []
        self.length = 0

    def add(self, group: list[int], offset: int, parent: int, path: list[np.ndarray]) -> None:
        """Append the subtree of the sequences in `group`, which agree on their first `offset` tokens."""
        shared = _common_prefix([self.inputs[i][offset:] for i in group])
        if shared:
            start, stop = self.length, self.length + shared
            self.pieces.append((self.inputs[group[0]][offset : offset + shared], offset))
            path = [*path, np.arange(start, stop)]
            number = len(self.segments)
            self.segments.append(Segment(start, stop, parent, stop))
            self.length = stop
        children: dict[int, list[int]] = {}
        for i in group:
            rest = self.inputs[i][offset + shared :]
            if len(rest):
                children.setdefault(int(rest[0]), []).append(i)
            elif path:
                self.paths[i] = np.concatenate(path)
        for child in children.values():
            self.add(child, offset + shared, number if shared else parent, path)
        if shared:
            self.segments[number] = Segment(start, stop, parent, self.length)

    def finish(self, sequences: Sequence[TokenSequence]) -> Trie:
        empty = np.empty(0, np.int64)
        end = np.empty(self.length, np.int64)
        for segment in self.segments:
            # Inside a segment every token's subtree ends where the segment's does: it has no side branch.
            end[segment.start : segment.stop] = segment.end
        scored = [np.flatnonzero(s.supervised) for s in sequences]
        return Trie(
            ids=np.concatenate([empty, *(ids for ids, _ in self.pieces)]),
            position=np.concatenate([empty, *(np.arange(at, at + len(ids)) for ids, at in self.pieces)]),
            end=end,
            source=np.concatenate([empty, *(path[t - 1] for path, t in zip(self.paths, scored))]),
            target=np.concatenate([empty, *(s.ids[t] for s, t in zip(sequences, scored))]),
            sequence=np.repeat(np.arange(len(sequences)), [len(t) for t in scored]),
            weight=_weights(sequences, scored),
            sequences=len(sequences),
            segments=tuple(self.segments),
            paths=tuple(self.paths),
        )
