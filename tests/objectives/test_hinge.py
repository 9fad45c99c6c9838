"""The hinge loss by hand: max(0, 1 - beta D)."""

import math

import pytest
from tests.objectives.one import gradients_of, loss_of, pair, rewards_of

from pairwright.objectives import hinge


@pytest.mark.parametrize(
    ("d_w", "d_l", "expected"),
    [
        (1, 0, 0.5),  # 1 - 0.5
        (2, -1, 0),  # 1 - 1.5 is below 0
        (-1, 1, 2),  # 1 + 1
        (0, 0, 1),
        (1, -1, 0),  # beta D = 1: just enough
        (11, 10, 0.5),  # only the difference counts
    ],
)
def test_loss(d_w, d_l, expected):
    assert loss_of(hinge, pair(d_w, d_l), beta=0.5) == pytest.approx(expected, abs=1e-12)


def test_the_default_beta_is_a_tenth():
    assert loss_of(hinge, pair(5, 0)) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    ("d_w", "d_l", "expected"),
    [(-100, 0, -0.5), (0, 0, -0.5), (1.99, 0, -0.5), (2, 0, 0), (2.01, 0, 0), (100, 0, 0)],
)
def test_the_pull_is_beta_until_the_margin_and_nothing_behind_it(d_w, d_l, expected):
    """The kink is at D = 1 / beta = 2."""
    assert gradients_of(hinge, pair(d_w, d_l), beta=0.5) == (expected, -expected)


def test_rewards_are_beta_times_the_log_ratio():
    assert rewards_of(hinge, pair(3, -2), beta=0.5) == pytest.approx((1.5, -1.0))


@pytest.mark.parametrize("beta", [0, -1, math.nan, math.inf])
def test_options_that_cannot_be_meant(beta):
    with pytest.raises(ValueError, match=f"beta is {beta}; it must be above 0 and finite"):
        hinge.Options(beta=beta)
