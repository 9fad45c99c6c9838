"""DPO-Positive: DPO that may not lower the chosen answer's own likelihood.

    loss = -log s(beta [d_w - d_l - penalty * max(0, -d_w)])

Pal et al. 2024, "Smaug" (arXiv 2402.13228), equation 3 as corrected in July 2024: in the first version the bracket was
misplaced, which the authors confirmed in their repository (abacusai/smaug, issue 2).
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
# DPO's.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 0.3
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0. (As
    implementations of 2402.13228 have it; not confirmed in the paper.)"""
    penalty: float = 50.0
    """Of a chosen answer that is less likely than under the reference, the paper's lambda. From 0, which is DPO. (As
    implementations have it; not confirmed in the paper. The authors found 5 to 500 to make little difference:
    abacusai/smaug, issue 2.)"""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        if not 0 <= self.penalty < math.inf:
            raise ValueError(f"penalty is {self.penalty}; it must be 0 or above and finite, and is usually 5 to 500")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Summed log-probabilities.

    By hand: beta 0.5, penalty 2. d_w = 1, d_l = -1: nothing to punish, -log s(1) = 0.313262. d_w = -1, d_l = -4:
    0.5 (3 - 2) = 0.5, the loss is -log s(0.5) = 0.474077.
    """
    chosen, rejected = pairs.log_ratios()
    return -logsigmoid(options.beta * (chosen - rejected - options.penalty * (-chosen).relu()))


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the chosen and the rejected answers, beta times the log-ratio, without the penalty."""
    return pairs.implicit_rewards(options.beta)
