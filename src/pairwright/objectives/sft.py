"""Supervised fine-tuning: make demonstrated answers likely.

    loss = -log pi(y | x), summed over an answer's supervised tokens

The step divides by the supervised tokens of the whole optimiser step, not of a micro-batch: otherwise how a step is
cut would decide how much each token counts.
"""

from dataclasses import dataclass

from torch import Tensor

from pairwright.objectives.inputs import Answers

INPUT = "answers"
REFERENCE = False
REDUCTION = "tokens"
LEARNING_RATE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}


@dataclass(frozen=True)
class Options:
    """None: imitation has nothing to set but the learning rate."""


def loss(answers: Answers, options: Options) -> Tensor:
    """(N,) negative log-likelihood of each answer, summed over its tokens.

    By hand: two tokens of probability 1/2 and 1/4: loss = log 2 + log 4 = 2.079442.
    """
    return -answers.logps
