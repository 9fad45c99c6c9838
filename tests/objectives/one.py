"""One pair by its log-ratios, and what a method makes of it. Shared by the tests that work numbers out by hand.

s(1) = 0.731059, -log s(1) = 0.313262, -log s(-1) = 1.313262, -log s(2) = 0.126928.
"""

import torch

from pairwright.objectives.inputs import Pairs

LN2 = 0.693147


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def pair(d_w: float, d_l: float, tokens: tuple[int, int] = (3, 4), start: float = -20.0, **fields: float) -> Pairs:
    """A pair whose log-ratios are d_w and d_l; the reference gives its answers `start` and twice `start`."""
    chosen, rejected = one(start + d_w).requires_grad_(), one(2 * start + d_l).requires_grad_()
    lengths = (torch.tensor([length]) for length in tokens)
    return Pairs(chosen, rejected, *lengths, one(start), one(2 * start), **{n: one(v) for n, v in fields.items()})


def bare(chosen: float, rejected: float, tokens: tuple[int, int]) -> Pairs:
    """A pair of log-probabilities, for methods without a reference."""
    return Pairs(one(chosen).requires_grad_(), one(rejected).requires_grad_(), *(torch.tensor([n]) for n in tokens))


def loss_of(module, pairs: Pairs, **options) -> float:
    return module.loss(pairs, module.Options(**options)).item()


def gradients_of(module, pairs: Pairs, **options) -> tuple[float, float]:
    """By the log-probability of the chosen and of the rejected answer."""
    module.loss(pairs, module.Options(**options)).backward()
    return pairs.chosen.grad.item(), pairs.rejected.grad.item()


def rewards_of(module, pairs: Pairs, **options) -> tuple[float, float]:
    chosen, rejected = module.rewards(pairs, module.Options(**options))
    return chosen.item(), rejected.item()
