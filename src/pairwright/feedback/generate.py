"""Several answers to each prompt, with the log-probability of every token: what online training samples with.

The prompt goes through the model once; its keys and values are then repeated for its answers. Prompts of like length
share a batch, and answers that have ended leave it. Which token is drawn depends on the prompt's number, the answer's
number, the place and the seed alone (inverse transform of one uniform number), not on what else is in the batch: on CPU
the same seed gives the same answers bit for bit.

Plain samples at the temperature, without top-k, top-p or penalties: anything else would be another policy than the one
that is trained. Leaves out: models that carry state instead of keys and values, and scoring.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from pairwright.backbone.load import Backbone
from pairwright.backbone.logprobs import Head, all_logits
from pairwright.backbone.policy import head_of
from pairwright.backbone.rows import plain_attention
from pairwright.errors import ConfigError, ModelError, NonFiniteError


@dataclass(frozen=True, slots=True)
class Generated:
    ids: tuple[int, ...]
    """The answer's tokens, with the end token where it ended. Never empty."""
    logprobs: tuple[float, ...]
    """(tokens,) log-probability of each at the sampling temperature (1 for greedy ones)."""
    ended: bool
    """The model gave an end token; False: it was cut at max_new_tokens."""


def generate(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    *,
    end_ids: Sequence[int],
    per_prompt: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    rows: int = 128,
    progress: Callable[[int], None] | None = None,
) -> list[list[Generated]]:
    """`per_prompt` answers to each prompt, in the prompts' order; temperature 0 takes the likeliest token each time.

    rows: answers computed at the same time. progress: called with the number of answers that are done more.
    Raises ConfigError where prompt and answer exceed the model's positions, ModelError for a model without a cache of
    keys and values, NonFiniteError where the model gives no numbers.
    """
    _check(backbone, prompts, max_new_tokens)
    draws = np.random.default_rng(seed).random((len(prompts), per_prompt, max_new_tokens))
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    at_once = max(1, rows // per_prompt)
    found: dict[int, list[Generated]] = {}
    training = backbone.model.training
    backbone.model.eval()
    try:
        with torch.no_grad(), plain_attention(backbone.base, backbone.plain):
            for start in range(0, len(order), at_once):
                batch = order[start : start + at_once]
                batch_draws = torch.from_numpy(draws[batch].reshape(-1, max_new_tokens)).to(backbone.device)
                answers = _answers(backbone, [prompts[i] for i in batch], per_prompt, end_ids, temperature, batch_draws)
                found.update({i: answers[n * per_prompt : (n + 1) * per_prompt] for n, i in enumerate(batch)})
                if progress:
                    progress(len(batch) * per_prompt)
    finally:
        backbone.model.train(training)
    return [found[i] for i in range(len(prompts))]


def _check(backbone: Backbone, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    if getattr(backbone.base, "_is_stateful", False):
        kind = backbone.base.config.get_text_config().model_type
        raise ModelError(
            f"{kind} carries state from token to token; sampling for online training needs keys and values"
        )
    longest = max(map(len, prompts), default=0)
    limit = getattr(backbone.base.config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and longest + max_new_tokens > limit:
        raise ConfigError(
            f"the longest prompt has {longest} tokens; with {max_new_tokens} new ones that is more than the model's "
            f"{limit} positions: cut the prompts or let answers be shorter"
        )
    if not all(prompts):
        raise ConfigError("a prompt without any token: there is nothing to go on from")


@dataclass
class _Live:
    """The rows that are still growing."""

    number: Tensor
    """(B,) which answer of the batch each row is."""
    mask: Tensor
    """(B, tokens so far) 0 where a row is padded."""
    position: Tensor
    """(B,) position of the next token."""
    cache: DynamicCache

    def keep(self, rows: Tensor) -> None:
        self.number, self.mask, self.position = self.number[rows], self.mask[rows], self.position[rows]
        self.cache.batch_select_indices(rows)


def _answers(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    per_prompt: int,
    end_ids: Sequence[int],
    temperature: float,
    draws: Tensor,
) -> list[Generated]:
    """One batch. draws (prompts * per_prompt, max_new_tokens) uniform in [0, 1)."""
    count, longest = draws.shape
    tokens = torch.zeros(draws.shape, dtype=torch.long, device=backbone.device)
    logprobs = torch.zeros(draws.shape, dtype=torch.float32, device=backbone.device)
    lengths = torch.full((count,), longest, device=backbone.device)
    ended = torch.zeros(count, dtype=torch.bool, device=backbone.device)
    ends = torch.tensor(list(end_ids), device=backbone.device)
    head = head_of(backbone.base)
    live, hidden = _prefill(backbone, prompts, per_prompt)
    for place in range(longest):
        token, logprob = _draw(hidden, head, draws[live.number, place], temperature)
        tokens[live.number, place], logprobs[live.number, place] = token, logprob
        done = live.number[torch.isin(token, ends) & ~ended[live.number]]
        ended[done], lengths[done] = True, place + 1
        going = (~ended[live.number]).nonzero()[:, 0]
        if place + 1 == longest or len(going) == 0:
            break
        if len(going) <= 0.75 * len(live.number):
            # A copy of the cache, which pays where several answers have ended. Until then they are computed on.
            live.keep(going)
            token = token[going]
        hidden = _advance(backbone, live, token)
    cut = zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), ended.tolist())
    return [Generated(tuple(ids[:n]), tuple(lps[:n]), end) for ids, lps, n, end in cut]


def _prefill(backbone: Backbone, prompts: Sequence[Sequence[int]], per_prompt: int) -> tuple[_Live, Tensor]:
    """The prompts, each once, padded on the left; (B, H) hidden states of their last tokens, repeated."""
    width = max(map(len, prompts))
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    ids, mask = ids.to(backbone.device), mask.to(backbone.device)
    cache = DynamicCache(config=backbone.base.config.get_text_config())
    hidden = _decode(backbone, ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache)[:, -1]
    cache.batch_repeat_interleave(per_prompt)
    repeat = lambda x: x.repeat_interleave(per_prompt, 0)  # noqa: E731
    number = torch.arange(len(prompts) * per_prompt, device=backbone.device)
    return _Live(number, repeat(mask), repeat(mask.sum(1)), cache), repeat(hidden)


def _advance(backbone: Backbone, live: _Live, token: Tensor) -> Tensor:
    """(B, H) hidden states after one more token (B,)."""
    live.mask = torch.cat([live.mask, torch.ones_like(live.mask[:, :1])], 1)
    hidden = _decode(backbone, token[:, None], live.mask, live.position[:, None], live.cache)[:, -1]
    live.position = live.position + 1
    return hidden


def _decode(backbone: Backbone, ids: Tensor, mask: Tensor, position: Tensor, cache: DynamicCache) -> Tensor:
    decoder: Any = backbone.base.get_decoder()
    return decoder(
        input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
    ).last_hidden_state


def _draw(hidden: Tensor, head: Head, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(B,) the token whose share of [0, 1) each uniform number falls into, and its log-probability."""
    logits = all_logits(hidden, head)
    logprobs = (logits / temperature if temperature > 0 else logits).log_softmax(-1)
    if not bool(torch.isfinite(logprobs.amax())):
        raise NonFiniteError("the model gives NaN or infinity while it samples: its weights are damaged, or diverged")
    if temperature == 0:
        token = logprobs.argmax(-1)
    else:
        # In float64: over 150,000 tokens float32 would lose the rare ones.
        shares = logprobs.double().exp().cumsum(-1)
        token = torch.searchsorted(shares, (uniform * shares[:, -1])[:, None], right=True)[:, 0]
        token = token.clamp(max=shares.shape[-1] - 1)
    return token, logprobs.gather(1, token[:, None])[:, 0]
