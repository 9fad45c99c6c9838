"""DPO-Positive by hand: -log s(beta [D - penalty * max(0, -d_w)])."""

import math

import pytest
from tests.objectives.one import LN2, gradients_of, loss_of, pair, rewards_of

from pairwright.objectives import dpo, dpop


@pytest.mark.parametrize(
    ("d_w", "d_l", "expected"),
    [
        (1, -1, 0.313262),  # the chosen answer has risen: nothing to punish
        (-1, -4, 0.474077),  # 0.5 (3 - 2) = 0.5
        (-1, -3, LN2),  # 0.5 (2 - 2) = 0: it leads by 2, and has fallen by 1
        (-2, 0, 3.048587),  # 0.5 (-2 - 4) = -3
        (0, 0, LN2),
    ],
)
def test_loss(d_w, d_l, expected):
    assert loss_of(dpop, pair(d_w, d_l), beta=0.5, penalty=2) == pytest.approx(expected, abs=1e-6)


def test_the_defaults_are_beta_03_and_a_penalty_of_50():
    """0.3 (100 - 50 * 2) = 0."""
    assert loss_of(dpop, pair(-2, -102)) == pytest.approx(LN2, abs=1e-6)
    assert loss_of(dpop, pair(2, -4 / 3)) == pytest.approx(0.313262, abs=1e-6)


def test_a_fallen_answer_is_pulled_up_harder():
    """z = 0.5, s(-z) = 0.377541: -0.5 (1 + 2) s(-z) on the chosen side, 0.5 s(-z) on the other."""
    assert gradients_of(dpop, pair(-1, -4), beta=0.5, penalty=2) == pytest.approx((-0.566311, 0.188770), abs=1e-6)


@pytest.mark.parametrize(("d_w", "d_l"), [(3, 1), (0, 5), (0.001, -200)])
def test_where_the_chosen_answer_has_not_fallen_it_is_dpo(d_w, d_l):
    ours, plain = gradients_of(dpop, pair(d_w, d_l), beta=0.5), gradients_of(dpo, pair(d_w, d_l), beta=0.5)
    assert ours == plain
    assert loss_of(dpop, pair(d_w, d_l), beta=0.5) == loss_of(dpo, pair(d_w, d_l), beta=0.5)


def test_without_a_penalty_it_is_dpo_everywhere():
    assert loss_of(dpop, pair(-5, -9), beta=0.5, penalty=0) == loss_of(dpo, pair(-5, -9), beta=0.5)


def test_lowering_the_rejected_answer_alone_does_not_pay():
    """The failure that it is made against: both fall, the rejected one faster. DPO's loss falls, this one rises."""
    before, after = pair(0, 0), pair(-1, -20)
    assert loss_of(dpo, after) < loss_of(dpo, before)
    assert loss_of(dpop, after) > loss_of(dpop, before)


def test_rewards_leave_the_penalty_out():
    assert rewards_of(dpop, pair(-3, -5), beta=0.5) == pytest.approx((-1.5, -2.5))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": 0}, "beta is 0; it must be above 0 and finite"),
        ({"beta": math.nan}, "beta is nan"),
        ({"penalty": -1}, "penalty is -1; it must be 0 or above and finite"),
        ({"penalty": math.nan}, "penalty is nan"),
        ({"penalty": math.inf}, "penalty is inf"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        dpop.Options(**options)
