"""Attention by blocks of queries: which keys each block takes, and that the dense mask gives the same."""

import numpy as np
import pytest
import torch

from pairwright.backbone import blockwise
from pairwright.backbone.attention import attend, to_device, visible
from pairwright.backbone.blockwise import attend_blocks, blocks, rotate
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example
from tests.backbone.models import examples, sequence

CPU = torch.device("cpu")


def ranking(prompt: int, answers: int, length: int) -> Example:
    rng = np.random.default_rng(3)
    shared = rng.integers(3, 61, prompt).tolist()
    parts = [[3 + i, *rng.integers(3, 61, length - 1).tolist()] for i in range(answers)]
    return Example(tuple(sequence(shared + part, prompt) for part in parts), Source("made in the test", 1))


def batch_of(what: list[Example]):
    return to_device(trie.build(what), CPU, "segments")


@pytest.mark.parametrize("needed", [False, True])
@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("limit", [4, 9, 128])
@pytest.mark.parametrize("hidden", [0.0, 0.3, 1.0])
def test_blocks_see_what_the_rule_says_and_nothing_twice(hidden, limit, window, needed, monkeypatch):
    monkeypatch.setattr(blockwise, "ROWS", limit)
    monkeypatch.setattr(blockwise, "HIDDEN", hidden)
    batch = batch_of([*examples(), ranking(6, 7, 5)])
    n = len(batch.end)
    rows = batch.needed if needed else torch.arange(n)
    seen = torch.zeros(len(rows), n, dtype=torch.int)
    for block in blocks(batch, window, batch.needed if needed else None):
        keys = torch.arange(n)[block.keys]
        assert block.mask.shape[0] <= limit
        seen[block.queries, keys] += (block.mask == 0).int()
    assert torch.equal(seen, visible(batch, slice(None), slice(None), window).int()[rows])


def test_hidden_keys_are_left_out_where_they_are_many():
    """Prompt of 100, eight answers of 50: the last block holds answers 7 and 8 and what came of 6; it must not multiply
    with the five answers before."""
    batch = batch_of([ranking(100, 8, 51)])
    assert len(batch.end) == 100 + 8 * 50
    found = blocks(batch, None, None)
    assert [block.mask.shape[0] for block in found] == [128, 128, 128, 116]
    assert isinstance(found[0].keys, slice) and isinstance(found[-1].keys, torch.Tensor)
    assert found[-1].mask.shape[1] < 100 + 50 + 116 + 1


def test_a_pair_needs_no_copies():
    batch = batch_of([ranking(126, 2, 47)] * 2)
    assert all(isinstance(block.keys, slice) for block in blocks(batch, None, None))


def leaves(n: int, heads: int = 4, groups: int = 2, size: int = 8) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(n, h, size, requires_grad=True) for h in (heads, groups, groups)]


@pytest.mark.parametrize("needed", [False, True])
@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize(("limit", "kept"), [(9, 0), (9, 1000), (128, 20)])
def test_equals_the_dense_mask(limit, kept, window, needed, monkeypatch):
    monkeypatch.setattr(blockwise, "ROWS", limit)
    monkeypatch.setattr(blockwise, "KEPT", kept)
    what = [*examples(), ranking(6, 7, 5)]
    batch, dense = batch_of(what), to_device(trie.build(what), CPU, "dense")
    n, rows = len(batch.end), batch.needed if needed else None
    angles = batch.position[0][:, None, None] * torch.tensor([1.0, 0.3, 0.1, 0.03] * 2)
    cosine, sine = angles.cos(), angles.sin()
    query, key, value = leaves(n)
    turned = [rotate(x, cosine, sine, 1.0).transpose(0, 1)[None] for x in (query.detach(), key.detach())]
    turned = [x.requires_grad_() for x in turned]
    plain = attend(None, *turned, value.transpose(0, 1)[None], None, trie=dense, scaling=0.4, sliding_window=window)[0][
        0
    ]
    chosen = torch.arange(n) if rows is None else rows
    weight = torch.randn(len(chosen), 4, 8)
    (plain[chosen] * weight).sum().backward()
    expected = [rotate(x.grad[0].transpose(0, 1), cosine, sine, -1.0) for x in turned] + [value.grad.clone()]
    value.grad = None
    some = query if rows is None else query.detach()[rows].requires_grad_()
    out = attend_blocks(some, key, value, cosine, sine, batch, 0.4, window, rows)
    (out * weight).sum().backward()
    torch.testing.assert_close(out, plain[chosen], atol=1e-5, rtol=1e-5)
    for found, wanted in zip((some.grad, key.grad, value.grad), [expected[0][chosen], *expected[1:]]):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
