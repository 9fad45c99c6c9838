"""Attention over a trie: the mask and the blocks by hand, and every backend against plain attention one sequence at a
time. That whole models agree with transformers is in test_architectures.py."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.backbone.attention import Block, attend, blocks_of, choose_backend, to_device, visible
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example
from tests.tiny import CPU, tokens

HERE = Source("made in the test", 1)

# Prompt 3 4 5, answers 6 7 and 8 9 and a lone conversation 10 11 12; last tokens predict nothing and stand nowhere.
#   row:     0 1 2 | 3 | 4 || 5 6
#   token:   3 4 5 | 6 | 8 || 10 11
PAIR = Example((tokens([3, 4, 5], [6, 7]), tokens([3, 4, 5], [8, 9])), HERE)
LONE = Example((tokens([10, 11], [12]),), HERE)
BUILT = trie.build([PAIR, LONE])
EVERYTHING = slice(None)


def drawn(mask: torch.Tensor) -> list[str]:
    return ["".join("x" if cell else "." for cell in row) for row in mask.tolist()]


def test_the_mask_by_hand():
    batch = to_device(BUILT, CPU, "dense")
    assert drawn(visible(batch, EVERYTHING, EVERYTHING, None)) == [
        "x......",
        "xx.....",
        "xxx....",
        "xxxx...",
        "xxx.x..",
        ".....x.",
        ".....xx",
    ]


def test_a_sliding_window_counts_along_the_branch():
    """Window 2: a token sees itself and the one before it in its own conversation. 8 stands in row 4; before it is the
    5 in row 2, not the 6 in row 3."""
    batch = to_device(BUILT, CPU, "dense")
    assert drawn(visible(batch, EVERYTHING, EVERYTHING, 2)) == [
        "x......",
        "xx.....",
        ".xx....",
        "..xx...",
        "..x.x..",
        ".....x.",
        ".....xx",
    ]
    assert drawn(visible(batch, slice(3, 5), slice(1, 4), 2)) == [".xx", ".x."]


def test_the_batch_on_its_device():
    batch = to_device(BUILT, CPU, "segments")
    assert batch.ids.tolist() == [[3, 4, 5, 6, 8, 10, 11]]
    assert batch.position.tolist() == [[0, 1, 2, 3, 3, 0, 1]]
    assert batch.at.tolist() == [2, 3, 2, 4, 6]
    # Only rows 2, 3, 4 and 6 predict something.
    assert batch.needed.tolist() == [2, 3, 4, 6]
    assert batch.at_in_needed.tolist() == [0, 1, 0, 2, 3]
    assert batch.longest == 4


@pytest.mark.parametrize(
    ("limit", "blocks"),
    [
        # Each segment by itself: the prompt, two answers that see it, the lone one.
        (0, [Block(0, 3, (), True), Block(3, 4, (0,), True), Block(4, 5, (0,), True), Block(5, 7, (), True)]),
        (4, [Block(0, 3, (), True), Block(3, 4, (0,), True), Block(4, 5, (0,), True), Block(5, 7, (), True)]),
        # The pair's tree has 5 tokens: one block with a mask.
        (5, [Block(0, 5, (), False), Block(5, 7, (), True)]),
    ],
)
def test_blocks_by_hand(limit, blocks):
    assert list(blocks_of(BUILT, limit)) == blocks


def heads(length: int, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, count, length, 4, generator=generator, dtype=torch.float64)


def plain(query, key, value, path, window, softcap):
    """Attention of one sequence, head by head, in the open."""
    length = len(path)
    out = torch.empty(length, query.shape[1], 4, dtype=torch.float64)
    group = query.shape[1] // key.shape[1]
    for head in range(query.shape[1]):
        q, k, v = query[0, head, path], key[0, head // group, path], value[0, head // group, path]
        for i in range(length):
            first = 0 if window is None else max(0, i - window + 1)
            scores = k[first : i + 1] @ q[i] * 0.3
            if softcap:
                scores = softcap * torch.tanh(scores / softcap)
            out[i, head] = scores.softmax(0) @ v[first : i + 1]
    return out


@st.composite
def batches(draw) -> list[Example]:
    """Examples of one to three answers with few different tokens, so that answers branch anywhere."""
    answer = st.lists(st.integers(1, 2), min_size=1, max_size=5)
    out = []
    for _ in range(draw(st.integers(1, 3))):
        prompt = draw(st.lists(st.integers(1, 2), min_size=1, max_size=4))
        out.append(Example(tuple(tokens(prompt, draw(answer)) for _ in range(draw(st.integers(1, 3)))), HERE))
    return out


@settings(max_examples=40, deadline=None)
@given(
    batch=batches(),
    backend=st.sampled_from(["dense", "segments"]),
    window=st.sampled_from([None, 1, 3, 100]),
    softcap=st.sampled_from([None, 1.5]),
    key_heads=st.sampled_from([1, 2, 4]),
    limit=st.sampled_from([0, 6, 1000]),
)
def test_every_backend_is_plain_attention(batch, backend, window, softcap, key_heads, limit):
    built = trie.build(batch)
    n = len(built)
    query, key, value = heads(n, 4, 0), heads(n, key_heads, 1), heads(n, key_heads, 2)
    on_device = dataclasses.replace(to_device(built, CPU, backend), blocks=blocks_of(built, limit))
    out, weights = attend(
        None, query, key, value, None, trie=on_device, scaling=0.3, sliding_window=window, softcap=softcap
    )
    assert weights is None and out.shape == (1, n, 4, 4)
    for path in built.paths:
        expected = plain(query, key, value, path, window, softcap)
        torch.testing.assert_close(out[0, path], expected, atol=1e-6, rtol=1e-6)  # capped softmax is float32


@pytest.mark.parametrize("backend", ["dense", "segments"])
def test_gradients_are_those_of_plain_attention(backend):
    built = trie.build([PAIR, LONE])
    leaves = [heads(len(built), count, seed).requires_grad_() for seed, count in enumerate((4, 2, 2))]
    factor = heads(len(built), 4, 9)[0].transpose(0, 1)
    out, _ = attend(None, *leaves, None, trie=to_device(built, CPU, backend), scaling=0.3)
    (out[0] * factor).sum().backward()
    found = [leaf.grad.clone() for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    # Each row counts once, in whichever sequence it is met first.
    seen: set[int] = set()
    for path in built.paths:
        fresh = [t for t, index in enumerate(path.tolist()) if index not in seen]
        seen |= set(path.tolist())
        (plain(*leaves, path, None, None)[fresh] * factor[path][fresh]).sum().backward()
    for got, leaf in zip(found, leaves):
        torch.testing.assert_close(got, leaf.grad, atol=1e-10, rtol=1e-10)


def test_attention_sinks_are_refused():
    q = heads(len(BUILT), 4, 0)
    with pytest.raises(ValueError, match="sinks"):
        attend(None, q, q, q, None, trie=to_device(BUILT, CPU, "dense"), s_aux=torch.zeros(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cpu_takes_segments(dtype):
    assert choose_backend(CPU, dtype, 64) == "segments"


def test_an_empty_trie_has_no_blocks():
    assert blocks_of(trie.build([]), 100) == ()
    assert to_device(trie.build([]), CPU, "segments").longest == 1
    assert np.array_equal(to_device(trie.build([]), CPU, "segments").needed.numpy(), [])
