"""A batch of token sequences -> log-probability of each scored token, by the trie path or the plain one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from pairwright.backbone.adapters import REFERENCE
from pairwright.backbone.attention import to_device
from pairwright.backbone.load import Backbone
from pairwright.backbone.logprobs import Head, at_temperature, token_logprobs
from pairwright.backbone.rows import plain_attention, plain_logprobs, row_hidden
from pairwright.errors import ModelError, NonFiniteError, ParityError
from pairwright.tokens.trie import Trie

TOLERANCE = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""Mean absolute difference of a token's log-probability between fast and plain path that stops a run. A wrong mask or
position moves it by 1 and more; rounding stays a hundred times below (docs/LOG.md)."""
LARGEST = 20
"""A single token may differ by this many times the tolerance: an error in one sequence must not drown in the mean."""


def hidden_states(backbone: Backbone, trie: Trie, at: np.ndarray) -> Tensor:
    """(n, H) last hidden states, after the final norm, of the tokens with the indices `at` (n,) in the trie. In the
    weights' precision, under the adapter that is active now."""
    decoder = decoder_of(backbone.base)
    if backbone.backend == "rows":
        return row_hidden(decoder, trie, backbone.device, at)
    batch = to_device(trie, backbone.device, backbone.backend, at)
    hidden = decoder(input_ids=batch.ids, position_ids=batch.position, trie=batch, use_cache=False).last_hidden_state[0]
    # A fused last layer (fused.py) gives the needed rows only.
    return hidden.index_select(0, batch.at if len(hidden) == len(batch.end) else batch.at_in_needed)


def logprobs(backbone: Backbone, trie: Trie, temperature: float = 1.0) -> Tensor:
    """(S,) float32 log-probabilities of the trie's scored tokens under the model as it is now, sampled from at
    `temperature`."""
    target = torch.from_numpy(trie.target).to(backbone.device, non_blocking=True)
    head = at_temperature(head_of(backbone.base), temperature)
    return token_logprobs(hidden_states(backbone, trie, trie.source), head, target)


def sequence_sums(token_values: Tensor, trie: Trie) -> Tensor:
    """(Q,) sums of (S,) values over each sequence's scored tokens, by the tokens' weights where they have some. Added
    up in float64, so that the order of the terms does not matter: it is not fixed on CUDA, and the reference's sums
    come from elsewhere."""
    sequence = torch.from_numpy(trie.sequence).to(token_values.device)
    zeros = torch.zeros(trie.sequences, dtype=torch.float64, device=token_values.device)
    values = token_values.double()
    if trie.weight is not None:
        values = values * torch.from_numpy(trie.weight).to(token_values.device)
    return zeros.index_add(0, sequence, values).to(token_values.dtype)


def head_of(model: PreTrainedModel) -> Head:
    """The model's output layer and what its forward does to the logits afterwards."""
    layer = model.get_output_embeddings()
    if type(layer) is not torch.nn.Linear:
        kind = f"{type(layer).__module__}.{type(layer).__name__}"
        raise ModelError(f"the output layer is a {kind}, not a plain linear one; adapters on it are not supported")
    config = model.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    if divisor := getattr(config, "logits_scaling", None):
        scale /= float(divisor)
    # Gemma's, RecurrentGemma's and xLSTM's names for it.
    names = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
    cap = next((float(value) for name in names if (value := getattr(config, name, None))), None)
    return Head(layer.weight, layer.bias, scale, cap)


def decoder_of(model: PreTrainedModel) -> Any:
    """The layers without the head. Llama 4's get_decoder gives the whole model."""
    decoder = model.get_decoder()
    return model.model if decoder is model else decoder


def reference_weights(backbone: Backbone) -> AbstractContextManager:
    """The model as training found it, for a `live` reference: a frozen copy of a continued adapter, or no adapter."""
    model: Any = backbone.model
    if not isinstance(model, PeftModel):
        raise ValueError("after full tuning the starting weights are gone; use the cache, or a second model")
    return _other_adapter(model, REFERENCE) if backbone.continued else model.disable_adapter()


@contextmanager
def _other_adapter(model: Any, name: str) -> Iterator[None]:
    """Another adapter, for the length of a with-block."""
    used = model.active_adapter
    model.base_model.set_adapter(name, inference_mode=True)
    try:
        yield
    finally:
        model.base_model.set_adapter(used)


def compare_paths(backbone: Backbone, trie: Trie) -> tuple[float, float]:
    """Mean and largest absolute difference of the scored tokens' log-probabilities between the fast path and the
    unmodified model, one sequence at a time.

    Raises ParityError above TOLERANCE, NonFiniteError where the unmodified model itself gives no number.
    """
    return differences(
        backbone,
        lambda: logprobs(backbone, trie),
        lambda: plain_logprobs(backbone.base, trie, backbone.device),
        "log-probabilities differ by {mean:.2g} a token",
    )


@torch.no_grad()
def differences(
    backbone: Backbone, fast: Callable[[], Tensor], plain: Callable[[], Tensor], words: str
) -> tuple[float, float]:
    """Mean and largest absolute difference of what `fast` and `plain` (n,) compute without dropout, `plain` with the
    model as transformers made it. `words` say in an error what differs. Raises as compare_paths does."""
    model = backbone.model
    model.eval()  # no dropout in either
    found = fast()
    with plain_attention(backbone.base, backbone.plain):
        expected = plain()
    model.train()
    if not bool(torch.isfinite(expected).all()):
        raise NonFiniteError(
            "the model gives NaN or infinity for the first batch, before any training: its weights are damaged, or too "
            f"large for {str(backbone.dtype).removeprefix('torch.')}"
        )
    difference = (found - expected).abs()
    mean, largest = float(difference.mean()), float(difference.max())
    tolerance = TOLERANCE[backbone.dtype]
    if not (mean <= tolerance and largest <= LARGEST * tolerance):
        raise ParityError(
            f"the fast path ({backbone.backend}) and the plain one disagree on the first batch: "
            f"{words.format(mean=mean)} (largest {largest:.2g}). "
            + ("" if backbone.backend == "rows" else "Train with --attention rows, and please ")
            + f"{'Please ' if backbone.backend == 'rows' else ''}report the model ({backbone.base.config.model_type})"
        )
    return mean, largest
