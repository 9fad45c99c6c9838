"""IPO by hand: (h - 1 / (2 tau))^2, h per token or as a sum."""

import math

import pytest
from tests.objectives.one import gradients_of, loss_of, pair, rewards_of

from pairwright.objectives import ipo


@pytest.mark.parametrize(
    ("d_w", "d_l", "tau", "reduction", "expected"),
    [
        (3, -4, 0.5, "mean", 1),  # h = 3/3 + 4/4 = 2, target 1
        (3, -4, 0.5, "sum", 36),  # h = 7
        (-3, 4, 0.5, "mean", 9),  # h = -2: a flipped sign would swap this with the first
        (-3, 4, 0.5, "sum", 64),
        (0, 0, 0.1, "mean", 25),  # target 5
        (0, 0, 0.1, "sum", 25),
        (30, 20, 0.25, "sum", 64),  # only the difference counts: (10 - 2)^2
    ],
)
def test_loss(d_w, d_l, tau, reduction, expected):
    assert loss_of(ipo, pair(d_w, d_l), tau=tau, reduction=reduction) == pytest.approx(expected, abs=1e-12)


def test_means_at_tau_a_tenth_are_the_default():
    """d_w = 3 over 3 tokens: h = 1, target 5."""
    assert loss_of(ipo, pair(3, 0)) == pytest.approx(16, abs=1e-12)


def test_the_gradient_is_spread_over_the_tokens():
    """h = 2, target 1: 2 (h - 1) = 2, for each of 3 chosen tokens 2/3, of 4 rejected ones -1/2. With sums 2 (7 - 1)."""
    assert gradients_of(ipo, pair(3, -4), tau=0.5) == pytest.approx((2 / 3, -1 / 2))
    assert gradients_of(ipo, pair(3, -4), tau=0.5, reduction="sum") == pytest.approx((12, -12))


@pytest.mark.parametrize(("reduction", "at"), [("mean", 15.0), ("sum", 5.0)])
def test_it_rests_at_a_margin_of_1_over_2_tau(reduction, at):
    """tau 0.1: the target is 5, a d_w of 15 over 3 tokens. Before it the chosen answer is raised, behind it lowered."""
    options = {"tau": 0.1, "reduction": reduction}
    assert loss_of(ipo, pair(at, 0), **options) == pytest.approx(0, abs=1e-12)
    assert gradients_of(ipo, pair(at, 0), **options) == pytest.approx((0, 0), abs=1e-12)
    before, behind = (gradients_of(ipo, pair(at + d, 0), **options) for d in (-0.1, 0.1))
    assert before[0] < 0 < before[1]
    assert behind[1] < 0 < behind[0]


def test_rewards_differ_by_a_half_where_the_loss_is_zero():
    assert rewards_of(ipo, pair(3, -4), tau=0.5) == pytest.approx((0.5, -0.5))
    assert rewards_of(ipo, pair(3, -4), tau=0.5, reduction="sum") == pytest.approx((1.5, -2))
    chosen, rejected = rewards_of(ipo, pair(15, 0))
    assert chosen - rejected == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tau": 0}, "tau is 0; it must be above 0 and finite"),
        ({"tau": math.nan}, "tau is nan"),
        ({"tau": math.inf}, "tau is inf"),
        ({"reduction": "average"}, "reduction is 'average'; it must be one of mean, sum"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        ipo.Options(**options)
