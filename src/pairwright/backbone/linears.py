"""Linear layers that read the same input, adapters included, as one step of autograd.

q, k and v (gate and up) are one function of their input: its gradient is summed inside the matrix products instead of
by additions afterwards, and of LoRA's thin products those that share an operand are one. What peft does in five passes
over an activation (A, B, scale, add, and dropout's copy) is one product and one in-place product here.

LoRA (arXiv 2106.09685): y = x W' + b + s (x A') B', W frozen. Kept for the backward pass: x, and x A' (r numbers a
token).

Left out: whatever is not a plain linear layer, or one adapter of the ordinary kind on it; `unsupported` says why, and
such layers run as transformers and peft made them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F


class Affine(NamedTuple):
    """What a layer computes. I inputs, O outputs, r rank."""

    weight: Tensor
    """(O, I)"""
    bias: Tensor | None
    """(O,)"""
    down: Tensor | None
    """(r, I), LoRA's A; None without an adapter in use."""
    up: Tensor | None
    """(O, r), LoRA's B."""
    scale: float


def project(x: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """The outputs (..., O) of layers that read the same x (..., I). Layers that `unsupported` names run by
    themselves."""
    read = [None if unsupported(layer) else _affine(layer) for layer in layers]
    together = [affine for affine in read if affine is not None]
    if not together:
        return [layer(x) for layer in layers]
    tensors = [t for affine in together for t in affine[:4]]
    outs = iter(_Project.apply(x, [affine.scale for affine in together], *tensors))
    return [layer(x) if affine is None else next(outs) for layer, affine in zip(layers, read)]


def unsupported(layer: nn.Module) -> str | None:
    """Why the layer has to run by itself as it is now, or None where `project` computes the same."""
    if type(layer) is nn.Linear:
        return "it has hooks" if _hooked(layer) else None
    if type(layer) is not LoraLinear:
        return f"it is a {type(layer).__name__}"
    base: Any = layer.base_layer
    if type(base) is not nn.Linear:
        return f"its base is a {type(base).__name__}"
    if layer.merged or layer.fan_in_fan_out:
        return "its weights are merged or transposed"
    names = _adapters(layer)
    if len(names) > 1:
        return "several adapters are active at once"
    if _hooked(layer) or _hooked(base):
        return "it has hooks"
    return _odd_adapter(layer, names[0]) if names else None


def _odd_adapter(layer: Any, name: str) -> str | None:
    if name in layer.lora_variant:
        return f"it is a variant of LoRA ({type(layer.lora_variant[name]).__name__})"
    down, up, dropout = layer.lora_A[name], layer.lora_B[name], layer.lora_dropout[name]
    if type(down) is not nn.Linear or type(up) is not nn.Linear or up.bias is not None or _hooked(down) or _hooked(up):
        return "its adapter is more than two matrices"
    if layer.training and not isinstance(dropout, nn.Identity) and getattr(dropout, "p", 1.0) > 0:
        return "of dropout in its adapter"
    if not down.weight.dtype == up.weight.dtype == layer.base_layer.weight.dtype:
        return "its adapter is kept in another precision"
    return None


def left_alone(model: nn.Module) -> dict[str, int]:
    """Of the adapted layers that run as peft made them: how many, by reason."""
    reasons: dict[str, int] = {}
    for module in model.modules():
        if isinstance(module, LoraLayer) and (why := unsupported(module)):
            reasons[why] = reasons.get(why, 0) + 1
    return reasons


def _hooked(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(map(bool, hooks))


def _adapters(layer: Any) -> list[str]:
    """Names of the adapters in use: peft's own rule."""
    return [] if layer.disable_adapters else [name for name in layer.active_adapters if name in layer.lora_A]


def _affine(layer: Any) -> Affine:
    if type(layer) is nn.Linear:
        return Affine(layer.weight, layer.bias, None, None, 0.0)
    base, names = layer.base_layer, _adapters(layer)
    if not names:
        return Affine(base.weight, base.bias, None, None, 0.0)
    name = names[0]
    return Affine(base.weight, base.bias, layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])


class _Project(torch.autograd.Function):
    """(x, scales, weight, bias, down, up of each layer ...) -> one output a layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scales: Sequence[float], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])
        layers = _layers(scales, tensors)
        downs = [layer.down for layer in layers if layer.down is not None]
        thin = rows @ _stack(downs).T if downs else None
        outs, at = [], 0
        for layer in layers:
            out = F.linear(rows, layer.weight, layer.bias)
            if layer.down is not None:
                assert thin is not None and layer.up is not None
                out.addmm_(thin[:, at : at + len(layer.down)], layer.up.T, alpha=layer.scale)
                at += len(layer.down)
            outs.append(out.view(*x.shape[:-1], -1))
        ctx.scales, ctx.shape = scales, x.shape
        ctx.save_for_backward(rows, thin, *tensors)
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        rows, thin, *tensors = ctx.saved_tensors
        layers = _layers(ctx.scales, tensors)
        flat = [gradient.reshape(len(rows), -1) for gradient in gradients]
        wanted = ctx.needs_input_grad[2:]
        by_tensor: list[Tensor | None] = [None] * len(tensors)
        lifted, at = [], 0
        for number, (layer, gradient) in enumerate(zip(layers, flat)):
            first = 4 * number
            if wanted[first]:
                by_tensor[first] = gradient.T @ rows
            if wanted[first + 1]:
                by_tensor[first + 1] = gradient.sum(0)
            if layer.down is None or layer.up is None:
                continue
            if wanted[first + 3]:
                by_tensor[first + 3] = (gradient.T @ thin[:, at : at + len(layer.down)]).mul_(layer.scale)
            lifted.append((gradient @ layer.up).mul_(layer.scale))
            at += len(layer.down)
        by_thin = _stack(lifted, 1) if lifted else None  # the gradient by x A', of all layers side by side
        if by_thin is not None:
            _split_downs(by_thin.T @ rows, layers, wanted, by_tensor)
        by_x = _by_input(layers, flat, by_thin).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return by_x, None, *by_tensor


def _layers(scales: Sequence[float], tensors: Sequence[Any]) -> list[Affine]:
    return [Affine(*tensors[4 * i : 4 * i + 4], scale) for i, scale in enumerate(scales)]  # type: ignore[call-arg]


def _stack(parts: Sequence[Tensor], dimension: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dimension)


def _split_downs(by_downs: Tensor, layers: Sequence[Affine], wanted: Sequence[bool], out: list[Tensor | None]) -> None:
    at = 0
    for number, layer in enumerate(layers):
        if layer.down is not None:
            if wanted[4 * number + 2]:
                out[4 * number + 2] = by_downs[at : at + len(layer.down)]
            at += len(layer.down)


def _by_input(layers: Sequence[Affine], gradients: Sequence[Tensor], by_thin: Tensor | None) -> Tensor:
    total = gradients[0] @ layers[0].weight
    for layer, gradient in zip(layers[1:], gradients[1:]):
        total.addmm_(gradient, layer.weight)
    if by_thin is not None:
        total.addmm_(by_thin, _stack([layer.down for layer in layers if layer.down is not None]))
    return total
