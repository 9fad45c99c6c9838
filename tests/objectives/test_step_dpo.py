"""Step-DPO by hand: DPO's loss, with log-probabilities of one step."""

import math

import pytest
from tests.objectives.one import LN2, gradients_of, loss_of, pair, rewards_of

from pairwright.objectives import step_dpo


@pytest.mark.parametrize(
    ("d_w", "d_l", "expected"),
    [(1, -1, 0.313262), (-1, 1, 1.313262), (0, 0, LN2), (4, 0, 0.126928), (7, 5, 0.313262)],
)
def test_loss(d_w, d_l, expected):
    """beta 0.5: the margin is half of d_w - d_l."""
    assert loss_of(step_dpo, pair(d_w, d_l), beta=0.5) == pytest.approx(expected, abs=1e-6)


def test_the_default_beta_is_a_half():
    assert loss_of(step_dpo, pair(1, -1)) == pytest.approx(0.313262, abs=1e-6)


def test_the_pull_on_both_steps():
    """beta s(-1) = 0.5 * 0.268941."""
    assert gradients_of(step_dpo, pair(1, -1), beta=0.5) == pytest.approx((-0.134471, 0.134471), abs=1e-6)


def test_rewards_are_beta_times_the_log_ratio():
    assert rewards_of(step_dpo, pair(3, -2), beta=0.5) == pytest.approx((1.5, -1.0))


@pytest.mark.parametrize("beta", [0, -1, math.nan, math.inf])
def test_options_that_cannot_be_meant(beta):
    with pytest.raises(ValueError, match=f"beta is {beta}; it must be above 0 and finite"):
        step_dpo.Options(beta=beta)
