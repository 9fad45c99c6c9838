"""The reward loss by hand: -log s(r_w - r_l - margin) + eta (r_w + r_l)^2.

-log s(1) = 0.313262, -log s(-1) = 1.313262, -log s(0) = 0.693147; s(-1) = 0.268941, s(1) = 0.731059.
"""

import pytest
import torch
from tests.objectives.one import one

from pairwright.objectives import reward
from pairwright.objectives.inputs import Scores


def scores(chosen: float, rejected: float, margin: float = 0.0) -> Scores:
    return Scores(one(chosen).requires_grad_(), one(rejected).requires_grad_(), one(margin))


@pytest.mark.parametrize(
    ("chosen", "rejected", "margin", "eta", "expected"),
    [
        (1.5, 0.5, 0, 0, 0.313262),
        (0.5, 1.5, 0, 0, 1.313262),
        (3, 3, 0, 0, 0.693147),
        (1.5, 0.5, 2, 0, 1.313262),  # ahead by 1 where 2 are asked for
        (2.5, 0.5, 1, 0, 0.313262),
        (1.5, 0.5, 0, 0.01, 0.353262),  # and 0.01 * 2^2
        (1.5, -0.5, 1, 0.01, 0.323262),  # 0.01 * 1^2
        (0.5, -0.5, 0, 10, 0.313262),  # centred: no matter how strongly
    ],
)
def test_loss(chosen, rejected, margin, eta, expected):
    found = reward.loss(scores(chosen, rejected, margin), reward.Options(eta=eta)).item()
    assert found == pytest.approx(expected, abs=1e-6)


def test_only_differences_count_without_centring():
    apart = [reward.loss(scores(1 + shift, shift), reward.Options(eta=0)).item() for shift in (-50.0, 0.0, 50.0)]
    assert apart == pytest.approx([0.313262] * 3, abs=1e-6)


@pytest.mark.parametrize(
    ("margin", "eta", "expected"),
    [
        (0, 0, (-0.268941, 0.268941)),  # -(1 - s(1))
        (2, 0, (-0.731059, 0.731059)),  # -(1 - s(-1))
        (0, 0.05, (-0.068941, 0.468941)),  # and 2 * 0.05 * 2 = 0.2 on both
    ],
)
def test_gradient(margin, eta, expected):
    pair = scores(1.5, 0.5, margin)
    reward.loss(pair, reward.Options(eta=eta)).backward()
    assert (pair.chosen.grad.item(), pair.rejected.grad.item()) == pytest.approx(expected, abs=1e-6)


def test_centring_is_on_by_default():
    assert reward.Options().eta == 0.01
    assert reward.loss(scores(1.5, 0.5), reward.Options()).item() == pytest.approx(0.353262, abs=1e-6)


def test_a_swapped_pair_is_behind_by_its_margin():
    """A label of p and a margin m together are the cross-entropy of p and s(r_w - r_l - m)."""
    pair = scores(1.5, 0.5, 2)
    options = reward.Options(eta=0)
    assert reward.loss(pair.swapped(), options).item() == pytest.approx(0.313262, abs=1e-6)
    assert pair.swapped().margin.item() == -2 and pair.swapped().chosen is pair.rejected
    both = torch.exp(-reward.loss(pair, options)) + torch.exp(-reward.loss(pair.swapped(), options))
    assert both.item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("eta", [-0.1, float("inf"), float("nan")])
def test_an_eta_that_cannot_be_meant(eta):
    with pytest.raises(ValueError, match="eta is"):
        reward.Options(eta=eta)
