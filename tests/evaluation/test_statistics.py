"""Intervals against numbers from tables and textbooks, worked out by hand, and against scipy's own."""

import numpy as np
import pytest
import scipy.stats

from pairwright.evaluation.statistics import (
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    wilson_interval,
)


def test_mean_interval_by_hand():
    """Values 1, 2, 3: mean 2, s = 1, s/sqrt(3) = 0.577350; t(2 degrees, 0.975) = 4.302653 in every table.

    Half width 4.302653 * 0.577350 = 2.484138.
    """
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == pytest.approx(2.0)
    assert interval.low == pytest.approx(2 - 2.484138, abs=1e-5)
    assert interval.high == pytest.approx(2 + 2.484138, abs=1e-5)


def test_mean_interval_at_another_confidence():
    """t(1 degree, 0.75) = tan(pi/4) = 1: the 50% interval of two values ends at the values themselves.

    Values 0 and 2: mean 1, s = sqrt(2), s/sqrt(2) = 1.
    """
    assert mean_interval([0.0, 2.0], confidence=0.5).as_dict() == pytest.approx({"mean": 1.0, "low": 0.0, "high": 2.0})


def test_mean_interval_stays_where_the_values_can_be():
    """0.9 and 1.0: mean 0.95, s/sqrt(2) = 0.05, t(1 degree, 0.975) = 12.7062: 0.95 +- 0.635, cut at 1."""
    interval = mean_interval([0.9, 1.0], within=(0, 1))
    assert (interval.mean, interval.high) == (pytest.approx(0.95), 1.0)
    assert interval.low == pytest.approx(0.95 - 0.63531, abs=1e-5)


def test_mean_interval_agrees_with_scipy():
    values = np.random.default_rng(1).normal(3, 2, size=17)
    low, high = scipy.stats.t.interval(0.9, 16, loc=values.mean(), scale=scipy.stats.sem(values))
    interval = mean_interval(values, confidence=0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-12)


def test_equal_values_have_no_width():
    assert mean_interval([0.25, 0.25, 0.25]) == Interval(0.25, 0.25, 0.25)


def test_paired_difference_by_hand():
    """Differences 1, 2, 3 hidden under items of very different difficulty: as test_mean_interval_by_hand."""
    interval = paired_difference([11.0, 102.0, 1003.0], [10.0, 100.0, 1000.0])
    assert interval.mean == pytest.approx(2.0)
    assert (interval.low, interval.high) == pytest.approx((-0.484138, 4.484138), abs=1e-5)


def test_paired_difference_has_the_sign_of_the_gain():
    assert paired_difference([0.8, 0.9], [0.5, 0.6]).mean == pytest.approx(0.3)


def test_wilson_by_hand():
    """5 of 10 at 95%, z^2 = 3.841459: centre 0.5 by symmetry.

    Half width 1.959964/(1 + 0.3841459) * sqrt(0.025 + 3.841459/400) = 1.416010 * 0.186027 = 0.263416.
    """
    interval = wilson_interval(5, 10)
    assert interval.mean == 0.5
    assert (interval.low, interval.high) == pytest.approx((0.236593, 0.763407), abs=2e-6)


def test_wilson_at_the_ends():
    """0 of n: low 0, high z^2/(n + z^2) = 3.841459/13.841459 = 0.277533 for n = 10; mirrored for 10 of 10."""
    assert wilson_interval(0, 10).low == 0
    assert wilson_interval(0, 10).high == pytest.approx(0.277533, abs=1e-6)
    assert wilson_interval(10, 10).high == 1
    assert wilson_interval(10, 10).low == pytest.approx(1 - 0.277533, abs=1e-6)


@pytest.mark.parametrize(("successes", "total"), [(1, 3), (17, 20), (81, 263), (999, 1000)])
def test_wilson_agrees_with_scipy(successes, total):
    theirs = scipy.stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
    ours = wilson_interval(successes, total)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_bootstrap_of_a_coin():
    """400 tosses, half heads: the mean's standard error is 0.5/20 = 0.025, so 95% lies within 0.5 +- 0.049."""
    interval = bootstrap_interval([0.0, 1.0] * 200, seed=0)
    assert interval.mean == 0.5
    assert (interval.low, interval.high) == pytest.approx((0.451, 0.549), abs=0.004)


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(2).exponential(size=200)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=3)
    ours = bootstrap_interval(values, seed=4, resamples=20_000)
    expected = (theirs.confidence_interval.low, theirs.confidence_interval.high)
    assert (ours.low, ours.high) == pytest.approx(expected, abs=0.005)


def test_bootstrap_repeats_with_its_seed():
    values = np.random.default_rng(5).normal(size=50)
    assert bootstrap_interval(values, seed=7) == bootstrap_interval(values, seed=7)
    assert bootstrap_interval(values, seed=7) != bootstrap_interval(values, seed=8)


def test_bootstrap_draws_every_resample_in_blocks(monkeypatch):
    """With room for two rows at a time, 5 resamples are drawn in blocks of 2, 2 and 1."""
    monkeypatch.setattr("pairwright.evaluation.statistics._BLOCK", 6)
    drawn = []
    quantile = np.quantile
    monkeypatch.setattr(np, "quantile", lambda means, q: drawn.append(len(means)) or quantile(means, q))
    bootstrap_interval([1.0, 2.0, 3.0], seed=0, resamples=5)
    assert drawn == [5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mean_interval([1.0]), "at least 2"),
        (lambda: mean_interval([]), "at least 2"),
        (lambda: mean_interval([1.0, float("nan")]), "value 1 is not finite"),
        (lambda: mean_interval([1.0, 2.0], confidence=95), "between 0 and 1"),
        (lambda: bootstrap_interval([], seed=0), "at least 1"),
        (lambda: paired_difference([1.0, 2.0], [1.0]), "2 and 1"),
        (lambda: wilson_interval(3, 2), "3 of 2"),
        (lambda: wilson_interval(0, 0), "0 of 0"),
    ],
)
def test_what_has_no_interval_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
