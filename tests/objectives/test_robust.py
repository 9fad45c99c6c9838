"""Robust DPO by hand: [(1 - e) L(w, l) - e L(l, w)] / (1 - 2e), L = -log s(beta D)."""

import math

import pytest
from tests.objectives.one import LN2, gradients_of, loss_of, pair, rewards_of

from pairwright.objectives import dpo, robust


@pytest.mark.parametrize(
    ("d_w", "d_l", "flip_rate", "expected"),
    [
        (1, -1, 0.1, 0.188262),  # (0.9 * 0.313262 - 0.1 * 1.313262) / 0.8 = 0.150610 / 0.8
        (-1, 1, 0.1, 1.438262),  # (0.9 * 1.313262 - 0.1 * 0.313262) / 0.8 = 1.150610 / 0.8
        (1, -1, 0.25, -0.186738),  # (0.75 * 0.313262 - 0.25 * 1.313262) / 0.5: below 0
        (0, 0, 0.1, LN2),
        (5, 5, 0.4, LN2),
    ],
)
def test_loss(d_w, d_l, flip_rate, expected):
    assert loss_of(robust, pair(d_w, d_l), beta=0.5, flip_rate=flip_rate) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("d_w", "d_l", "expected"),
    [
        (0, 0, -0.3125),  # -beta / 2 / 0.8
        (1, -1, -0.196970),  # -0.5 (0.9 * 0.268941 + 0.1 * 0.731059) / 0.8, where DPO has -0.134471
        (-1, 1, -0.428030),  # -0.5 (0.9 * 0.731059 + 0.1 * 0.268941) / 0.8
        (1000, -1000, -0.0625),  # -0.5 * 0.1 / 0.8: it never rests
    ],
)
def test_gradient(d_w, d_l, expected):
    """-beta [(1 - e) s(-z) + e s(z)] / (1 - 2e), z = beta D."""
    chosen, rejected = gradients_of(robust, pair(d_w, d_l), beta=0.5, flip_rate=0.1)
    assert (chosen, rejected) == (pytest.approx(expected, abs=1e-6), pytest.approx(-expected, abs=1e-6))


@pytest.mark.parametrize(("d_w", "d_l"), [(1, -1), (-2, 7), (0, 0)])
def test_without_flips_it_is_dpo(d_w, d_l):
    assert loss_of(robust, pair(d_w, d_l), beta=0.3, flip_rate=0) == loss_of(dpo, pair(d_w, d_l), beta=0.3)


@pytest.mark.parametrize("flip_rate", [0.1, 0.3, 0.45])
def test_over_flipped_labels_it_averages_to_dpo_on_clean_ones(flip_rate):
    """What the method is for: a pair that comes the wrong way round with probability e costs 0.313262 on average."""
    right, wrong = (loss_of(robust, p, beta=0.5, flip_rate=flip_rate) for p in (pair(1, -1), pair(-1, 1)))
    assert (1 - flip_rate) * right + flip_rate * wrong == pytest.approx(0.313262, abs=1e-6)


def test_defaults_are_the_papers():
    """beta 0.1, e 0.1: D = 10 is beta D = 1."""
    assert loss_of(robust, pair(10, 0)) == pytest.approx(0.188262, abs=1e-6)


def test_rewards_are_beta_times_the_log_ratio():
    assert rewards_of(robust, pair(3, -2), beta=0.5) == pytest.approx((1.5, -1.0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": 0}, "beta is 0; it must be above 0 and finite"),
        ({"beta": math.nan}, "beta is nan"),
        ({"beta": math.inf}, "beta is inf"),
        ({"flip_rate": 0.5}, r"flip_rate is 0.5; it must lie in \[0, 0.5\): at a half, labels say nothing"),
        ({"flip_rate": -0.1}, "flip_rate is -0.1"),
        ({"flip_rate": math.nan}, "flip_rate is nan"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        robust.Options(**options)
