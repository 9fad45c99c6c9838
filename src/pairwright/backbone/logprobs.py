"""Hidden states -> log-probability of each scored token, without ever holding all logits.

The head runs on scored tokens only, some at a time. With a frozen head (adapters) each token's gradient with respect
to its hidden state is known up to one factor in the forward pass, so the backward pass multiplies and is done. With a
trained head the logits are made again, unless they are few enough to keep.

Softmax and its sums are float32 whatever the weights are.

Legend: S scored tokens, H hidden size, V vocabulary.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

CHUNK_BYTES = 64 * 2**20
"""Bytes of float32 logits made at a time."""


@dataclass(frozen=True)
class Head:
    """What stands between the last hidden state and the logits."""

    weight: Tensor
    """(V, H)"""
    bias: Tensor | None = None
    """(V,)"""
    scale: float = 1.0
    """Logits are multiplied by this (Cohere's logit_scale, the inverse of Granite's logits_scaling)."""
    softcap: float | None = None
    """Logits become softcap * tanh(logits / softcap) (Gemma 2)."""


def token_logprobs(hidden: Tensor, head: Head, target: Tensor) -> Tensor:
    """log softmax(logits)[target] of each row.

    hidden (S, H) in the weights' precision; target (S,) int64. Returns (S,) float32, differentiable with respect to
    hidden, head.weight and head.bias.
    """
    return _TokenLogprobs.apply(hidden, head.weight, head.bias, target, head.scale, head.softcap)


def all_logits(hidden: Tensor, head: Head) -> Tensor:
    """(S, V) float32 logits, without gradient in mind: for sampling."""
    return _logits(hidden, head.weight, head.bias, head.scale, head.softcap)


def at_temperature(head: Head, temperature: float) -> Head:
    """The head of the distribution that sampling at this temperature draws from: its logits divided by it."""
    softcap = None if head.softcap is None else head.softcap / temperature
    return replace(head, scale=head.scale / temperature, softcap=softcap)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias).float()
    if scale != 1.0:
        logits = logits * scale
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap


def _exponentials(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(s,) log-probability of the targets, and (s,) the sums by which the exponentials that take the place of `logits`
    have to be divided: one exponential serves the value and its derivative."""
    most = logits.amax(-1, keepdim=True)
    chosen = (logits.gather(1, target[:, None]) - most)[:, 0]
    sums = logits.sub_(most).exp_().sum(-1)
    return chosen - sums.log(), sums


def _slope(logits: Tensor, softcap: float | None) -> Tensor | None:
    """Derivative of the capped logits by the uncapped ones; None where it is 1."""
    return None if softcap is None else 1 - (logits / softcap) ** 2


def _by_logits(
    exponentials: Tensor, sums: Tensor, target: Tensor, factor: Tensor, slope: Tensor | None, scale: float
) -> Tensor:
    """(s, V) derivative of factor x the target's log-probability by the raw logits (before scale and cap). Overwrites
    `exponentials`, which nobody needs any more."""
    gradient = exponentials.mul_((-factor / sums)[:, None])
    gradient[torch.arange(len(target), device=target.device), target] += factor
    if slope is not None:
        gradient *= slope
    return gradient if scale == 1.0 else gradient.mul_(scale)


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, target, scale, softcap):
        rows = max(1, CHUNK_BYTES // (4 * weight.shape[0]))
        head_trained = weight.requires_grad or (bias is not None and bias.requires_grad)
        wanted = hidden.requires_grad and not head_trained
        logprobs = torch.empty(len(target), dtype=torch.float32, device=hidden.device)
        sums = torch.empty_like(logprobs)
        by_hidden = torch.empty_like(hidden) if wanted else None
        kept = None
        for at in range(0, len(target), rows):
            part = slice(at, at + rows)
            logits = _logits(hidden[part], weight, bias, scale, softcap)
            slope = _slope(logits, softcap) if wanted else None
            logprobs[part], sums[part] = _exponentials(logits, target[part])
            if by_hidden is not None:
                one = torch.ones_like(sums[part])
                gradient = _by_logits(logits, sums[part], target[part], one, slope, scale)
                by_hidden[part] = gradient.to(weight.dtype) @ weight
            elif head_trained and softcap is None and len(target) <= rows:
                kept = logits
        ctx.settings = (scale, softcap, rows, head_trained)
        ctx.save_for_backward(hidden, weight, bias, target, sums, by_hidden, kept)
        return logprobs

    @staticmethod
    def backward(ctx, factor):
        hidden, weight, bias, target, sums, by_hidden, kept = ctx.saved_tensors
        scale, softcap, rows, head_trained = ctx.settings
        if not head_trained:
            return (factor[:, None] * by_hidden).to(hidden.dtype), None, None, None, None, None
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        grad_bias = torch.zeros_like(bias) if bias is not None and bias.requires_grad else None
        for at in range(0, len(target), rows):
            part = slice(at, at + rows)
            slope = None
            logits = kept
            if logits is None:
                logits = _logits(hidden[part], weight, bias, scale, softcap)
                slope = _slope(logits, softcap)
                _exponentials(logits, target[part])
            gradient = _by_logits(logits, sums[part], target[part], factor[part], slope, scale).to(weight.dtype)
            grad_hidden[part] = gradient @ weight
            if grad_weight is not None:
                grad_weight.addmm_(gradient.T, hidden[part])
            if grad_bias is not None:
                grad_bias += gradient.sum(0)
        return grad_hidden, grad_weight, grad_bias, None, None, None
