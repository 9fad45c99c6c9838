"""SimPO by hand: -log s(beta (m_w - m_l) - gamma), gamma = ratio * beta."""

import math

import pytest
from tests.objectives.one import LN2, bare, gradients_of, loss_of, rewards_of

from pairwright.objectives import simpo


@pytest.mark.parametrize(
    ("chosen", "rejected", "options", "expected"),
    [
        (-3, -8, {"beta": 2, "gamma_beta_ratio": 0.5}, 0.313262),  # 2 (-1 + 2) - 1 = 1
        (-6, -4, {"beta": 2, "gamma_beta_ratio": 0}, 2.126928),  # 2 (-2 + 1) = -2
        (-3, -8, {"beta": 2, "gamma_beta_ratio": 0}, 0.126928),  # 2
        (-3, -8, {"beta": 2, "gamma_beta_ratio": 1}, LN2),  # the margin is met to the nat: 0
        (-3, -8, {"beta": 1, "gamma_beta_ratio": 2}, 1.313262),  # 1 - 2 = -1
        (-3, -4, {"beta": 2, "gamma_beta_ratio": 0.5}, 1.313262),  # equal means: -gamma = -1
    ],
)
def test_loss(chosen, rejected, options, expected):
    assert loss_of(simpo, bare(chosen, rejected, (3, 4)), **options) == pytest.approx(expected, abs=1e-6)


def test_beta_2_and_a_ratio_of_a_half_are_the_defaults():
    assert loss_of(simpo, bare(-3, -8, (3, 4))) == pytest.approx(0.313262, abs=1e-6)


def test_length_earns_nothing():
    """Sums of -300 and -8 with means of -1 and -2."""
    assert loss_of(simpo, bare(-300, -8, (300, 4))) == pytest.approx(0.313262, abs=1e-6)


def test_gradient():
    """-beta s(-1) / |y|: 2 * 0.268941 over 3 and 4 tokens."""
    assert gradients_of(simpo, bare(-3, -8, (3, 4))) == pytest.approx((-0.179294, 0.134471), abs=1e-6)


def test_it_still_pulls_where_the_lead_is_smaller_than_the_margin():
    """At a lead of half the margin: s(0.5) = 0.622459 of the full pull, where DPO's would be below a half."""
    chosen, _ = gradients_of(simpo, bare(-3, -5, (3, 4)))
    assert chosen == pytest.approx(-2 / 3 * 0.622459, abs=1e-6)


def test_rewards_are_beta_times_the_mean():
    assert rewards_of(simpo, bare(-3, -8, (3, 4)), beta=2) == pytest.approx((-2, -4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": 0}, "beta is 0; it must be above 0 and finite"),
        ({"beta": math.nan}, "beta is nan"),
        ({"gamma_beta_ratio": -0.1}, "gamma_beta_ratio is -0.1; it must be 0 or above and finite"),
        ({"gamma_beta_ratio": math.inf}, "gamma_beta_ratio is inf"),
        ({"gamma_beta_ratio": math.nan}, "gamma_beta_ratio is nan"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        simpo.Options(**options)
