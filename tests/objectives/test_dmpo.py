"""DMPO by hand: the weights of turns, and DPO's loss on what they weigh."""

import math

import pytest
import torch
from tests.objectives.one import gradients_of, loss_of, pair, rewards_of
from tests.tiny import uniform

from pairwright.objectives import dmpo, dpo
from pairwright.recipes.shapes import shaped
from pairwright.records import Source
from pairwright.tokens.sequences import Example, TokenSequence
from pairwright.training.forwards import Objective, forward

TOKEN = 4.110874
"""ln 61, what a token costs a uniform model."""


@pytest.mark.parametrize(
    ("gamma", "weights"),
    [
        (0.5, [1, 3 / 7, 1 / 7]),  # 0.5 * 0.75 / 0.875 and 0.25 * 0.5 / 0.875
        (1.0, [1, 2 / 3, 1 / 3]),
        (0.7, [1, 0.7 * 0.51 / 0.657, 0.49 * 0.3 / 0.657]),
        (0.7, [1, 0.7 * 0.3 / 0.51]),
        (0.7, [1]),  # one turn: DPO
    ],
)
def test_weights_of_turns(gamma, weights):
    options = dmpo.Options(gamma=gamma)
    found = [dmpo.turn_weight(turn, len(weights), options) for turn in range(len(weights))]
    assert found == pytest.approx(weights)


@pytest.mark.parametrize("gamma", [0.3, 0.7, 0.99, 1.0])
def test_weights_fall_from_1_and_stay_above_0(gamma):
    found = [dmpo.turn_weight(turn, 8, dmpo.Options(gamma=gamma)) for turn in range(8)]
    assert found[0] == 1 and found == sorted(found, reverse=True) and found[-1] > 0


def test_gamma_1_is_what_gammas_near_it_come_to():
    near, at = (dmpo.Options(gamma=gamma) for gamma in (1 - 1e-7, 1.0))
    for turn in range(5):
        assert dmpo.turn_weight(turn, 5, near) == pytest.approx(dmpo.turn_weight(turn, 5, at), abs=1e-6)


@pytest.mark.parametrize(("d_w", "d_l", "expected"), [(1, -1, 0.313262), (-1, 1, 1.313262), (4, 0, 0.126928)])
def test_loss(d_w, d_l, expected):
    assert loss_of(dmpo, pair(d_w, d_l), beta=0.5) == pytest.approx(expected, abs=1e-6)
    assert gradients_of(dmpo, pair(1, -1), beta=0.5) == pytest.approx((-0.134471, 0.134471), abs=1e-6)
    assert rewards_of(dmpo, pair(3, -2), beta=0.5) == pytest.approx((1.5, -1.0))


def turns(*answers: int) -> TokenSequence:
    """A conversation of a prompt of two tokens and answers of so many tokens, three tokens of the user between them."""
    mask = [False, False]
    for number in answers:
        mask += [True] * number + [False] * 3
    ids = torch.arange(3, 3 + len(mask)).numpy()
    return TokenSequence(ids, torch.tensor(mask).numpy())


def per_sequence(values):
    def references(batch, built):
        return torch.tensor([values[i] for i in range(built.sequences)])

    return references


def test_turns_reach_the_loss_by_their_weights():
    """gamma 0.5: turns of 2, 1 and 4 tokens weigh 1, 3/7 and 1/7: 2 + 3/7 + 4/7 = 3 tokens; one of 2 tokens is 2.
    References 1 below and 1 above: D = 2, beta 0.5: 0.313262. Unweighed, the sums are of 7 and 2 tokens."""
    objective = Objective(dmpo, dmpo.Options(beta=0.5, gamma=0.5))
    example = Example((turns(2, 1, 4), turns(2)), Source("made.jsonl", 1))
    said = []
    (weighed,) = shaped(objective, [example], [], "all", said.append).examples
    assert said == ["  turns: 1 of 1 examples are scored on several, at most 3"]
    out = forward(uniform(), objective, per_sequence([-3 * TOKEN - 1, -2 * TOKEN + 1]), [weighed])
    assert out.losses.item() == pytest.approx(0.313262, abs=1e-5)
    assert out.metrics["logps/chosen"].item() == pytest.approx(-3 * TOKEN, abs=1e-4)
    plain = Objective(dpo, dpo.Options(beta=0.5))
    assert shaped(plain, [example], [], "all", said.append).examples == [example]
    out = forward(uniform(), plain, per_sequence([-7 * TOKEN - 1, -2 * TOKEN + 1]), [example])
    assert out.losses.item() == pytest.approx(0.313262, abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beta": 0}, "beta is 0; it must be above 0"),
        ({"gamma": 0}, r"gamma is 0; it must lie in \(0, 1\]"),
        ({"gamma": 1.01}, "gamma is 1.01"),
        ({"gamma": math.nan}, "gamma is nan"),
    ],
)
def test_options_that_cannot_be_meant(settings, said):
    with pytest.raises(ValueError, match=said):
        dmpo.Options(**settings)
