"""Faster, leaner layers for the Llama family, in place of transformers' own in a model that trains on tries.

Three changes, none of which changes a result by more than rounding:
- the last layer's MLP runs only on tokens whose hidden state predicts something: the rest of a prompt is needed for
  its keys and values alone;
- RMSNorm and the gated MLP keep less for their backward pass (the input and one number a row; gate and up) and go
  over memory less often.

Only for the architectures in FAMILY, whose layers are known to be x + attention(norm(x)), then x + mlp(norm(x)); every
other one runs transformers' code as it is. The first batch of every run is compared with the unmodified model.
Methods of instances are replaced, never of classes: other models in the process are untouched.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

FAMILY = {"llama", "mistral", "qwen2", "qwen3"}


def fuse(model: PreTrainedModel) -> bool:
    """Switch the model's layers; False where its architecture is not in FAMILY."""
    if model.config.get_text_config().model_type not in FAMILY:
        return False
    layers = model.get_decoder().layers
    for layer in layers:
        layer.input_layernorm.forward = MethodType(_norm_forward, layer.input_layernorm)
        layer.post_attention_layernorm.forward = MethodType(_norm_forward, layer.post_attention_layernorm)
        if isinstance(layer.mlp.act_fn, nn.SiLU) or type(layer.mlp.act_fn).__name__ == "SiLUActivation":
            layer.mlp.forward = MethodType(_mlp_forward, layer.mlp)
    layers[-1].forward = MethodType(_last_forward, layers[-1])
    return True


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    return _RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon)


def _mlp_forward(self: Any, x: Tensor) -> Tensor:
    return self.down_proj(_SwiGLU.apply(self.gate_proj(x), self.up_proj(x)))


def _last_forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The decoder layer's forward; with a trie it returns (1, R, H), the rows that `trie.needed` names."""
    trie = kwargs.get("trie")
    if trie is None:
        return type(self).forward(self, hidden_states, *args, **kwargs)
    attended, _ = self.self_attn(self.input_layernorm(hidden_states), *args, **kwargs)
    rows = hidden_states.index_select(1, trie.needed) + attended.index_select(1, trie.needed)
    return rows + self.mlp(self.post_attention_layernorm(rows))


class _RMSNorm(torch.autograd.Function):
    """weight * x / rms(x), the normalisation in float32. Keeps x and 1/rms."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        inverse = (
            torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        )
        ctx.save_for_backward(x, weight, inverse)
        return (wide * inverse).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, inverse = ctx.saved_tensors
        normal = x.float() * inverse
        by_weight = None
        gradient = gradient.float()
        if ctx.needs_input_grad[1]:
            by_weight = (gradient * normal).flatten(0, -2).sum(0).to(weight.dtype)
        by_x = None
        if ctx.needs_input_grad[0]:
            scaled = gradient * weight.float()
            dot = torch.linalg.vecdot(scaled, normal)[..., None].div_(x.shape[-1])
            by_x = scaled.sub_(normal.mul_(dot)).mul_(inverse).to(x.dtype)
        return by_x, by_weight, None


class _SwiGLU(torch.autograd.Function):
    """silu(gate) * up. Keeps gate and up; the activated gate is made again."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        by_up = F.silu(gate).mul_(gradient)
        by_gate = torch.ops.aten.silu_backward(gradient * up, gate)
        return by_gate, by_up
