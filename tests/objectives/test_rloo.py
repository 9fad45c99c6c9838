"""RLOO by hand."""

import pytest
import torch

from pairwright.errors import ConfigError
from pairwright.objectives import rloo
from pairwright.objectives.inputs import Sampled


def test_advantages():
    """Rewards 1, 2, 6 of one prompt: 1 - (2 + 6)/2 = -3, 2 - 7/2 = -1.5, 6 - 3/2 = 4.5. Of another 5 and 7: -2, 2."""
    scores, group = torch.tensor([1.0, 5.0, 2.0, 6.0, 7.0]), torch.tensor([0, 1, 0, 0, 1])
    found = rloo.advantages(scores, torch.zeros(5), group, 0.05, rloo.Options())
    assert found.tolist() == pytest.approx([-3, -2, -1.5, 4.5, 2])


def test_the_divergence_stands_in_the_reward():
    """Scores 1 and 1, log-ratios 4 and 0, coefficient 0.5: rewards -1 and 1, advantages -2 and 2."""
    found = rloo.advantages(torch.ones(2), torch.tensor([4.0, 0.0]), torch.tensor([0, 0]), 0.5, rloo.Options())
    assert found.tolist() == [-2.0, 2.0]


def test_one_answer_has_nothing_to_compare_with():
    with pytest.raises(ConfigError, match="--samples-per-prompt 2 or more"):
        rloo.advantages(torch.ones(3), torch.zeros(3), torch.tensor([0, 0, 1]), 0.5, rloo.Options())


def test_loss():
    """rho 1.5, A 2, clip 0.2: -2.4; rho 1: -A, whose gradient is REINFORCE's, -A."""
    old = torch.tensor([-3.0, -5.0])
    logps = (old + torch.tensor([1.5, 1.0]).log()).requires_grad_()
    loss = rloo.loss(Sampled(logps, old, torch.tensor([2.0, -4.0])), rloo.Options())
    assert loss.tolist() == pytest.approx([-2.4, 4.0])
    loss.sum().backward()
    assert logps.grad.tolist() == pytest.approx([0.0, 4.0])
