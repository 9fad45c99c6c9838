"""Attention over a trie on a CPU in float32: rotation, scores, softmax and sums as one step of autograd.

Queries are taken in blocks of ROWS; a block's keys are its ancestors and itself. Every block is a handful of batched
matrix products, whose inputs and results stay in the processor's second-level cache, and no keys are copied where the
ancestors stand side by side, as in a pair they do. The attention weights of short blocks are kept for the backward
pass, those of long ones made again.

The scale is part of the queries' rotation. Left out: soft-capping, other devices and precisions (attention.py).

Legend: N tokens, M query tokens (N, or the needed ones), H query heads, G key heads, D head size.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pairwright.backbone.attention import TrieBatch

ROWS = 128
"""Queries in a block. Fewer waste less on what a causal mask hides, and are more calls."""
KEPT = 512
"""Weights of blocks with at most this many keys are kept: ROWS x KEPT x 4 bytes a head and block, 2 KB a token."""
HIDDEN = 0.3
"""Largest share of a block's keys that no query of it sees; above it they are left out, at the price of a copy."""


class Block(NamedTuple):
    queries: slice
    """Into the M queries."""
    keys: slice | Tensor
    """Into the N tokens."""
    mask: Tensor
    """(queries, keys) float32, 0 or -inf."""


def attend_blocks(
    query: Tensor, key: Tensor, value: Tensor, cosine: Tensor, sine: Tensor, trie: TrieBatch, scale: float,
    window: int | None, rows: Tensor | None,
) -> Tensor:  # fmt: skip
    """query (M, H, D), key and value (N, G, D), not yet rotated; cosine and sine (N, 1, D); rows (M,) says which tokens
    the queries are, rising, None for all. Returns (M, H, D)."""
    name = ("blockwise", window, rows is not None)
    if name not in trie.derived:
        trie.derived[name] = blocks(trie, window, rows)
    own = (cosine, sine) if rows is None else (cosine[rows], sine[rows])
    return _Attention.apply(query, key, value, own[0] * scale, own[1] * scale, cosine, sine, trie.derived[name])


def blocks(trie: TrieBatch, window: int | None, rows: Tensor | None) -> list[Block]:
    """Cut the queries into runs of at most ROWS tokens; small trees share one."""
    end, position = trie.end, trie.position[0]
    index = torch.arange(len(end), device=end.device)
    tokens = index if rows is None else rows
    found = []
    start = 0
    for stop in _stops(end):
        first, last = torch.searchsorted(tokens, torch.tensor([start, stop], device=end.device)).tolist()
        if first < last:
            # What a later token of the block sees before it, its first one sees too.
            seen = torch.cat([index[:start][end[:start] > start], index[start:stop]])
            low = int(seen[0])
            if len(seen) >= (1 - HIDDEN) * (stop - low):
                seen = index[low:stop]
                keys: slice | Tensor = slice(low, stop)
            else:
                keys = seen
            i = tokens[first:last, None]
            allowed = (seen <= i) & (i < end[seen])
            if window is not None:
                allowed &= position[i] - position[seen] < window
            mask = torch.zeros(allowed.shape, device=end.device).masked_fill_(~allowed, float("-inf"))
            found.append(Block(slice(first, last), keys, mask))
        start = stop
    return found


def _stops(end: Tensor) -> list[int]:
    """Where blocks end: at ROWS tokens, and at the end of a tree where the next one has no room."""
    ends, stops, start = end.tolist(), [], 0
    at = 0
    while at < len(ends):
        tree = ends[at]  # a tree's first token is seen by all of it
        if tree - start > ROWS and at > start:
            stops.append(at)
            start = at
        while tree - start > ROWS:
            start += ROWS
            stops.append(start)
        at = tree
    if start < len(ends):
        stops.append(len(ends))
    return stops


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, sign: float) -> Tensor:
    """Rotary position embedding of (N, H, D) by angles (N, 1, D), whose halves are equal; sign -1 turns back."""
    half = x.shape[-1] // 2
    sine = sine[..., :half]
    out = x * cosine
    out[..., :half].addcmul_(x[..., half:], sine, value=-sign)
    out[..., half:].addcmul_(x[..., :half], sine, value=sign)
    return out


def _weights(query: Tensor, key: Tensor, block: Block) -> Tensor:
    """(H, queries, keys): the softmax of scaled and masked scores, from query and key (H, ..., D)."""
    return torch.baddbmm(block.mask, query, key.transpose(1, 2)).softmax(-1)


def _heads(x: Tensor, part: slice | Tensor, repeat: int = 1) -> Tensor:
    """(N, G, D) -> (H, part, D)."""
    x = x[part].transpose(0, 1)
    return x if repeat == 1 else x.repeat_interleave(repeat, 0)


def _add(total: Tensor, part: slice | Tensor, values: Tensor) -> None:
    """Add values (H, part, D) to total (N, G, D), summed over the query heads of each key head."""
    repeat = len(values) // total.shape[1]
    if repeat > 1:
        values = values.unflatten(0, (-1, repeat)).sum(1)
    values = values.transpose(0, 1)
    if isinstance(part, slice):
        total[part] += values
    else:
        total.index_add_(0, part, values)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, cosine_q: Tensor, sine_q: Tensor, cosine: Tensor,
        sine: Tensor, blocks: list[Block],
    ) -> Tensor:  # fmt: skip
        query, key = rotate(query, cosine_q, sine_q, 1.0), rotate(key, cosine, sine, 1.0)
        out = torch.empty_like(query)
        repeat = query.shape[1] // key.shape[1]
        kept = []
        for block in blocks:
            q, k, v = query[block.queries].transpose(0, 1), *(_heads(x, block.keys, repeat) for x in (key, value))
            weights = _weights(q, k, block)
            out[block.queries] = torch.bmm(weights, v).transpose(0, 1)
            if block.mask.shape[1] <= KEPT:
                kept.append(weights)
        ctx.blocks = blocks
        ctx.save_for_backward(query, key, value, cosine_q, sine_q, cosine, sine, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        query, key, value, cosine_q, sine_q, cosine, sine, *kept = ctx.saved_tensors
        by_query, by_key, by_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        repeat, at = query.shape[1] // key.shape[1], iter(kept)
        for block in ctx.blocks:
            q, k, v = query[block.queries].transpose(0, 1), *(_heads(x, block.keys, repeat) for x in (key, value))
            weights = next(at) if block.mask.shape[1] <= KEPT else _weights(q, k, block)
            g = gradient[block.queries].transpose(0, 1)
            _add(by_value, block.keys, torch.bmm(weights.transpose(1, 2), g))
            by_scores = torch._softmax_backward_data(torch.bmm(g, v.transpose(1, 2)), weights, -1, weights.dtype)
            by_query[block.queries] = torch.bmm(by_scores, k).transpose(0, 1)
            _add(by_key, block.keys, torch.bmm(by_scores.transpose(1, 2), q))
        return (
            rotate(by_query, cosine_q, sine_q, -1.0), rotate(by_key, cosine, sine, -1.0), by_value,
            None, None, None, None, None,
        )  # fmt: skip
