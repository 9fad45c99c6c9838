"""The three RPOs by hand. log pi(y_w) is start + d_w = -20 + 1 = -19."""

import math

import pytest
from tests.objectives.one import gradients_of, loss_of, pair, rewards_of

from pairwright.objectives import dpo, rpo

LOG3 = math.log(3)


def rated(d_w: float, d_l: float, difference: float):
    return pair(d_w, d_l, rating_chosen=5 + difference, rating_rejected=5.0)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("regularised", 1.263262),  # 0.313262 + 0.1 * 0.5 * 19
        ("iterative", 0.413262),  # 0.313262 + 0.1 * 19 / 19 tokens
    ],
)
def test_loss_with_likelihood(variant, expected):
    found = loss_of(rpo, pair(1, -1, tokens=(19, 4)), variant=variant, beta=0.5, eta=0.1)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("variant", "chosen"),
    [
        ("regularised", -0.184471),  # -0.5 s(-1) - 0.1 * 0.5
        ("iterative", -0.139734),  # -0.5 s(-1) - 0.1 / 19
    ],
)
def test_the_likelihood_pulls_the_chosen_answer_alone(variant, chosen):
    found = gradients_of(rpo, pair(1, -1, tokens=(19, 4)), variant=variant, beta=0.5, eta=0.1)
    assert found == pytest.approx((chosen, 0.134471), abs=1e-6)


@pytest.mark.parametrize("variant", ["regularised", "iterative"])
def test_with_eta_0_it_is_dpo(variant):
    found = loss_of(rpo, pair(2, -5), variant=variant, beta=0.5, eta=0)
    assert found == pytest.approx(loss_of(dpo, pair(2, -5), beta=0.5), abs=1e-15)


@pytest.mark.parametrize(
    ("d_w", "d_l", "difference", "distance", "expected"),
    [
        (0, 0, LOG3, "backward_kl", 0.130812),  # 3/4 log(3/2) + 1/4 log(1/2)
        (0, 0, LOG3, "forward_kl", 0.143841),  # 1/2 log(2/3) + 1/2 log 2
        (0, 0, LOG3, "squared", 1.206949),  # (log 3)^2
        (0, 0, -LOG3, "backward_kl", 0.130812),  # both directions of a preference alike
        (1, -1, 4, "squared", 9),  # (1 - 4)^2
        (4, -4, 1, "squared", 9),
    ],
)
def test_reward_aware_loss(d_w, d_l, difference, distance, expected):
    options = {"variant": "reward_aware", "beta": 0.5, "eta": 1, "distance": distance}
    assert loss_of(rpo, rated(d_w, d_l, difference), **options) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        ("backward_kl", -0.125),  # beta (s(0) - s(log 3)) = 0.5 (1/2 - 3/4)
        ("forward_kl", -0.137327),  # beta s(0) s(-0) (0 - log 3) = 0.5 * 1/4 * -1.098612
        ("squared", -1.098612),  # 2 beta (0 - log 3)
    ],
)
def test_reward_aware_gradient(distance, expected):
    options = {"variant": "reward_aware", "beta": 0.5, "eta": 1, "distance": distance}
    assert gradients_of(rpo, rated(0, 0, LOG3), **options) == pytest.approx((expected, -expected), abs=1e-6)


@pytest.mark.parametrize("distance", rpo.DISTANCES)
def test_it_rests_where_the_rewards_differ_as_the_ratings_do(distance):
    """A slight preference is learned as a slight one: beta D = eta R, 0.5 * 4 both. Behind it, it pulls back."""
    options = {"variant": "reward_aware", "beta": 0.5, "eta": 0.5, "distance": distance}
    assert loss_of(rpo, rated(3, -1, 4), **options) == pytest.approx(0, abs=1e-12)
    assert gradients_of(rpo, rated(3, -1, 4), **options) == pytest.approx((0, 0), abs=1e-12)
    before, behind = (gradients_of(rpo, rated(3 + d, -1, 4), **options) for d in (-0.1, 0.1))
    assert before[0] < 0 < before[1]
    assert behind[1] < 0 < behind[0]


def test_the_defaults_are_each_variants_own():
    """regularised: beta 0.01, so D = 100 is 1, plus 0.005 * 0.01 * 20 = 0.001. iterative: beta 0.1, plus 20 / 4 tokens.
    reward_aware: beta 0.2, backward_kl, eta 1."""
    assert loss_of(rpo, pair(0, -100)) == pytest.approx(0.314262, abs=1e-6)
    assert loss_of(rpo, pair(0, -10, tokens=(4, 4)), variant="iterative") == pytest.approx(5.313262, abs=1e-6)
    assert loss_of(rpo, rated(0, 0, LOG3), variant="reward_aware") == pytest.approx(0.130812, abs=1e-6)
    assert gradients_of(rpo, rated(0, 0, LOG3), variant="reward_aware")[0] == pytest.approx(-0.05, abs=1e-6)


def test_one_of_two_strengths_may_be_given():
    assert loss_of(rpo, pair(1, -1), beta=0.5) == pytest.approx(0.313262 + 0.005 * 0.5 * 19, abs=1e-6)


@pytest.mark.parametrize("fields", [{}, {"rating_chosen": 1.0}, {"rating_rejected": 1.0}])
def test_missing_ratings_are_refused(fields):
    with pytest.raises(ValueError, match="needs ratings of both answers"):
        loss_of(rpo, pair(0, 0, **fields), variant="reward_aware")


def test_rewards_are_beta_times_the_log_ratio():
    assert rewards_of(rpo, pair(3, -2), variant="iterative", beta=0.5) == pytest.approx((1.5, -1.0))
    assert rewards_of(rpo, pair(3, -2)) == pytest.approx((0.03, -0.02))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variant": "plain"}, "variant is 'plain'; it must be one of regularised, iterative, reward_aware"),
        ({"beta": 0}, "beta is 0; it must be above 0 and finite"),
        ({"beta": math.nan}, "beta is nan"),
        ({"eta": -0.1}, "eta is -0.1; it must be 0 or above and finite"),
        ({"eta": math.inf}, "eta is inf"),
        ({"eta": math.nan}, "eta is nan"),
        ({"variant": "reward_aware", "eta": 0}, "eta is 0; reward_aware scales the ratings by it"),
        ({"distance": "kl"}, "distance is 'kl'; it must be one of squared, backward_kl, forward_kl"),
    ],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        rpo.Options(**options)
