"""Faster, leaner layers for the Llama family, in place of transformers' own in a model that trains on tries.

Four changes, none of which changes a result by more than rounding:
- the last layer runs only on tokens whose hidden state predicts something: the rest of a prompt is needed for its keys
  and values alone;
- layers that read the same input are one function, adapters included (linears.py);
- on a CPU in float32 attention is a few batched products a block, the rotation in the same step (blockwise.py);
- RMSNorm and the gated MLP keep less for their backward pass (the input and one number a row; gate and up) and go
  over memory less often.

Only for the architectures in FAMILY, whose layers are known to be x + attention(norm(x)), then x + mlp(norm(x)); every
other one runs transformers' code as it is. The first batch of every run is compared with the unmodified model.
Methods of instances are replaced, never of classes: other models in the process are untouched.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from pairwright.backbone.attention import TrieBatch, attend
from pairwright.backbone.blockwise import attend_blocks, rotate
from pairwright.backbone.linears import project

FAMILY = {"llama", "mistral", "qwen2", "qwen3"}


def fuse(model: PreTrainedModel) -> bool:
    """Switch the model's layers; False where its architecture is not in FAMILY."""
    if model.config.get_text_config().model_type not in FAMILY:
        return False
    layers = model.get_decoder().layers
    for layer in layers:
        layer.self_attn.forward = MethodType(_attention_forward, layer.self_attn)
        layer.input_layernorm.forward = MethodType(_norm_forward, layer.input_layernorm)
        layer.post_attention_layernorm.forward = MethodType(_norm_forward, layer.post_attention_layernorm)
        if isinstance(layer.mlp.act_fn, nn.SiLU) or type(layer.mlp.act_fn).__name__ == "SiLUActivation":
            layer.mlp.forward = MethodType(_mlp_forward, layer.mlp)
    layers[-1].forward = MethodType(_last_forward, layers[-1])
    return True


@contextmanager
def unfused(model: PreTrainedModel) -> Iterator[None]:
    """The model with transformers' own layers, for the length of a with-block: the yardstick must not share our
    code."""
    replaced = [(m, m.__dict__.pop("forward")) for m in model.modules() if "forward" in m.__dict__ and _ours(m)]
    try:
        yield
    finally:
        for module, forward in replaced:
            module.forward = forward


def _ours(module: nn.Module) -> bool:
    return getattr(module.__dict__["forward"], "__module__", None) == __name__


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    return _RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon)


def _mlp_forward(self: Any, x: Tensor) -> Tensor:
    gate, up = project(x, [self.gate_proj, self.up_proj])
    return project(_SwiGLU.apply(gate, up), [self.down_proj])[0]


def _last_forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The decoder layer's forward; with a trie it returns (1, R, H), the rows that `trie.needed` names."""
    trie = kwargs.get("trie")
    if trie is None:
        return type(self).forward(self, hidden_states, *args, **kwargs)
    attended, _ = self.self_attn(self.input_layernorm(hidden_states), *args, rows=trie.needed, **kwargs)
    rows = hidden_states.index_select(1, trie.needed) + attended
    return rows + self.mlp(self.post_attention_layernorm(rows))


def _attention_forward(
    self: Any,
    hidden_states: Tensor,
    position_embeddings: Any = None,
    attention_mask: Any = None,
    rows: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention module's forward; with a trie and `rows` it returns (1, R, H), those rows only."""
    trie = kwargs.get("trie")
    if trie is None:
        arguments = dict(position_embeddings=position_embeddings, attention_mask=attention_mask, **kwargs)
        return type(self).forward(self, hidden_states, **arguments)
    if rows is None:
        query, key, value = project(hidden_states, [self.q_proj, self.k_proj, self.v_proj])
    else:
        key, value = project(hidden_states, [self.k_proj, self.v_proj])
        query = project(hidden_states.index_select(1, rows), [self.q_proj])[0]
    query, key, value = (x.view(x.shape[1], -1, self.head_dim) for x in (query, key, value))  # (1, N, H D) -> (N, H, D)
    if hasattr(self, "q_norm"):
        query, key = self.q_norm(query), self.k_norm(key)
    cosine, sine = (x[0, :, None, :] for x in position_embeddings)
    # Qwen keeps the layer's own window; Mistral has one for all in the config; Llama none, whatever its config says.
    of_config = self.config.sliding_window if self.config.model_type == "mistral" else None
    window = getattr(self, "sliding_window", of_config)
    if trie.backend == "segments" and not query.is_cuda and query.dtype == torch.float32:
        window = window if window is not None and window < trie.longest else None
        out = attend_blocks(query, key, value, cosine, sine, trie, self.scaling, window, rows)
    else:
        out = _by_backend(self, query, key, value, cosine, sine, trie, window, rows)
    return project(out.flatten(1)[None], [self.o_proj])[0], None


def _by_backend(
    self: Any, query: Tensor, key: Tensor, value: Tensor, cosine: Tensor, sine: Tensor, trie: TrieBatch,
    window: int | None, rows: Tensor | None,
) -> Tensor:  # fmt: skip
    """(M, H, D) by the trie's own backend, which wants the queries of all tokens."""
    if rows is not None:
        query = query.new_zeros(len(key), *query.shape[1:]).index_copy(0, rows, query)
    query, key = _Rotation.apply(query, cosine, sine), _Rotation.apply(key, cosine, sine)
    q, k, v = (x.transpose(0, 1)[None] for x in (query, key, value))  # (N, H, D) -> (1, H, N, D)
    out, _ = attend(self, q, k, v, None, trie=trie, scaling=self.scaling, sliding_window=window)
    return out[0] if rows is None else out[0].index_select(0, rows)


class _Rotation(torch.autograd.Function):
    """Rotary position embedding (blockwise.rotate) that keeps nothing but the angles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return rotate(x, cosine, sine, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # A rotation's transpose turns back.
        cosine, sine = ctx.saved_tensors
        return rotate(gradient, cosine, sine, -1.0), None, None


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
        gradient, wide = gradient.float(), weight.float()
        product = gradient * normal
        by_weight = product.flatten(0, -2).sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        by_x = None
        if ctx.needs_input_grad[0]:
            dot = (product @ wide)[..., None].div_(x.shape[-1])
            by_x = torch.mul(gradient, wide, out=product).addcmul_(normal, dot, value=-1).mul_(inverse).to(x.dtype)
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
        by_gate = gradient * up
        torch.ops.aten.silu_backward.grad_input(by_gate, gate, grad_input=by_gate)
        return by_gate, by_up
