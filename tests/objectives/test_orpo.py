"""ORPO by hand. Odds of 1/2 are 1, of 1/4 are 1/3, of 3/4 are 3."""

import math

import pytest
import torch
from tests.objectives.one import LN2, bare, gradients_of, loss_of, rewards_of

from pairwright.objectives import orpo
from pairwright.objectives.inputs import Pairs


def log_probability(probability: float, tokens: int) -> float:
    """Of an answer whose tokens all have that probability."""
    return tokens * math.log(probability)


def answers(chosen: float, rejected: float, tokens: tuple[int, int] = (2, 3)) -> Pairs:
    return bare(log_probability(chosen, tokens[0]), log_probability(rejected, tokens[1]), tokens)


@pytest.mark.parametrize(
    ("chosen", "rejected", "weight", "expected"),
    [
        (1 / 2, 1 / 4, 0.1, 0.721915),  # log 2 + 0.1 log(4/3): the odds ratio is 3
        (1 / 4, 1 / 2, 0.1, 1.524924),  # log 4 + 0.1 log 4: the odds ratio is 1/3
        (1 / 2, 1 / 2, 0.1, 0.762462),  # log 2 + 0.1 log 2
        (3 / 4, 1 / 4, 1.0, 0.393043),  # log(4/3) + log(10/9): the odds ratio is 9
    ],
)
def test_loss(chosen, rejected, weight, expected):
    assert loss_of(orpo, answers(chosen, rejected), weight=weight) == pytest.approx(expected, abs=1e-6)


def test_the_default_weight_is_a_tenth():
    assert loss_of(orpo, answers(1 / 2, 1 / 4)) == pytest.approx(0.721915, abs=1e-6)


def test_both_terms_are_means_over_the_answers_own_tokens():
    short, long = (loss_of(orpo, answers(1 / 2, 1 / 4, tokens)) for tokens in ((1, 1), (400, 7)))
    assert short == pytest.approx(0.721915, abs=1e-6)
    assert long == pytest.approx(short, abs=1e-9)


def test_gradient():
    """By m_w: -1 - w s(-3's log) * 1 / (1 - P), with s(-log 3) = 1/4 and P_w = 1/2: -1 - 0.1 / 4 * 2 = -1.05, over 2
    tokens. By m_l: 0.1 / 4 * 1 / (1 - 1/4) = 1/30, over 3 tokens."""
    assert gradients_of(orpo, answers(1 / 2, 1 / 4)) == pytest.approx((-0.525, 1 / 90))


def test_rewards_are_log_odds():
    assert rewards_of(orpo, answers(1 / 2, 1 / 4)) == pytest.approx((0, -math.log(3)), abs=1e-12)
    assert rewards_of(orpo, answers(3 / 4, 1 / 2)) == pytest.approx((math.log(3), 0), abs=1e-12)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (-1e-4, 9.210290),  # 1 - P = 9.99950e-5: -log of it is 9.210390, and m is -0.0001
        (-30.0, -30.0),  # P = 1e-13: log(1 - P) is far below the last digit
        (-1e4, -1e4),
        (0.0, 13.815510),  # taken as -1e-6: log(1e6), less 1e-6 / 2
    ],
)
def test_log_odds_keep_their_digits_in_float32(mean, expected):
    """float32 rounds 1 - e^-1e-4 to three digits; expm1 does not."""
    value = torch.tensor([mean])
    chosen, _ = orpo.rewards(Pairs(value, value, torch.tensor([1]), torch.tensor([1])), orpo.Options())
    assert chosen.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("chosen", [0.0, -1e-8, -LN2, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e-8, -LN2, -1e4])
def test_sure_answers_give_numbers(chosen, rejected):
    """A probability of 1 has infinite odds; loss and gradient stay finite."""
    one, two = (torch.tensor([value], requires_grad=True) for value in (chosen, rejected))
    loss = orpo.loss(Pairs(one, two, torch.tensor([1]), torch.tensor([1])), orpo.Options())
    loss.sum().backward()
    assert torch.isfinite(torch.cat([loss, one.grad, two.grad])).all()


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf])
def test_options_that_cannot_be_meant(weight):
    with pytest.raises(ValueError, match=f"weight is {weight}; it must be above 0 and finite"):
        orpo.Options(weight=weight)
