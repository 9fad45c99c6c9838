"""Held-out items as n-grams, so that the rows of a training file can be held against all of them at once.

An item is covered by a row to the share of its words that stand in a run of 8 words which both have (the measure of
Lambert et al., "Tulu 3", arXiv 2411.15124, section 3.2). The item's text is its prompt; where that is shorter than 8
words, the prompt with both answers, since short questions recur by chance.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pairwright.audit.shingles import WordIds, ngrams
from pairwright.audit.text import plain, spoken, words
from pairwright.records import Preference, Source

N = 8
"""Words in a run."""
COVERED = 0.5
"""Smallest share that counts, exclusive."""
COMMON = 0.02
"""A run that stands in more of the items than this (and in more than 10) is boilerplate and says nothing."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    sources: tuple[Source, ...]
    grams: np.ndarray
    """(total,) uint64 runs of all items, one item after the other; boilerplate as 0."""
    starts: np.ndarray
    """(items + 1,) where each item's runs begin."""
    lengths: np.ndarray
    """(items,) words."""
    known: np.ndarray
    """(k,) distinct runs, ascending; `at[k]` to `at[k + 1]` of `items` are those that have it."""
    at: np.ndarray
    items: np.ndarray

    def covered(self, row: np.ndarray) -> list[tuple[int, float]]:
        """(item, share) for each item of which more than COVERED stands in the row with these word ids."""
        if not len(self.known):
            return []
        runs = np.unique(ngrams(row, N))
        place = np.minimum(np.searchsorted(self.known, runs), len(self.known) - 1)
        hit = place[self.known[place] == runs]
        if not len(hit):
            return []
        found = np.concatenate([self.items[self.at[k] : self.at[k + 1]] for k in hit])
        shares = ((int(item), self._share(int(item), self.known[hit])) for item in np.unique(found))
        return [(item, share) for item, share in shares if share > COVERED]

    def _share(self, item: int, runs: np.ndarray) -> float:
        matched = np.isin(self.grams[self.starts[item] : self.starts[item + 1]], runs)
        length = self.lengths[item]
        width = min(N, int(length))
        words_in = np.zeros(length + 1, dtype=np.int64)
        at = np.flatnonzero(matched)
        np.add.at(words_in, at, 1)
        np.add.at(words_in, at + width, -1)
        return float((np.cumsum(words_in)[:-1] > 0).mean())


def held_out(records: Iterable[Preference]) -> HeldOut:
    """The index of a held-out file."""
    ids = WordIds()
    sources, runs, lengths = [], [], []
    for record in records:
        said = ids.of(_item(record))
        sources.append(record.source)
        lengths.append(len(said))
        runs.append(ngrams(said, N))
    starts = np.cumsum([0, *map(len, runs)])
    grams = np.concatenate([*runs, np.zeros(0, dtype=np.uint64)])
    owner = np.repeat(np.arange(len(runs)), np.diff(starts))
    pairs = np.unique(np.stack([grams, owner.astype(np.uint64)], axis=1), axis=0) if len(grams) else grams.reshape(0, 2)
    known, count = np.unique(pairs[:, 0], return_counts=True)
    keep = count <= max(10, COMMON * len(runs))
    kept = np.repeat(keep, count)
    at = np.cumsum([0, *count[keep]])
    return HeldOut(tuple(sources), grams, starts, np.array(lengths), known[keep], at, pairs[kept, 1].astype(np.int64))


def _item(record: Preference) -> list[str]:
    prompt = record.prompt
    asked = words(plain(prompt if isinstance(prompt, str) else tuple(m for m in prompt if m.role != "system")))
    return asked if len(asked) >= N else [*asked, *words(spoken(record.chosen)), *words(spoken(record.rejected))]
