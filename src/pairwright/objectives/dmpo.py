"""DMPO: DPO over the turns of two conversations, where early turns weigh more than late ones.

    loss = -log s(beta [sum_t phi(t, T_w) d_w,t - sum_t phi(t, T_l) d_l,t])

    phi(t, T) = gamma^t (1 - gamma^(T-t)) / (1 - gamma^T),   (T - t) / T at gamma 1

Shi et al. 2024 (arXiv 2406.14868), Direct Multi-Turn Preference Optimisation. d_w,t is the log-ratio of turn t (from
0) of the chosen conversation's T_w assistant turns, d_l,t likewise. phi is 1 at the first turn: with one turn on either
side this is DPO. The paper derives the weights from a constraint on the states and actions that are visited, and
from normalising by the number of turns. User, system and tool tokens count nothing.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
# DPO's: the paper's rates are those of its agents.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 0.1
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0. (DPO's)"""
    gamma: float = 0.7
    """How fast a turn's weight falls with its number, from above 0 (only the first turn counts) to 1 (in a straight
    line). (the authors' code)"""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}; it must lie in (0, 1]")


def turn_weight(turn: int, turns: int, options: Options) -> float:
    """phi: what the log-probabilities of the tokens of turn `turn` (from 0) of `turns` are multiplied by.

    By hand, gamma 0.5 and three turns: 1, 0.5 * 0.75 / 0.875 = 3/7, 0.25 * 0.5 / 0.875 = 1/7. gamma 1: 1, 2/3, 1/3.
    """
    gamma = options.gamma
    if gamma == 1:
        return (turns - turn) / turns
    return gamma**turn * (1 - gamma ** (turns - turn)) / (1 - gamma**turns)


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. The log-probabilities are sums over tokens by their turns' weights.

    By hand: weighed log-ratios 1 and -1, beta 0.5: -log s(1) = 0.313262.
    """
    chosen, rejected = pairs.log_ratios()
    return -logsigmoid(options.beta * (chosen - rejected))


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the two conversations: beta times the weighed log-ratio."""
    return pairs.implicit_rewards(options.beta)
