"""Texts as sets of n-grams of words: MinHash signatures, near-duplicates by banding, coverage of one text by another.

Signatures by datasketch (Broder, "On the resemblance and containment of documents", 1997; scheme affine32). Candidates
by locality-sensitive hashing (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", ch. 3.4): BANDS bands of ROWS
values each; a pair of Jaccard similarity s meets in some band with probability 1 - (1 - s^ROWS)^BANDS, 0.99 at 0.7.
Bands are sorted in numpy rather than kept in datasketch's hash tables, which need 5 KB a row.
"""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from datasketch import MinHash

BANDS, ROWS = 25, 5
PERMUTATIONS = BANDS * ROWS
NEAR = 5
"""Words in a shingle for near-duplicates."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class WordIds(dict[str, int]):
    """word -> 32 bits, the same in every process; remembers those it has seen, as most words recur."""

    def __missing__(self, word: str) -> int:
        if len(self) > 500_000:  # rare words of an endless file must not fill the memory
            self.clear()
        value = self[word] = zlib.crc32(word.encode("utf-8", "backslashreplace"))
        return value

    def of(self, said: Sequence[str]) -> np.ndarray:
        """(len(said),) uint64."""
        return np.fromiter(map(self.__getitem__, said), dtype=np.uint64, count=len(said))


def ngrams(ids: np.ndarray, n: int) -> np.ndarray:
    """(len(ids) - n + 1,) uint64: a hash of each run of n ids; one hash of all of them where they are fewer than n."""
    if not len(ids):
        return np.zeros(0, dtype=np.uint64)
    n = min(n, len(ids))
    count = len(ids) - n + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for at in range(n):
        mixed = (mixed ^ ids[at : at + count]) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
    return mixed


class Signer:
    """Signatures of sets of shingles."""

    def __init__(self) -> None:
        self.hash = MinHash(num_perm=PERMUTATIONS, seed=1, scheme="affine32", hashfunc=int)

    def sign(self, ids: np.ndarray) -> np.ndarray:
        """(PERMUTATIONS,) uint32 of the text with these word ids; all ones for a text without words."""
        self.hash.clear()
        shingles = ngrams(ids, NEAR)
        if len(shingles):
            self.hash.update_batch((shingles >> np.uint64(32)).tolist())
        return self.hash.hashvalues.astype(np.uint32)


def similar(signatures: np.ndarray, threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs (earlier row, later row) whose estimated Jaccard similarity is `threshold` or more.

    Within a band each row is compared with the first row of its bucket and with the one before it, so that the cost
    per row stays constant however many copies there are; clusters are joined by `clusters`.
    """
    for band in range(BANDS):
        keys = np.ascontiguousarray(signatures[:, band * ROWS : (band + 1) * ROWS]).view(f"V{4 * ROWS}").ravel()
        order = np.argsort(_mix(signatures[:, band * ROWS : (band + 1) * ROWS]), kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        starts = np.where(np.r_[True, ~same], np.arange(len(order)), 0)
        first = order[np.maximum.accumulate(starts)]
        later = np.flatnonzero(np.r_[False, same])
        for one in (first[later], order[later - 1]):
            near = _agreement(signatures, one, order[later]) >= threshold
            yield from zip(one[near].tolist(), order[later][near].tolist())


def _mix(columns: np.ndarray) -> np.ndarray:
    mixed = np.zeros(len(columns), dtype=np.uint64)
    for at in range(columns.shape[1]):
        mixed = (mixed ^ columns[:, at].astype(np.uint64)) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _agreement(signatures: np.ndarray, one: np.ndarray, other: np.ndarray, block: int = 1 << 16) -> np.ndarray:
    """Share of the permutations on which the rows agree: an estimate of their Jaccard similarity."""
    shares = [
        (signatures[one[at : at + block]] == signatures[other[at : at + block]]).mean(axis=1)
        for at in range(0, len(one), block)
    ]
    return np.concatenate(shares) if shares else np.zeros(0)


def clusters(size: int, pairs: Iterator[tuple[int, int]]) -> np.ndarray:
    """(size,) index of the first row of each row's cluster; itself for a row that is like no other."""
    parent = np.arange(size)

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = int(parent[at])
        return at

    for one, other in pairs:
        first, second = root(one), root(other)
        if first != second:
            parent[max(first, second)] = min(first, second)
    return np.array([root(at) for at in range(size)], dtype=np.int64)
