"""R-DPO by hand: -log s(beta D + alpha (|y_w| - |y_l|))."""

import math

import pytest
from tests.objectives.one import LN2, gradients_of, loss_of, pair, rewards_of

from pairwright.objectives import dpo, r_dpo


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ((12, 8), 0.126928),  # 1 + 0.25 * 4 = 2: the longer answer leads already
        ((8, 12), LN2),  # 1 - 1 = 0
        ((8, 8), 0.313262),  # plain DPO
        ((4, 12), 1.313262),  # 1 - 2 = -1
    ],
)
def test_loss(tokens, expected):
    assert loss_of(r_dpo, pair(1, -1, tokens), beta=0.5, alpha=0.25) == pytest.approx(expected, abs=1e-6)


def test_the_defaults():
    """beta 0.1, alpha 0.05: 0.1 * 10 + 0.05 * 20 = 2."""
    assert loss_of(r_dpo, pair(10, 0, (30, 10))) == pytest.approx(0.126928, abs=1e-6)


def test_a_longer_chosen_answer_is_pushed_less():
    """-beta s(-z): z = 2 for the longer one, 0 for the shorter one."""
    longer, shorter = (gradients_of(r_dpo, pair(1, -1, t), beta=0.5, alpha=0.25) for t in ((12, 8), (8, 12)))
    assert longer == pytest.approx((-0.059601, 0.059601), abs=1e-6)  # 0.5 * 0.119203
    assert shorter == pytest.approx((-0.25, 0.25), abs=1e-6)


@pytest.mark.parametrize("tokens", [(12, 8), (8, 12)])
def test_with_alpha_0_it_is_dpo(tokens):
    found = loss_of(r_dpo, pair(3, 1, tokens), beta=0.5, alpha=0)
    assert found == pytest.approx(loss_of(dpo, pair(3, 1, tokens), beta=0.5), abs=1e-15)


def test_rewards_leave_length_out():
    assert rewards_of(r_dpo, pair(3, -2, (100, 1)), beta=0.5) == pytest.approx((1.5, -1.0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": 0}, "beta is 0; it must be above 0 and finite"),
        ({"beta": math.nan}, "beta is nan"),
        ({"alpha": -0.1}, "alpha is -0.1; it must be 0 or above and finite"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"alpha": math.inf}, "alpha is inf"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        r_dpo.Options(**options)
