"""GRPO by hand."""

import math

import pytest
import torch

from pairwright.errors import ConfigError
from pairwright.objectives import grpo
from pairwright.objectives.inputs import Sampled


def test_advantages():
    """Scores 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14 over 2: deviation 2.645751; -2, -1, 3 over that plus 0.0001.
    Equal scores of another prompt: 0."""
    scores, group = torch.tensor([1.0, 5.0, 2.0, 6.0, 5.0]), torch.tensor([0, 1, 0, 0, 1])
    found = grpo.advantages(scores, group, grpo.Options())
    assert found.tolist() == pytest.approx([-0.755900, 0, -0.377950, 1.133850, 0], abs=1e-5)
    assert grpo.advantages(scores, group, grpo.Options(scale=False)).tolist() == [-2, 0, -1, 3, 0]


def test_one_answer_has_nothing_to_compare_with():
    with pytest.raises(ConfigError, match="--samples-per-prompt 2 or more"):
        grpo.advantages(torch.ones(3), torch.tensor([0, 0, 1]), grpo.Options())


def test_loss():
    """rho 1.5, A 2: -2.4. log pi - log ref = log 2: k3 = 0.193147, times 0.1."""
    old = torch.tensor([-3.0])
    logps = (old + math.log(1.5)).requires_grad_()
    loss = grpo.loss(Sampled(logps, old, torch.tensor([2.0]), logps.detach() - math.log(2)), grpo.Options(kl_coef=0.1))
    assert loss.tolist() == pytest.approx([-2.380685], abs=1e-6)
    loss.sum().backward()
    # The clipped term has none; the divergence's is 0.1 (1 - ref/pi).
    assert logps.grad.tolist() == pytest.approx([0.05], abs=1e-6)
