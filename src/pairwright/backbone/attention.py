"""Attention over a trie, through the hook that transformers offers for one's own attention function.

A model switched to `TRIE` takes its batch as one row of N tokens and a `trie=` argument, which every layer hands down
to `attend`. All backends compute the same thing: token i attends to j exactly when j <= i < end[j], and within the
layer's sliding window where it has one.

    dense      one mask over the whole row: the reference the others are tested against; memory N^2
    segments   scaled_dot_product_attention block by block, keys gathered from the ancestors: any device
    varlen     one FlashAttention call, a segment's queries against its ancestors' and its own keys: CUDA, Ampere on
    flex       flex_attention with the rule as its mask: CUDA, Ampere on; soft-capping too

Left out: attention dropout (preference training turns dropout off), and whatever is not in `attend`'s list of
arguments (attention sinks, ALiBi, chunked attention): those models take the plain path of backbone/rows.py.

Legend: N tokens, H query heads, G key heads, D head size.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from pairwright.tokens.trie import Trie

TRIE = "pairwright_trie"
Backend = Literal["dense", "segments", "varlen", "flex"]

BLOCK_TOKENS = 128
"""A subtree of at most this many tokens is one block with a mask; larger ones go segment by segment. On CPU 0, 128 and
512 were equally fast (docs/LOG.md); small blocks hold smaller masks and scores."""


@dataclass(frozen=True)
class Block:
    """Consecutive queries that share their keys: those of `ancestors`' blocks, in order, then their own."""

    start: int
    stop: int
    ancestors: tuple[int, ...]
    """Indices of earlier blocks, each of them visible as a whole."""
    causal: bool
    """True where the block is one segment: no branch inside, so the rule is plain causality."""


@dataclass
class TrieBatch:
    """A trie on a device, with what the backends derive from it once and use in every layer."""

    ids: Tensor
    """(1, N) token ids."""
    position: Tensor
    """(1, N) position of each token in its own conversation."""
    end: Tensor
    """(N,) index just past each token's subtree."""
    at: Tensor
    """(n,) indices of the tokens whose last hidden state is asked for; may repeat."""
    needed: Tensor
    """(R,) the distinct values of `at`, rising: the only rows whose last hidden state is used."""
    at_in_needed: Tensor
    """(n,) index into `needed` of each of them."""
    blocks: tuple[Block, ...]
    backend: Backend
    longest: int
    """Length of the longest conversation: no sliding window of at least this size matters."""
    derived: dict = field(default_factory=dict)
    """Masks and index lists, made when a layer first asks for them."""


def to_device(trie: Trie, device: torch.device, backend: Backend, at: np.ndarray | None = None) -> TrieBatch:
    """`at`: (n,) the tokens whose last hidden state is wanted; default those that predict a scored token."""
    put = lambda array: torch.from_numpy(array).to(device, non_blocking=True)  # noqa: E731
    one_call_per_segment = backend == "varlen"
    at = trie.source if at is None else at
    needed, at_in_needed = np.unique(at, return_inverse=True)
    return TrieBatch(
        ids=put(trie.ids)[None],
        position=put(trie.position)[None],
        end=put(trie.end),
        at=put(at),
        needed=put(needed),
        at_in_needed=put(at_in_needed),
        blocks=blocks_of(trie, limit=0 if one_call_per_segment else BLOCK_TOKENS),
        backend=backend,
        longest=int(trie.position.max(initial=0)) + 1,
    )


def blocks_of(trie: Trie, limit: int) -> tuple[Block, ...]:
    """Cut the row into blocks: whole subtrees of at most `limit` tokens, single segments above them."""
    blocks: list[Block] = []
    block_of_segment: dict[int, int] = {}
    covered = 0
    for number, segment in enumerate(trie.segments):
        if segment.start < covered:
            continue  # inside a subtree that is one block already
        ancestors: tuple[int, ...] = ()
        if segment.parent >= 0:
            above = block_of_segment[segment.parent]
            ancestors = (*blocks[above].ancestors, above)
        leaf = segment.end == segment.stop
        covered = segment.end if leaf or segment.end - segment.start <= limit else segment.stop
        before = blocks[-1] if blocks else None
        if covered == segment.end and segment.parent < 0 and before and _joins(before, trie, covered, limit):
            blocks[-1] = Block(before.start, covered, (), causal=False)
            continue
        block_of_segment[number] = len(blocks)
        blocks.append(Block(segment.start, covered, ancestors, causal=leaf or covered == segment.stop))
    return tuple(blocks)


def _joins(block: Block, trie: Trie, stop: int, limit: int) -> bool:
    """Whether `block` is made of whole trees and has room up to `stop`: small trees share a call."""
    whole = not block.ancestors and int(trie.end[block.start]) <= block.stop
    return whole and stop - block.start <= limit


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    trie: TrieBatch,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **unused: object,
) -> tuple[Tensor, None]:
    """The function that transformers calls in every layer. query (1, H, N, D), key and value (1, G, N, D) with
    G dividing H; returns (1, N, H, D)."""
    if unused.get("s_aux") is not None:
        raise ValueError("this model's attention has sinks, which the trie backends do not compute")
    scale = 1 / math.sqrt(query.shape[-1]) if scaling is None else float(scaling)
    window = sliding_window if sliding_window is not None and sliding_window < trie.longest else None
    if softcap is not None and trie.backend in ("segments", "varlen"):
        out = _segments(query, key, value, trie, scale, window, softcap)
    else:
        out = BACKENDS[trie.backend](query, key, value, trie, scale, window, softcap)
    return out.transpose(1, 2).contiguous(), None


def visible(trie: TrieBatch, rows: slice, columns: slice, window: int | None) -> Tensor:
    """(rows, columns) bool: the rule, and the sliding window. Positions along one branch are consecutive, so a
    difference of positions is a distance."""
    index = torch.arange(len(trie.end), device=trie.end.device)
    i, j = index[rows, None], index[None, columns]
    allowed = (j <= i) & (i < trie.end[None, columns])
    if window is not None:
        position = trie.position[0]
        allowed &= position[rows, None] - position[None, columns] < window
    return allowed


def _mask(trie: TrieBatch, key: tuple, dtype: torch.dtype, make: Callable[[], Tensor]) -> Tensor:
    """An additive mask, made once per batch. Additive, because a boolean one is converted again in every call."""
    if key not in trie.derived:
        allowed = make()
        trie.derived[key] = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
            ~allowed, float("-inf")
        )
    return trie.derived[key]


def _sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    """One attention call; mask None means plain causality over equally many queries and keys."""
    if softcap is None and mask is not None and not q.is_cuda and q.dtype == torch.float32:
        # Small blocks on a CPU: two batched matrix products run at the processor's rate, the fused kernel at a third
        # of it (docs/LOG.md). In 16 bits the scores would be rounded before the softmax; the fused kernel keeps them.
        k, v = _repeat(k, q), _repeat(v, q)
        scores = torch.baddbmm(mask, q[0], k[0].transpose(1, 2), alpha=scale)
        return torch.bmm(scores.softmax(-1), v[0])[None]
    if softcap is None:
        grouped = k.shape[1] != q.shape[1]
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
        )
    # No fused kernel caps its scores; Gemma 2 is computed in the open, with the softmax in float32.
    k, v = _repeat(k, q), _repeat(v, q)
    scores = torch.tanh(q @ k.transpose(2, 3) * (scale / softcap)) * softcap
    if mask is None:
        mask = torch.full(scores.shape[-2:], float("-inf"), dtype=scores.dtype, device=scores.device).triu_(1)
    return torch.softmax(scores + mask, dim=-1, dtype=torch.float32).to(q.dtype) @ v


def _repeat(keys: Tensor, queries: Tensor) -> Tensor:
    """(1, G, N, D) -> (1, H, N, D): each key head for its group of query heads."""
    repeat = queries.shape[1] // keys.shape[1]
    return keys if repeat == 1 else keys.repeat_interleave(repeat, 1)


def _dense(q: Tensor, k: Tensor, v: Tensor, trie: TrieBatch, scale: float, window: int | None, softcap: float | None):
    everything = slice(None)
    mask = _mask(trie, ("dense", window, q.dtype), q.dtype, lambda: visible(trie, everything, everything, window))
    return _sdpa(q, k, v, mask, scale, softcap)


def _segments(
    q: Tensor, k: Tensor, v: Tensor, trie: TrieBatch, scale: float, window: int | None, softcap: float | None
) -> Tensor:
    # One split instead of a slice per block: its backward is one concatenation, a slice's is a whole row of zeros.
    sizes = [block.stop - block.start for block in trie.blocks]
    queries, keys, values = q.split(sizes, 2), k.split(sizes, 2), v.split(sizes, 2)
    outs = []
    for number, block in enumerate(trie.blocks):
        seen = (*block.ancestors, number)
        mask = None
        if window is not None or block.ancestors or not block.causal:
            make = partial(_block_mask, trie, block, seen, window)
            mask = _mask(trie, (number, window, q.dtype), q.dtype, make)
        outs.append(_sdpa(queries[number], _join(keys, seen), _join(values, seen), mask, scale, softcap))
    return torch.cat(outs, 2)


def _join(parts: Sequence[Tensor], seen: tuple[int, ...]) -> Tensor:
    return parts[seen[0]] if len(seen) == 1 else torch.cat([parts[i] for i in seen], 2)


def _block_mask(trie: TrieBatch, block: Block, seen: tuple[int, ...], window: int | None) -> Tensor:
    rows = slice(block.start, block.stop)
    return torch.cat([visible(trie, rows, slice(trie.blocks[i].start, trie.blocks[i].stop), window) for i in seen], 1)


def _varlen(q: Tensor, k: Tensor, v: Tensor, trie: TrieBatch, scale: float, window: int | None, _softcap: None):
    from torch.nn.attention.varlen import varlen_attn

    if "varlen" not in trie.derived:
        trie.derived["varlen"] = _varlen_indices(trie)
    gather, starts_q, starts_k, most_q, most_k = trie.derived["varlen"]
    rows = lambda x: x[0].transpose(0, 1)  # (1, H, N, D) -> (N, H, D)  # noqa: E731
    keys, values = rows(k)[gather], rows(v)[gather]
    if not _varlen_groups():
        keys, values = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (keys, values))
    # A window of (left, 0) is causal, aligned at the end: a segment's last query sees its last key.
    left = -1 if window is None else window - 1
    grouped = {"enable_gqa": keys.shape[1] != q.shape[1]} if _varlen_groups() else {}
    out = varlen_attn(
        rows(q).contiguous(),
        keys,
        values,
        starts_q,
        starts_k,
        most_q,
        most_k,
        scale=scale,
        window_size=(left, 0),
        **grouped,
    )
    assert isinstance(out, Tensor)
    return out.transpose(0, 1)[None]


@cache
def _varlen_groups() -> bool:
    """Whether this torch's varlen_attn takes fewer key heads than query heads (2.13 does, 2.10 did not)."""
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def _varlen_indices(trie: TrieBatch) -> tuple[Tensor, Tensor, Tensor, int, int]:
    device = trie.end.device
    keys = [
        torch.cat([torch.arange(trie.blocks[i].start, trie.blocks[i].stop) for i in (*block.ancestors, number)])
        for number, block in enumerate(trie.blocks)
    ]
    count_q = torch.tensor([block.stop - block.start for block in trie.blocks])
    count_k = torch.tensor([len(k) for k in keys])
    starts = lambda counts: F.pad(counts.cumsum(0), (1, 0)).to(device, torch.int32)  # noqa: E731
    return torch.cat(keys).to(device), starts(count_q), starts(count_k), int(count_q.max()), int(count_k.max())


def _flex(q: Tensor, k: Tensor, v: Tensor, trie: TrieBatch, scale: float, window: int | None, softcap: float | None):
    from torch.nn.attention.flex_attention import create_block_mask

    n, multiple = q.shape[2], 128
    pad = -n % multiple
    name = ("flex", window)
    if name not in trie.derived:
        # Padding tokens see only themselves, so that no row of the mask is empty.
        index = torch.arange(n, n + pad, device=q.device)
        end = torch.cat([trie.end, index + 1])
        position = torch.cat([trie.position[0], torch.zeros_like(index)])

        def rule(_batch: Tensor, _head: Tensor, i: Tensor, j: Tensor) -> Tensor:
            allowed = (j <= i) & (i < end[j])
            return allowed if window is None else allowed & (position[i] - position[j] < window)

        trie.derived[name] = create_block_mask(rule, None, None, n + pad, n + pad, device=q.device)
    cap: Callable | None = None
    if softcap is not None:

        def cap(score: Tensor, *_: Tensor) -> Tensor:
            return softcap * torch.tanh(score / softcap)

    q, k, v = (F.pad(x, (0, 0, 0, pad)) for x in (q, k, v))
    grouped = k.shape[1] != q.shape[1]
    flex = _flex_function(q.is_cuda)
    return flex(q, k, v, score_mod=cap, block_mask=trie.derived[name], scale=scale, enable_gqa=grouped)[:, :, :n]


@cache
def _flex_function(compiled: bool) -> Callable:
    from torch.nn.attention.flex_attention import flex_attention

    function: Callable = flex_attention
    return torch.compile(function, dynamic=True) if compiled else function


BACKENDS: dict[str, Callable] = {"dense": _dense, "segments": _segments, "varlen": _varlen, "flex": _flex}

AttentionInterface.register(TRIE, attend)


def choose_backend(device: torch.device, dtype: torch.dtype, head_size: int) -> Backend:
    """varlen where FlashAttention runs (CUDA, compute capability 8 or more, 16-bit, head size a multiple of 8 up to
    256), else segments."""
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
    if ampere and dtype != torch.float32 and head_size % 8 == 0 and head_size <= 256:
        return "varlen" if find_spec("torch.nn.attention.varlen") else "flex"  # torch 2.10 brought varlen
    return "segments"
