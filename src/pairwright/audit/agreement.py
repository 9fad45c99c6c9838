"""Agreement of annotators beyond chance, with bootstrap intervals over items.

All take counts, (items, categories): how many annotators put an item into each category. Items with fewer than two
votes say nothing and are left out.

    Fleiss' kappa          Fleiss, Psychological Bulletin 76, 1971; with numbers of votes that differ, the mean over
                           items of their agreement
    Krippendorff's alpha   Krippendorff, "Content Analysis", 2004, ch. 11: nominal, any numbers of votes
    Cohen's kappa          Cohen, Educational and Psychological Measurement 20, 1960: two annotators
"""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import cohen_kappa_score

RESAMPLES = 1000
_BLOCK = 1 << 22
"""Weights held at once."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(counts, weights (resamples, items)) -> (resamples,)"""


def fleiss(counts: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(resamples,) kappa of the items, each taken as often as its weight says; one value without weights."""
    counts, weights = _usable(counts, weights)
    votes = counts.sum(axis=1)
    same = (counts * (counts - 1)).sum(axis=1) / (votes * (votes - 1))
    observed = weights @ same / weights.sum(axis=1)
    shares = weights @ counts
    shares = shares / shares.sum(axis=1, keepdims=True)
    return _beyond(observed, (shares**2).sum(axis=1))


def krippendorff(counts: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(resamples,) nominal alpha: 1 - observed / expected disagreement, from the matrix of coincidences."""
    counts, weights = _usable(counts, weights)
    votes = counts.sum(axis=1)
    same = (counts * (counts - 1)).sum(axis=1) / (votes - 1)
    total = weights @ votes
    of_category = weights @ counts
    expected = (of_category * (of_category - 1)).sum(axis=1) / (total * (total - 1))
    return _beyond(weights @ same / total, expected)


def cohen(one: np.ndarray, other: np.ndarray) -> float:
    """Kappa of two annotators' categories on the same items; 1 where both say the same single category throughout."""
    one, other = np.asarray(one), np.asarray(other)
    return 1.0 if len(np.unique(np.concatenate([one, other]))) == 1 else float(cohen_kappa_score(one, other))


def interval(statistic: Statistic, counts: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """(value, low, high): the 95% percentile interval over resamples of the items (Efron, 1979)."""
    counts = counts[counts.sum(axis=1) >= 2]
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // max(1, len(counts)))
    drawn = [
        statistic(
            counts, rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), min(rows, RESAMPLES - at))
        )
        for at in range(0, RESAMPLES, rows)
    ]
    low, high = np.nanquantile(np.concatenate(drawn), [0.025, 0.975])
    return float(statistic(counts, np.ones((1, len(counts))))[0]), float(low), float(high)


def _usable(counts: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    keep = counts.sum(axis=1) >= 2
    if not keep.any():
        raise ValueError("no item has two votes")
    weights = np.ones((1, len(counts))) if weights is None else np.asarray(weights)
    return np.asarray(counts, dtype=np.float64)[keep], weights[:, keep].astype(np.float64)


def _beyond(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Agreement beyond chance; 1 where one category holds every vote, as nobody disagreed."""
    certain = expected >= 1
    return np.where(certain, 1.0, (observed - expected) / np.where(certain, 1.0, 1 - expected))
