"""Kappas and alpha against statsmodels, scikit-learn and published values."""

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

from pairwright.audit.agreement import cohen, fleiss, interval, krippendorff

FLEISS_1971 = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
     [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip
"""Ten subjects, fourteen raters, five categories: the example that is given with kappa 0.210."""


def test_fleiss_published():
    assert fleiss(FLEISS_1971)[0] == pytest.approx(0.210, abs=5e-4)


def test_fleiss_against_statsmodels():
    rng = np.random.default_rng(0)
    for categories in (2, 3):
        counts = rng.multinomial(5, np.ones(categories) / categories, size=60)
        assert fleiss(counts)[0] == pytest.approx(fleiss_kappa(counts, method="fleiss"), abs=1e-12)


def test_krippendorff_published():
    """Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: 4 observers, 12 units, 5
    categories,
    values missing; nominal alpha 0.743."""
    a = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
    b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
    c = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
    d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
    counts = np.zeros((12, 5))
    for unit, values in enumerate(zip(a, b, c, d)):
        for value in values:
            if value is not None:
                counts[unit, value - 1] += 1
    assert krippendorff(counts)[0] == pytest.approx(0.743, abs=5e-4)


def test_two_votes_by_hand():
    """Four items, two votes each: (A, A), (A, A), (B, B), (A, B). Alpha: observed disagreement 1/4; 5 A and 3 B among
    8,
    expected 2 * 5 * 3 / (8 * 7) = 15/28; 1 - (1/4) / (15/28) = 8/15."""
    counts = np.array([[2, 0], [2, 0], [0, 2], [1, 1]])
    assert krippendorff(counts)[0] == pytest.approx(8 / 15)
    # Fleiss: observed 3/4, expected (5/8)^2 + (3/8)^2 = 34/64; (3/4 - 34/64) / (1 - 34/64) = 14/30.
    assert fleiss(counts)[0] == pytest.approx(14 / 30)


def test_cohen_against_statsmodels():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    other[:120] = one[:120]
    table = np.zeros((3, 3))
    np.add.at(table, (one, other), 1)
    assert cohen(one, other) == pytest.approx(cohens_kappa(table).kappa, abs=1e-12)
    assert cohen(np.zeros(5), np.zeros(5)) == 1.0


def test_everybody_agrees_and_nobody_does():
    same = np.array([[3, 0], [0, 3], [3, 0], [0, 3]])
    assert krippendorff(same)[0] == fleiss(same)[0] == 1.0
    assert krippendorff(np.array([[3, 0], [3, 0]]))[0] == 1.0
    assert krippendorff(np.array([[1, 1], [1, 1]]))[0] < 0


def test_single_votes_are_left_out():
    counts = np.array([[2, 0], [2, 0], [0, 2], [1, 1]])
    more = np.vstack([counts, [[1, 0], [0, 1], [0, 0]]])
    assert krippendorff(more)[0] == krippendorff(counts)[0] and fleiss(more)[0] == fleiss(counts)[0]
    with pytest.raises(ValueError, match="two votes"):
        fleiss(np.array([[1, 0]]))


def test_the_interval_covers():
    """200 draws from a population of alpha 0.36: two votes, each right with 0.8, of balanced truth. 95% of the
    intervals should hold it; 90% at least do."""
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(200):
        truth = rng.integers(0, 2, 80)
        votes = [np.where(rng.random(80) < 0.8, truth, 1 - truth) for _ in range(2)]
        counts = np.stack([sum(vote == category for vote in votes) for category in (0, 1)], axis=1)
        value, low, high = interval(krippendorff, counts, seed)
        assert low <= value <= high
        held += low <= 0.36 <= high
    assert held >= 180


def test_weights_are_repetitions():
    counts = np.array([[2, 0], [2, 0], [0, 2], [1, 1]])
    repeated = np.vstack([counts, counts[3:], counts[3:]])
    for statistic in (fleiss, krippendorff):
        assert statistic(counts, np.array([[1, 1, 1, 3]]))[0] == pytest.approx(statistic(repeated)[0])
