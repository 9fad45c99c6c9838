"""SFT by hand. That a step divides by all its supervised tokens is in tests/training/test_step.py."""

import math

import pytest
import torch

from pairwright.errors import ConfigError
from pairwright.objectives import sft
from pairwright.objectives.inputs import Answers
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.settings import make_objective


def test_loss():
    """Two tokens of probability 1/2 and 1/4: ln 2 + ln 4 = 2.079442. One of 1/10: 2.302585. A sure one: 0."""
    logps = torch.tensor([math.log(1 / 2) + math.log(1 / 4), math.log(1 / 10), 0.0])
    loss = sft.loss(Answers(logps, torch.tensor([2, 1, 1])), sft.Options())
    assert loss.tolist() == pytest.approx([2.079442, 2.302585, 0.0], abs=1e-6)


def test_gradient():
    """Each answer is pulled up equally, whatever its length: the mean is the step's business."""
    logps = torch.tensor([-1.0, -100.0], requires_grad=True)
    sft.loss(Answers(logps, torch.tensor([1, 60])), sft.Options()).sum().backward()
    assert logps.grad.tolist() == [-1.0, -1.0]


def test_it_is_divided_by_tokens():
    assert sft.REDUCTION == "tokens" and sft.INPUT == "answers" and not sft.REFERENCE


def test_it_has_no_options():
    with pytest.raises(ConfigError, match="Its options are: none"):
        make_objective(TrainConfig("m", "d", "o", method="sft", options={"beta": 0.1}))
    with pytest.raises(ConfigError, match="--nll-weight adds the chosen answer's likelihood"):
        make_objective(TrainConfig("m", "d", "o", method="sft", nll_weight=0.1))
