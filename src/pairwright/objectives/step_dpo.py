"""Step-DPO: DPO on one step of a solution, after the correct steps before it.

    loss = -log s(beta [log pi(s_win | x, s_1..k) / ref - log pi(s_lose | x, s_1..k) / ref])

Lai et al. 2024 (arXiv 2406.18629), equation 3. x is the question, s_1..k are steps that are right, s_win is a right
next step and s_lose the first wrong one. An answer that is right up to its last line is not pushed down as a whole:
only the step that went wrong is.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "steps"
REFERENCE = True
REDUCTION = "examples"
# Full: 5e-7 in 2406.18629. Adapters: ten times that.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 0.5
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0. (the authors'
    scripts: 0.5 for models of 7B, 0.4 for 72B)"""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.4 to 0.5")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each step preference, not averaged. Log-probabilities are sums over the step's tokens.

    By hand: d_w = 1, d_l = -1, beta 0.5: -log s(1) = 0.313262.
    """
    chosen, rejected = pairs.log_ratios()
    return -logsigmoid(options.beta * (chosen - rejected))


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the right and of the wrong steps: beta times the log-ratio."""
    return pairs.implicit_rewards(options.beta)
