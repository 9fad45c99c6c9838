"""Direct preference optimisation: raise the chosen answer over the rejected one, relative to a reference.

    loss = -(1 - e) log s(beta M) - e log s(-beta M),   s the logistic function

    M = d_w - d_l                        Rafailov et al. 2023 (arXiv 2305.18290), equation 7
    M = d_w / |y_w| - d_l / |y_l|        length_normalised: Tulu 3 (2411.15124), after SimPO's average
    M = f'(e^d_w) - f'(e^d_l)            f_divergence: Wang et al. 2023 (2309.16240), for another divergence than KL

    f'(e^d) = d                          reverse_kl, plain DPO
    f'(e^d) = 1 - e^-d                   forward_kl
    f'(e^d) = log 2 + log s(d)           js
    f'(e^d) = (e^((a-1) d) - 1) / (a-1)  alpha, with a = alpha_divergence; reverse_kl at a = 1, forward_kl at a = 0

e is label_smoothing, 0 in plain DPO and above it in conservative DPO (Mitchell's note on noisy preferences): the
gradient is zero where s(beta M) = 1 - e.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}

DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")
LIMIT = 30.0
"""Exponent from which on e^x is continued as a straight line. An answer whose log-probability fell by thousands is
still pulled, and neither loss nor gradient overflows; gradients of e^30 are clipped to their direction anyway."""


@dataclass(frozen=True)
class Options:
    beta: float | None = None
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0. Default: 0.1
    (2305.18290); 5 with length_normalised (Tulu 3, 2411.15124), where the reward is per token."""
    label_smoothing: float = 0.0
    """Share of the preferences believed to be the wrong way round, from 0 to below 0.5."""
    length_normalised: bool = False
    """Compare log-ratios per token instead of their sums over an answer, so that length alone earns nothing."""
    f_divergence: Literal["reverse_kl", "forward_kl", "js", "alpha"] = "reverse_kl"
    """What keeps the policy near the reference. reverse_kl is DPO; forward_kl and js keep more variety. (2309.16240)"""
    alpha_divergence: float = 0.5
    """a of the alpha divergence, from 0 (forward KL) to 1 (reverse KL). The paper's alpha is 1 - a; TRL's is a."""

    def __post_init__(self) -> None:
        if self.beta is not None and not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing is {self.label_smoothing}; it must lie in [0, 0.5)")
        if self.f_divergence not in DIVERGENCES:
            raise ValueError(f"f_divergence is {self.f_divergence!r}; it must be one of {', '.join(DIVERGENCES)}")
        if not 0 <= self.alpha_divergence <= 1:
            raise ValueError(f"alpha_divergence is {self.alpha_divergence}; it must lie in [0, 1]")
        if self.length_normalised and self.f_divergence != "reverse_kl":
            raise ValueError(
                f"length_normalised goes with f_divergence reverse_kl only, not with {self.f_divergence}: the other "
                "divergences are defined on the ratio of whole answers"
            )


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Summed log-probabilities, means per token with length_normalised.

    By hand: d_w = 1, d_l = -1, beta 0.5: M = 2, loss = -log s(1) = 0.313262; with label_smoothing 0.1 it is
    0.9 * 0.313262 + 0.1 * 1.313262 = 0.413262.
    """
    chosen, rejected = _scores(pairs, options)
    scaled = _beta(options) * (chosen - rejected)
    e = options.label_smoothing
    return -(1 - e) * logsigmoid(scaled) - e * logsigmoid(-scaled)


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the chosen and the rejected answers: beta times the log-ratio (2305.18290, eq. 5 without
    the prompt's constant), the log-ratio per token with length_normalised, beta f' with an f_divergence."""
    chosen, rejected = _scores(pairs, options)
    return _beta(options) * chosen.detach(), _beta(options) * rejected.detach()


def filled(options: Options) -> Options:
    """With the defaults that depend on other settings."""
    return replace(options, beta=_beta(options))


def _beta(options: Options) -> float:
    if options.beta is None:
        return 5.0 if options.length_normalised else 0.1
    return options.beta


def _scores(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """What M is the difference of, (N,) each."""
    chosen, rejected = pairs.log_ratios()
    if options.length_normalised:
        return pairs.per_token(chosen, rejected)
    return _derivative(chosen, options), _derivative(rejected, options)


def _derivative(d: Tensor, options: Options) -> Tensor:
    """(N,) f'(e^d); 0 at d = 0 and rising for every divergence."""
    if options.f_divergence == "js":
        return math.log(2) + logsigmoid(d)
    a = {"reverse_kl": 1.0, "forward_kl": 0.0}.get(options.f_divergence, options.alpha_divergence)
    return d if a == 1 else (_exp((a - 1) * d) - 1) / (a - 1)


def _exp(x: Tensor) -> Tensor:
    """(N,) e^x, above LIMIT as the straight line that touches it there. (Not expm1: torch takes its gradient from its
    value, which has lost it near -1.)"""
    return torch.exp(x.clamp(max=LIMIT)) + math.exp(LIMIT) * (x - LIMIT).clamp(min=0)
