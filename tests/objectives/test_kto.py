"""KTO by hand. s(1) = 0.731059, s(-1) = 0.268941."""

import math

import pytest
import torch

from pairwright.errors import ConfigError
from pairwright.objectives import kto
from pairwright.objectives.inputs import Labelled
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.settings import make_objective


def answer(d: float, good: bool, kl: float = 0.0) -> Labelled:
    """An answer whose log-ratio is d."""
    value = torch.tensor([d - 20.0], dtype=torch.float64, requires_grad=True)
    start, point = torch.tensor([-20.0], dtype=torch.float64), torch.tensor([kl], dtype=torch.float64)
    return Labelled(value, torch.tensor([4]), torch.tensor([good]), point, start)


def loss(d: float, good: bool, kl: float = 0.0, **options) -> float:
    return kto.loss(answer(d, good, kl), kto.Options(**options)).item()


def gradient(d: float, good: bool, kl: float = 0.0, **options) -> float:
    given = answer(d, good, kl)
    kto.loss(given, kto.Options(**options)).backward()
    return given.logps.grad.item()


@pytest.mark.parametrize(
    ("d", "good", "kl", "expected"),
    [
        (2, True, 0, 0.268941),  # 1 - s(1)
        (-2, True, 0, 0.731059),
        (2, False, 0, 0.731059),  # 1 - s(-1): a flipped sign would swap these with the first two
        (-2, False, 0, 0.268941),
        (3, True, 1, 0.268941),  # only d - z0 counts
        (3, False, 1, 0.731059),
        (5, True, 5, 0.5),
    ],
)
def test_loss(d, good, kl, expected):
    assert loss(d, good, kl, beta=0.5) == pytest.approx(expected, abs=1e-6)


def test_the_default_beta_is_a_tenth():
    assert loss(10, True) == pytest.approx(0.268941, abs=1e-6)


def test_weights_multiply_the_losses_of_their_side():
    assert loss(2, True, beta=0.5, desirable_weight=2, undesirable_weight=3) == pytest.approx(0.537883, abs=1e-6)
    assert loss(2, False, beta=0.5, desirable_weight=2, undesirable_weight=3) == pytest.approx(2.193176, abs=1e-6)


@pytest.mark.parametrize(
    ("d", "good", "expected"),
    [
        (0, True, -0.125),  # -beta s(0) s(-0) = -0.5 / 4
        (0, False, 0.125),
        (2, True, -0.098306),  # -0.5 * 0.731059 * 0.268941
        (-2, True, -0.098306),  # an answer far off on either side is pulled less
        (60, False, 0.0),
    ],
)
def test_gradient(d, good, expected):
    assert gradient(d, good, beta=0.5) == pytest.approx(expected, abs=1e-6)


def test_rewards_are_beta_times_the_log_ratio():
    assert kto.rewards(answer(3, False, 7), kto.Options(beta=0.5)).item() == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("good", "bad", "given", "expected"),
    [
        (100, 100, {}, (1, 1)),
        (100, 75, {}, (1, 1)),  # 4/3
        (300, 100, {}, (1, 2.25)),  # 300 / (2.25 * 100) = 4/3
        (100, 300, {}, (3, 1)),  # 3 * 100 / 300 = 1
        (300, 100, {"desirable_weight": 2.0}, (2, 4.5)),
        (100, 300, {"desirable_weight": 1.0}, (1, 1 / 3)),  # the other side is lowered
        (300, 100, {"undesirable_weight": 1.0}, (4 / 9, 1)),
        (100, 300, {"undesirable_weight": 2.0}, (6, 2)),
        (100, 900, {"desirable_weight": 1.0, "undesirable_weight": 1.0}, (1, 1)),  # as asked
    ],
)
def test_weights_from_the_numbers_of_answers(good, bad, given, expected):
    found = kto.fitted(kto.Options(beta=0.3, **given), good, bad)
    assert (found.desirable_weight, found.undesirable_weight) == pytest.approx(expected)
    assert found.beta == 0.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": 0}, "beta is 0; it must be above 0 and finite"),
        ({"beta": math.nan}, "beta is nan"),
        ({"desirable_weight": 0}, "desirable_weight is 0; it must be above 0 and finite"),
        ({"undesirable_weight": math.inf}, "undesirable_weight is inf"),
        ({"undesirable_weight": math.nan}, "undesirable_weight is nan"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        kto.Options(**options)


def test_there_is_no_chosen_answer_to_add_the_likelihood_of():
    with pytest.raises(ConfigError, match="kto has no pairs"):
        make_objective(TrainConfig("m", "d", "o", method="kto", nll_weight=1.0))
