"""Odds ratio preference optimisation: imitate the chosen answer and prefer it, in one stage and without a reference.

    loss = -m_w - weight * log s(log odds_w - log odds_l)
    log odds = m - log(1 - e^m),   m = log pi(y | x) / |y|

Hong, Lee and Thorne 2024 (arXiv 2403.07691), equations 4, 6 and 7. m is the mean log-probability of an answer's tokens,
e^m the geometric mean of their probabilities. The first term is the negative log-likelihood of the answer's own tokens,
as a mean; the authors' code and TRL's count the prompt's tokens too unless told otherwise.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = False
REDUCTION = "examples"
# Full: the authors' script for Mistral 7B. Adapters: ten times that, as for the other methods.
LEARNING_RATE = {"full": 5e-6, "lora": 5e-5, "qlora": 5e-5}

SURE = 1e-6
"""Mean log-probabilities are taken as at most -SURE: an answer of probability 1 has infinite odds."""


@dataclass(frozen=True)
class Options:
    weight: float = 0.1
    """Of the odds ratio beside the likelihood: the paper's lambda, TRL's beta. Above 0. (2403.07691, and the authors'
    script for Mistral 7B)"""

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight is {self.weight}; it must be above 0 and finite, and is usually 0.05 to 1")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Mean log-probabilities per token, in both terms.

    By hand: two chosen tokens of probability 1/2, three rejected ones of 1/4: odds 1 and 1/3, so the odds ratio is 3
    and s(log 3) = 3/4; with weight 0.1 the loss is log 2 + 0.1 log(4/3) = 0.693147 + 0.028768 = 0.721915.
    """
    chosen, rejected = pairs.per_token(pairs.chosen, pairs.rejected)
    return -chosen - options.weight * logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) log odds of the chosen and the rejected answers: what the loss compares. Without a reference."""
    chosen, rejected = pairs.per_token(pairs.chosen.detach(), pairs.rejected.detach())
    return _log_odds(chosen), _log_odds(rejected)


def _log_odds(mean: Tensor) -> Tensor:
    """(N,) log(P / (1 - P)) of P = e^mean. expm1 keeps 1 - P exact near 1, log1p near 0."""
    mean = mean.clamp(max=-SURE)
    near_one = mean > -math.log(2)
    # The branch that is not taken sees a harmless value: its gradient is multiplied by 0, and 0 * inf would be NaN.
    half = torch.full_like(mean, -math.log(2))
    log_of_rest = torch.where(
        near_one,
        torch.log(-torch.expm1(torch.where(near_one, mean, half))),
        torch.log1p(-torch.exp(torch.where(near_one, half, mean))),
    )
    return mean - log_of_rest
