"""Scalar heads: one number at a token, the same by the trie and by one plain row per sequence."""

import math

import numpy as np
import pytest
import torch

from pairwright.backbone import heads
from pairwright.backbone.load import Backbone
from pairwright.backbone.rows import plain_implementation, why_rows
from pairwright.errors import ParityError
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example
from tests.backbone.models import ARCHITECTURES, PLAIN_ARCHITECTURES, examples, make, sequence
from tests.tiny import backbone

HERE = Source("made in the test", 1)


def test_a_trie_with_the_last_tokens():
    """Prompt 3 4, answers 5 2 and 5 6 2 (2 ends them), as one row: 3 4 5 | 2 | 6 2."""
    pair = Example((sequence([3, 4, 5, 2], 2), sequence([3, 4, 5, 6, 2], 2)), HERE)
    built = trie.build([pair], with_last=True)
    assert built.ids.tolist() == [3, 4, 5, 2, 6, 2]
    assert built.position.tolist() == [0, 1, 2, 3, 3, 4]
    assert built.last().tolist() == [3, 5]
    assert built.lengths().tolist() == [2, 3]
    assert trie.size([pair], with_last=True) == 6 and trie.size([pair]) == 4


def test_what_comes_after_the_answers_end_is_left_out():
    """Templates write a line break after the end of turn; the score is read at the end of turn."""
    whole = sequence([3, 4, 5, 2, 7], 2)
    supervised = np.array([False, False, True, True, False])
    built = trie.build([Example((type(whole)(whole.ids, supervised),), HERE)], with_last=True)
    assert built.ids[built.last()].tolist() == [2] and len(built) == 4


def test_an_answer_that_another_begins_with_ends_inside_it():
    pair = Example((sequence([3, 4, 5], 2), sequence([3, 4, 5, 6], 2)), HERE)
    built = trie.build([pair], with_last=True)
    assert built.ids.tolist() == [3, 4, 5, 6] and built.last().tolist() == [2, 3]


def test_initial_weights():
    """Standard deviation 1 / sqrt(H + 1): 1 / 32 at H = 1023. Bits of the seed, float32, no bias."""
    head = heads.new_head(1023, seed=5)
    assert head.weight.dtype == torch.float32 and head.bias is None and head.weight.shape == (1, 1023)
    assert head.weight.std().item() == pytest.approx(1 / 32, rel=0.1)
    assert torch.equal(head.weight, heads.new_head(1023, seed=5).weight)
    assert not torch.equal(head.weight, heads.new_head(1023, seed=6).weight)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    heads.new_head(8, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    assert (heads.new_head(8, seed=5, std=0).weight == 0).all()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_trie_and_plain_rows_give_equal_scores(kind):
    """Pairs, a ranking three deep, a lone sequence, prompts shared between examples."""
    model = backbone("full", kind=kind)
    head = heads.new_head(32, seed=0)
    built = trie.build(examples(), with_last=True)
    mean, largest = heads.compare_scores(model, built, head)
    assert mean < 1e-5 and largest < 1e-4
    spread = heads.scores(model, built, head).std().item()
    assert spread > 0.1  # not the same for all, or nothing was compared


@pytest.mark.parametrize("kind", PLAIN_ARCHITECTURES)
def test_architectures_without_a_trie(kind):
    model = make(kind)
    assert why_rows(model)
    plain = plain_implementation(model)
    kept = Backbone(model, None, torch.device("cpu"), torch.float32, "full", "rows", plain, "", False)
    mean, largest = heads.compare_scores(kept, trie.build(examples(), with_last=True), heads.new_head(32, seed=0))
    assert mean < 1e-5 and largest < 1e-4


def test_a_wrong_score_stops_the_run(monkeypatch):
    model, head = backbone("full"), heads.new_head(32, seed=0)
    right = heads.scores
    monkeypatch.setattr(heads, "scores", lambda *args: right(*args) + 0.1)
    with pytest.raises(ParityError, match=r"scores differ by 0\.1 an answer"):
        heads.compare_scores(model, trie.build(examples(), with_last=True), head)


def test_values_at_every_token():
    """A value function's: at each token that predicts a supervised one, the same as in a row of its own."""
    model, head = backbone("full"), heads.new_head(32, seed=0)
    built = trie.build(examples())
    plainly = _plain(backbone("full"))
    found = heads.scalars(model, built, built.source, head)
    assert found.shape == (len(built.source),)
    for number, path in enumerate(built.paths):
        own = np.flatnonzero(built.sequence == number)
        for index in (own[0], own[-1]):
            upto = path[: int(built.position[built.source[index]]) + 1]
            with torch.no_grad():
                plain = heads.plain_scores(plainly, [built.ids[upto]], head)
            assert found[index].item() == pytest.approx(plain.item(), abs=1e-5)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_gradients_are_those_of_the_plain_path(tuning):
    built = trie.build(examples(), with_last=True)
    weights = torch.linspace(-1, 1, built.sequences)
    gradients = []
    for path in ("fast", "plain"):
        model = backbone(tuning)
        heads.attach(model, heads.new_head(32, seed=0))
        head = heads.head_named(model)
        if path == "fast":
            values = heads.scores(model, built, head)
        else:
            values = heads.plain_scores(_plain(model), [built.ids[p] for p in built.paths], head)
        (values * weights).sum().backward()
        gradients.append({name: p.grad for name, p in model.trainable().items() if p.grad is not None})
    fast, plain = gradients
    assert fast.keys() == plain.keys() and any(name.endswith("score.weight") for name in fast)
    assert ("lora" in str(fast.keys())) == (tuning == "lora")
    for name in fast:
        torch.testing.assert_close(fast[name], plain[name], atol=1e-5, rtol=1e-4)


def _plain(model: Backbone) -> Backbone:
    model.base.set_attn_implementation("eager")
    return model


def test_an_attached_head_is_trained_whatever_the_adapters_are_on():
    """TRL #2743: with `all-linear` the head was left as it was."""
    model = backbone("lora")
    heads.attach(model, heads.new_head(32, seed=0))
    trained = model.trainable()
    assert [name for name in trained if "score" in name] == ["base_model.model.score.weight"]
    assert not any("lora" in name for name in trained if "score" in name)


def test_two_heads_on_one_base():
    model = backbone("full")
    heads.attach(model, heads.new_head(32, seed=0))
    heads.attach(model, heads.new_head(32, seed=0, std=0), "value")
    built = trie.build(examples(), with_last=True)
    assert heads.scores(model, built, heads.head_named(model)).abs().sum() > 0
    assert (heads.scores(model, built, heads.head_named(model, "value")) == 0).all()


def test_the_head_is_float32_in_a_bfloat16_model():
    """The product in float32 has digits that a bfloat16 one has not."""
    model, head = backbone("full", dtype=torch.bfloat16), heads.new_head(32, seed=0)
    found = heads.scores(model, trie.build(examples(), with_last=True), head)
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    assert math.isfinite(found.sum().item())
