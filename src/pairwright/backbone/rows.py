"""The plain path: every sequence in a row of its own, as transformers runs it.

For models that the trie cannot serve (layers that carry state across tokens, attention with sinks, ALiBi ...), and as
the yardstick that the first batch of every run is compared with.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from pairwright.backbone.fused import unfused
from pairwright.tokens.trie import Trie

PLAIN_LAYERS = {"full_attention", "sliding_attention"}


def why_rows(model: PreTrainedModel) -> str | None:
    """Why this model's batches cannot be tries, or None where they can."""
    config = model.config.get_text_config()
    kind = config.model_type
    if not getattr(model, "_supports_attention_backend", False):
        return f"{kind} does not use transformers' attention interface"
    if getattr(model, "_is_stateful", False):
        return f"{kind} carries state from token to token"
    other = set(getattr(config, "layer_types", None) or ()) - PLAIN_LAYERS
    if other:
        return f"{kind} has layers that the trie does not express: {', '.join(sorted(other))}"
    if getattr(config, "alibi", False):
        return f"{kind} adds position biases (ALiBi) to its attention"
    if any("sinks" in name for name, _ in model.named_parameters()):
        return f"{kind} has attention sinks"
    return None


def plain_implementation(model: PreTrainedModel) -> str:
    """The attention that transformers should use where we leave it alone. transformers' sdpa drops soft-capping
    (Gemma 2) without a word; eager honours it."""
    config = model.config.get_text_config()
    return "eager" if getattr(config, "attn_logit_softcapping", None) else config._attn_implementation


def row_hidden(decoder: torch.nn.Module, trie: Trie, device: torch.device, at: np.ndarray) -> Tensor:
    """(n, H) hidden states of the tokens with the indices `at` (n,), from one right-padded row per sequence."""
    ids = [torch.from_numpy(trie.ids[path]) for path in trie.paths]
    # With a token of the batch: where the pad token's embedding is 0, Gemma 3n divides by its norm, and the gradient of
    # a position that nobody looks at becomes NaN.
    padded = pad_sequence(ids, batch_first=True, padding_value=int(trie.ids[0])).to(device)
    mask = pad_sequence([torch.ones_like(i) for i in ids], batch_first=True).to(device)
    hidden = decoder(input_ids=padded, attention_mask=mask, use_cache=False).last_hidden_state
    owner = np.empty(len(trie), np.int64)
    for number, path in enumerate(trie.paths):
        owner[path] = number  # a shared token has the same hidden state in each of its sequences
    row, column = torch.from_numpy(owner[at]), torch.from_numpy(trie.position[at])
    return hidden[row.to(device), column.to(device)]


@contextmanager
def plain_attention(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """The model as transformers made it, with `implementation` (such as "sdpa") for its attention."""
    config = model.config.get_text_config()
    used = config._attn_implementation
    model.set_attn_implementation(implementation)
    try:
        with unfused(model):
            yield
    finally:
        model.set_attn_implementation(used)


@torch.no_grad()
def plain_logprobs(model: torch.nn.Module, trie: Trie, device: torch.device) -> Tensor:
    """(S,) log-probabilities of the scored tokens, one unpadded sequence at a time through the whole model: its own
    head, its own logits. Slow; the reference for everything else."""
    out = torch.empty(len(trie.source), dtype=torch.float32)
    for number, path in enumerate(trie.paths):
        scored = trie.sequence == number
        if not scored.any():
            continue
        ids = torch.from_numpy(trie.ids[path])[None].to(device)
        logits = model(input_ids=ids, use_cache=False).logits[0].float()
        at = torch.from_numpy(trie.position[trie.source[scored]]).to(device)
        target = torch.from_numpy(trie.target[scored]).to(device)
        out[torch.from_numpy(scored)] = logits[at].log_softmax(-1).gather(1, target[:, None])[:, 0].cpu()
    return out.to(device)
