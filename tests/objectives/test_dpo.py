"""DPO by hand. s is the logistic function: s(1) = 0.731059, -log s(1) = 0.313262, -log s(-1) = 1.313262."""

import math

import pytest
import torch
from tests.objectives.one import LN2, gradients_of, loss_of, pair, rewards_of

from pairwright.errors import ConfigError
from pairwright.objectives import dpo
from pairwright.objectives.inputs import Pairs
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.settings import make_objective


def loss(d_w: float, d_l: float, **options) -> float:
    return loss_of(dpo, pair(d_w, d_l), **options)


def gradients(d_w: float, d_l: float, **options) -> tuple[float, float]:
    return gradients_of(dpo, pair(d_w, d_l), **options)


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
    assert rewards_of(dpo, pair(3, -2), beta=0.5) == pytest.approx((1.5, -1.0))


# Per token


def test_length_normalised():
    """d_w = 3 over 3 tokens, d_l = -4 over 4 tokens: 1 + 1, times 0.5. The default beta is 5: d_w = 0.6 is 5 * 0.2."""
    assert loss(3, -4, beta=0.5, length_normalised=True) == pytest.approx(0.313262, abs=1e-6)
    assert loss(-3, 4, beta=0.5, length_normalised=True) == pytest.approx(1.313262, abs=1e-6)
    assert loss(0.6, 0, length_normalised=True) == pytest.approx(0.313262, abs=1e-6)


def test_length_normalised_spreads_the_gradient_over_the_tokens():
    """-0.5 s(-1) = -0.134471 over 3 and 4 tokens."""
    found = gradients(3, -4, beta=0.5, length_normalised=True)
    assert found == pytest.approx((-0.044824, 0.033618), abs=1e-6)


def test_length_normalised_rewards_are_per_token():
    assert rewards_of(dpo, pair(3, -4), length_normalised=True) == pytest.approx((5, -5))


# Other divergences


@pytest.mark.parametrize(
    ("ratio", "divergence", "expected"),
    [
        (2, "reverse_kl", 0.223144),  # log 2 + log 2: log(1 + 1/4)
        (2, "forward_kl", 0.201413),  # (1 - 1/2) - (1 - 2) = 1.5
        (2, "js", 0.405465),  # log(4/3) - log(2/3) = log 2: log(3/2)
        (4, "alpha", 0.048587),  # 2 (1 - 1/2) - 2 (1 - 2) = 3
        (1, "forward_kl", LN2),
        (1, "js", LN2),
        (1, "alpha", LN2),
    ],
)
def test_f_divergences(ratio, divergence, expected):
    """The chosen answer `ratio` times as likely as under the reference, the rejected one 1/ratio times; beta 1."""
    d = math.log(ratio)
    assert loss(d, -d, beta=1, f_divergence=divergence) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("divergence", "expected"),
    [
        ("forward_kl", (0.5, -1.0)),
        ("js", (0.287682, -0.405465)),  # log(4/3), log(2/3)
        ("alpha", (0.585786, -0.828427)),  # 2 (1 - 2^-0.5), 2 (1 - 2^0.5)
    ],
)
def test_the_reward_is_beta_times_the_divergences_derivative(divergence, expected):
    found = rewards_of(dpo, pair(math.log(2), -math.log(2)), beta=1, f_divergence=divergence)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("a", "same"), [(1, "reverse_kl"), (0, "forward_kl")])
def test_alpha_reaches_from_forward_to_reverse_kl(a, same):
    found = loss(0.7, -1.1, beta=1, f_divergence="alpha", alpha_divergence=a)
    assert found == loss(0.7, -1.1, beta=1, f_divergence=same)
    near = loss(0.7, -1.1, beta=1, f_divergence="alpha", alpha_divergence=abs(a - 1e-6))
    assert near == pytest.approx(found, abs=1e-5)


def test_an_answer_that_became_impossible_is_still_pulled():
    """e^-d is a straight line from d = -30 on: its slope there is e^30 = 1.068647e13, and the loss beta times that."""
    chosen, _ = gradients(-50, 0, beta=0.5, f_divergence="forward_kl")
    assert chosen == pytest.approx(-0.5 * 1.068647e13, rel=1e-6)
    assert loss(-31, 0, beta=0.5, f_divergence="forward_kl") == pytest.approx(0.5 * 2 * 1.068647e13, rel=1e-6)


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
        ({"f_divergence": "kl"}, "f_divergence is 'kl'; it must be one of reverse_kl, forward_kl, js, alpha"),
        ({"alpha_divergence": 1.1}, r"alpha_divergence is 1.1; it must lie in \[0, 1\]"),
        ({"alpha_divergence": math.nan}, "alpha_divergence is nan"),
        (
            {"length_normalised": True, "f_divergence": "js"},
            "length_normalised goes with f_divergence reverse_kl only, not with js",
        ),
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
