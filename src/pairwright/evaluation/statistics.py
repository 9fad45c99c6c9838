"""Means, proportions and differences, each with an interval.

What it leaves out: tests of significance (an interval says more) and corrections for many comparisons.

    mean_interval        a mean over few independent runs, such as seeds      Student's t
    bootstrap_interval   a mean over many items of any distribution           percentile bootstrap, Efron 1979
    clustered_interval   a mean over items in groups             bootstrap of whole groups
    wilson_interval      a share of successes, also near 0 and 1              Wilson 1927
    paired_difference    after - before on the same items or seeds            Student's t of the differences

All are two-sided. `confidence` is a share: 0.95 for 95%.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

_BLOCK = 1 << 22
"""Drawn indices held at once by the bootstrap: 32 MiB."""


@dataclass(frozen=True, slots=True)
class Interval:
    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """As evaluation.json holds it."""
        return asdict(self)


def mean_interval(
    values: Sequence[float], *, confidence: float = 0.95, within: tuple[float, float] | None = None
) -> Interval:
    """Mean of independent, roughly normal values, such as one figure per seed.

    mean +- t(n - 1) * s / sqrt(n), with s the sample's standard deviation (divisor n - 1), cut to the range `within`
    which the values cannot leave, such as (0, 1) for shares.
    Raises ValueError for fewer than two values: one run says nothing about how runs differ.
    """
    sample = _sample(values, least=2)
    half = _quantile_t(confidence, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample))
    found = _around(sample.mean(), half)
    return found if within is None else Interval(found.mean, max(found.low, within[0]), min(found.high, within[1]))


def paired_difference(after: Sequence[float], before: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean of after[i] - before[i]. Pairing removes what the pairs have in common, such as an item's difficulty."""
    if len(after) != len(before):
        raise ValueError(f"paired values must be as many on both sides, not {len(after)} and {len(before)}")
    return mean_interval(_sample(after, least=2) - _sample(before, least=2), confidence=confidence)


def bootstrap_interval(
    values: Sequence[float], *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> Interval:
    """Mean of many items, with the interval between the percentiles of the means of resamples drawn with replacement.

    Too narrow for fewer than about 20 items; then use `mean_interval`. The same seed gives the same interval.
    """
    sample = _sample(values, least=1)
    tail = _tail(confidence)
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // len(sample))
    means = [
        sample[rng.integers(len(sample), size=(min(rows, resamples - start), len(sample)))].mean(axis=1)
        for start in range(0, resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(sample.mean()), float(low), float(high))


def clustered_interval(
    values: Sequence[float], groups: Sequence[int], *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> Interval:
    """Mean of many items that come in groups, such as several comparisons of one prompt: whole groups are drawn, since
    the items of one are alike.

    Args:
        groups: each item's group. Where every item has its own this is bootstrap_interval.
    Too narrow for fewer than about 20 groups.
    """
    sample = _sample(values, least=1)
    if len(groups) != len(sample):
        raise ValueError(f"{len(sample)} values and {len(groups)} groups; each value has one")
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(group, weights=sample), np.bincount(group)
    tail = _tail(confidence)
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // len(sums))
    means = []
    for start in range(0, resamples, rows):
        drawn = rng.integers(len(sums), size=(min(rows, resamples - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(sample.mean()), float(low), float(high))


def wilson_interval(successes: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Share of successes. `mean` is successes / total; the interval is Wilson's score interval, within [0, 1]."""
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"{successes} of {total} is no share")
    z = float(ndtri(1 - _tail(confidence)))
    share = successes / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # Exact at the ends, where rounding would leave 1e-17 beyond them.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == total else float(centre + half)
    return Interval(share, low, high)


def _quantile_t(confidence: float, degrees: int) -> float:
    return float(stdtrit(degrees, 1 - _tail(confidence)))


def _tail(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a share between 0 and 1, such as 0.95, not {confidence}")
    return (1 - confidence) / 2


def _sample(values: Sequence[float], *, least: int) -> np.ndarray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) < least:
        raise ValueError(f"at least {least} value(s) in one dimension are needed, not shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(f"value {int(np.flatnonzero(~np.isfinite(sample))[0])} is not finite")
    return sample


def _around(mean: float, half: float) -> Interval:
    return Interval(float(mean), float(mean - half), float(mean + half))
