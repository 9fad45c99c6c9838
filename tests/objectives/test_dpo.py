"""DPO by hand. s is the logistic function: s(1) = 0.731059, -log s(1) = 0.313262, -log s(-1) = 1.313262."""

import math

import pytest
import torch

from pairwright.errors import ConfigError
from pairwright.objectives import dpo
from pairwright.objectives.inputs import Pairs
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.train import make_objective

LN2 = 0.693147


def pairs(d_w: float, d_l: float, start: float = -20.0) -> Pairs:
    """One pair whose log-ratios are d_w and d_l."""
    one = lambda value: torch.tensor([value], dtype=torch.float64)  # noqa: E731
    chosen, rejected = one(start + d_w).requires_grad_(), one(2 * start + d_l).requires_grad_()
    return Pairs(chosen, rejected, torch.tensor([3]), torch.tensor([4]), one(start), one(2 * start))


def loss(d_w: float, d_l: float, **options: float) -> float:
    return dpo.loss(pairs(d_w, d_l), dpo.Options(**options)).item()


def gradients(d_w: float, d_l: float, **options: float) -> tuple[float, float]:
    inputs = pairs(d_w, d_l)
    dpo.loss(inputs, dpo.Options(**options)).backward()
    return inputs.chosen.grad.item(), inputs.rejected.grad.item()


@pytest.mark.parametrize(
    ("d_w", "d_l", "beta", "expected"),
    [
        (1, -1, 0.5, 0.313262),  # beta D = 1
        (-1, 1, 0.5, 1.313262),  # beta D = -1: a flipped sign would swap these two
        (2, 0, 0.5, 0.313262),  # only the difference counts
        (10, 8, 0.5, 0.313262),
        (0, 0, 0.1, LN2),
        (20, 0, 0.1, 0.126928),  # beta D = 2: log(1 + e^-2)
        (0, 20, 0.1, 2.126928),
    ],
)
def test_loss(d_w, d_l, beta, expected):
    assert loss(d_w, d_l, beta=beta) == pytest.approx(expected, abs=1e-6)


def test_the_default_beta_is_a_tenth():
    assert loss(10, 0) == pytest.approx(0.313262, abs=1e-6)


def test_float32_starts_at_ln_2_to_the_last_bit():
    value = torch.tensor([-20.0])
    start = Pairs(value, value, torch.tensor([1]), torch.tensor([1]), value, value)
    assert dpo.loss(start, dpo.Options()).item() == 0.6931471824645996
    assert dpo.loss(start, dpo.Options(label_smoothing=0.3)).item() == pytest.approx(0.69314718, abs=1e-7)


@pytest.mark.parametrize(
    ("d_w", "d_l", "beta", "expected"),
    [
        (0, 0, 0.1, -0.05),  # -beta s(0) = -0.1 / 2
        (0, 0, 0.5, -0.25),
        (1, -1, 0.5, -0.134471),  # -0.5 s(-1) = -0.5 * 0.268941
        (-1, 1, 0.5, -0.365529),  # -0.5 s(1)
    ],
)
def test_gradient(d_w, d_l, beta, expected):
    chosen, rejected = gradients(d_w, d_l, beta=beta)
    assert chosen == pytest.approx(expected, abs=1e-6)
    assert rejected == pytest.approx(-expected, abs=1e-6)


def test_label_smoothing():
    """0.9 * 0.313262 + 0.1 * 1.313262 on the right side, the weights swapped on the wrong one."""
    assert loss(1, -1, beta=0.5, label_smoothing=0.1) == pytest.approx(0.413262, abs=1e-6)
    assert loss(-1, 1, beta=0.5, label_smoothing=0.1) == pytest.approx(1.213262, abs=1e-6)
    assert loss(0, 0, beta=0.5, label_smoothing=0.1) == pytest.approx(LN2, abs=1e-6)


def test_label_smoothing_rests_where_the_model_believes_the_labels_as_much_as_they_deserve():
    """e = 0.2: s(beta D) = 0.8 at beta D = ln 4, the loss there -0.8 ln 0.8 - 0.2 ln 0.2 = 0.500402; before it the
    chosen answer is raised, behind it lowered."""
    at = math.log(4) / 0.5
    assert loss(at, 0, beta=0.5, label_smoothing=0.2) == pytest.approx(0.500402, abs=1e-6)
    assert gradients(at, 0, beta=0.5, label_smoothing=0.2) == pytest.approx((0, 0), abs=1e-12)
    before, behind = (gradients(at + d, 0, beta=0.5, label_smoothing=0.2) for d in (-0.1, 0.1))
    assert before[0] < 0 < before[1]
    assert behind[1] < 0 < behind[0]


def test_rewards_are_beta_times_the_log_ratio():
    chosen, rejected = dpo.rewards(pairs(3, -2), dpo.Options(beta=0.5))
    assert (chosen.item(), rejected.item()) == pytest.approx((1.5, -1.0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": 0}, "beta is 0; it must be above 0 and finite"),
        ({"beta": -0.1}, "beta is -0.1; it must be above 0"),
        ({"beta": math.nan}, "beta is nan"),
        ({"beta": math.inf}, "beta is inf"),
        ({"label_smoothing": 0.5}, r"label_smoothing is 0.5; it must lie in \[0, 0.5\)"),
        ({"label_smoothing": -0.01}, "label_smoothing is -0.01"),
        ({"label_smoothing": math.nan}, "label_smoothing is nan"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        dpo.Options(**options)
    with pytest.raises(ConfigError, match=f"options of dpo: {said}"):
        make_objective(TrainConfig("m", "d", "o", options=options))


def test_an_unknown_option_is_named_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"betta.*Its options are: beta, label_smoothing"):
        make_objective(TrainConfig("m", "d", "o", options={"betta": 0.1}))
