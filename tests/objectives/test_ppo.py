"""PPO by hand, and against a plain twin: numpy, float64, one answer at a time."""

import math

import numpy as np
import pytest
import torch

from pairwright.objectives import ppo
from pairwright.objectives.inputs import Sampled


def sampled(ratios, advantages, ref=None) -> Sampled:
    old = torch.full((len(ratios),), -2.0)
    return Sampled(old + torch.tensor(ratios).log(), old, torch.tensor(advantages), ref)


def test_policy_loss():
    """Clip 0.2. rho 1.5, A 2: max(-3, -2.4) = -2.4. rho 0.5, A -1: max(0.5, 0.8) = 0.8. rho 0.5, A 2: max(-1, -1.6) =
    -1. rho 1.5, A -1: max(1.5, 1.2) = 1.5. rho 1: -A."""
    inputs = sampled([1.5, 0.5, 0.5, 1.5, 1.0], [2.0, -1.0, 2.0, -1.0, 3.0])
    assert ppo.loss(inputs, ppo.Options()).tolist() == pytest.approx([-2.4, 0.8, -1.0, 1.5, -3.0], abs=1e-6)


def test_policy_gradient():
    """-A rho where the plain term counts, 0 where the clipped one does."""
    inputs = sampled([1.5, 0.5, 0.5, 1.5, 1.0], [2.0, -1.0, 2.0, -1.0, 3.0])
    logps = inputs.logps.clone().requires_grad_()
    ppo.loss(Sampled(logps, inputs.old_logps, inputs.advantages), ppo.Options()).sum().backward()
    assert logps.grad.tolist() == pytest.approx([0, 0, -1.0, 1.5, -3.0], abs=1e-6)


def test_value_loss():
    """Clip 0.2, old value 0. V 1, R 2: V_clip 0.2, 0.5 * 1.8^2 = 1.62. V 1, R 0: 0.5 * 1 = 0.5. V 0.1, R 1: 0.5 *
    0.81 = 0.405."""
    values = torch.tensor([1.0, 1.0, 0.1], requires_grad=True)
    loss = ppo.value_loss(values, torch.zeros(3), torch.tensor([2.0, 0.0, 1.0]), 0.2)
    assert loss.tolist() == pytest.approx([1.62, 0.5, 0.405])
    loss.sum().backward()
    assert values.grad.tolist() == pytest.approx([0.0, 1.0, -0.9])  # the first is held by the clip
    with pytest.raises(ValueError, match=r"returns \(2,\)"):
        ppo.value_loss(torch.zeros(3), torch.zeros(3), torch.zeros(2), 0.2)


def test_gae():
    """gamma 1, lambda 0.5. (0, 1) with values (0.5, 0.25): d = (-0.25, 0.75), A = (0.125, 0.75). A single token with
    reward 2 and value 0.5: 1.5; what stands beyond it counts for nothing."""
    rewards = torch.tensor([[0.0, 1.0], [2.0, 99.0]])
    values = torch.tensor([[0.5, 0.25], [0.5, -7.0]])
    found = ppo.gae(rewards, values, torch.tensor([2, 1]), gamma=1.0, gae_lambda=0.5)
    assert found.tolist() == [[0.125, 0.75], [1.5, 0.0]]


def test_gae_discounts():
    """gamma 0.5, lambda 1: the return 0.5^2 * 8 = 2 of the first of three tokens less its value 1: 1."""
    found = ppo.gae(torch.tensor([[0.0, 0.0, 8.0]]), torch.tensor([[1.0, 3.0, 5.0]]), torch.tensor([3]), 0.5, 1.0)
    assert found.tolist() == [[1.0, 1.0, 3.0]]


def test_token_rewards():
    """kl (0.5, 0) and (1), scores (2, 3), coefficient 0.1: (-0.05, 2) and 3 - 0.1."""
    rewards = ppo.token_rewards(torch.tensor([0.5, 0.0, 1.0]), torch.tensor([2.0, 3.0]), torch.tensor([2, 1]), 0.1)
    assert rewards.tolist() == pytest.approx([-0.05, 2.0, 2.9])


def test_whiten():
    assert ppo.whiten(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1, 0, 1], abs=1e-6)
    assert ppo.whiten(torch.tensor([5.0])).tolist() == [0.0]
    assert ppo.whiten(torch.tensor([2.0, 2.0])).tolist() == [0.0, 0.0]


def test_divergence():
    """A token that became twice as likely: k1 log 2 = 0.693147, k3 1/2 - 1 + log 2 = 0.193147; half as likely: k1
    -0.693147, k3 2 - 1 - log 2 = 0.306853; unmoved: 0."""
    logps = torch.tensor([math.log(2), -math.log(2), 0.0])
    assert ppo.k1(logps, torch.zeros(3)).tolist() == pytest.approx([0.693147, -0.693147, 0.0], abs=1e-6)
    assert ppo.k3(logps, torch.zeros(3)).tolist() == pytest.approx([0.193147, 0.306853, 0.0], abs=1e-6)


def test_both_estimators_have_the_mean_of_the_divergence():
    """Two tokens, pi = (0.75, 0.25), ref = (0.5, 0.5): KL = 0.75 log 1.5 + 0.25 log 0.5 = 0.130812."""
    pi, ref = torch.tensor([0.75, 0.25]), torch.tensor([0.5, 0.5])
    for estimator in (ppo.k1, ppo.k3):
        assert float((pi * estimator(pi.log(), ref.log())).sum()) == pytest.approx(0.130812, abs=1e-6)


@pytest.mark.parametrize(
    ("kl", "answers", "target", "expected"),
    [
        (12.0, 500, 10.0, 0.0505),  # error 0.2: 0.05 (1 + 0.2 * 500 / 10000)
        (99.0, 500, 10.0, 0.0505),  # no faster however far
        (11.0, 1000, 10.0, 0.0505),  # error 0.1: 0.05 (1 + 0.1 * 0.1)
        (0.0, 500, 10.0, 0.0495),
        (99.0, 500, None, 0.05),
    ],
)
def test_steering(kl, answers, target, expected):
    assert ppo.steered(0.05, kl, answers, target) == pytest.approx(expected)


def plain_advantages(logps, ref, values, scores, lengths, coefficient, gamma, lam):
    """Answer by answer from the definitions: A_t = sum_l (gamma lambda)^l d_{t+l}."""
    found, returns, at = [], [], 0
    for score, length in zip(scores, lengths):
        reward = [-coefficient * (logps[at + t] - ref[at + t]) for t in range(length)]
        reward[-1] += score
        value = [*values[at : at + length], 0.0]
        delta = [reward[t] + gamma * value[t + 1] - value[t] for t in range(length)]
        for t in range(length):
            found.append(sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, length)))
            returns.append(found[-1] + value[t])
        at += length
    found = np.array(found)
    return (found - found.mean()) / found.std(ddof=1), np.array(returns)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 0.0), (1.0, 1.0)])
def test_advantages_are_those_of_the_plain_twin(gamma, lam):
    lengths = [3, 1, 7, 2]
    rng = np.random.default_rng(0)
    logps, ref, values = (rng.normal(size=sum(lengths)) for _ in range(3))
    scores = rng.normal(size=4)
    tensors = [torch.tensor(x) for x in (logps, ref, values, scores, lengths)]
    found, returns = ppo.advantages(*tensors, 0.3, ppo.Options(gamma=gamma, gae_lambda=lam))
    expected, plain_returns = plain_advantages(logps, ref, values, scores, lengths, 0.3, gamma, lam)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(returns.numpy(), plain_returns, atol=1e-12)


def test_order_of_answers_and_padding_do_not_matter():
    """An answer's returns are its own, beside a long answer or alone."""
    lengths = torch.tensor([2, 9])
    logps, ref, values = torch.randn(3, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores = torch.tensor([1.0, -2.0], dtype=torch.float64)
    both = ppo.advantages(logps, ref, values, scores, lengths, 0.1, ppo.Options())[1]
    one = ppo.advantages(logps[:2], ref[:2], values[:2], scores[:1], lengths[:1], 0.1, ppo.Options())[1]
    torch.testing.assert_close(both[:2], one, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": 0}, "clip is 0"),
        ({"kl_coef": -1}, "kl_coef is -1"),
        ({"target_kl": 0}, "target_kl is 0"),
        ({"target_kl": 5, "kl_coef": 0}, "kl_coef 0"),
        ({"gamma": 1.5}, "gamma is 1.5"),
        ({"gae_lambda": -0.1}, "gae_lambda -0.1"),
        ({"update_epochs": 0}, "update_epochs is 0"),
        ({"minibatches": 0}, "minibatches is 0"),
        ({"value_clip": 0}, "value_clip is 0"),
        ({"value_learning_rate": 0}, "value_learning_rate is 0"),
    ],
)
def test_settings_that_cannot_be_meant(settings, message):
    with pytest.raises(ValueError, match=message):
        ppo.Options(**settings)
