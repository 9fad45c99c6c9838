"""Hinge loss on DPO's margin: push until the chosen answer leads by enough, then stop.

    loss = max(0, 1 - beta (d_w - d_l))

The calibration loss of SLiC-HF (Zhao et al. 2023, arXiv 2305.10425, section 2) with log-ratios to a reference in place
of log-probabilities, as Liu et al. 2023 (2309.06657, "hinge-norm") have it; the margin that is enough is 1 / beta.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
# DPO's: the gradient of a pair that is ranked wrongly is beta here and nearly beta there.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 0.1
    """The reward is beta times the log-ratio, and rewards have to differ by 1: log-ratios by 1 / beta nats. Above 0.
    The default is DPO's, and TRL's for this loss."""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Summed log-probabilities.

    By hand: beta 0.5; d_w = 1, d_l = 0: 1 - 0.5 = 0.5; d_w = 2, d_l = -1: 1 - 1.5 is below 0, so 0; d_w = -1, d_l = 1:
    1 + 1 = 2.
    """
    chosen, rejected = pairs.log_ratios()
    return (1 - options.beta * (chosen - rejected)).relu()


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the chosen and the rejected answers, beta times the log-ratio."""
    return pairs.implicit_rewards(options.beta)
