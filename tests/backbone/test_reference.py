"""The reference: computed once by content, or live; and nothing but the starting weights decides it."""

import dataclasses
import sqlite3

import numpy as np
import pytest
import torch

from pairwright.backbone import reference
from pairwright.backbone.policy import logprobs, sequence_sums
from pairwright.backbone.reference import Cache, content_key, default_path, reference_sums, sum_key
from pairwright.backbone.reference_live import cached_references, live_references
from pairwright.errors import NonFiniteError, StorageError
from pairwright.tokens import trie
from pairwright.tokens.batches import micro_batches
from pairwright.tokens.sequences import TokenSequence
from tests.backbone.models import VOCABULARY
from tests.tiny import backbone, examples, uniform

BUDGET = 40


@pytest.fixture
def cache(tmp_path):
    with_file = Cache(tmp_path / "deep" / "reference.sqlite")
    yield with_file
    with_file.close()


def batched(some):
    return micro_batches(some, BUDGET)


def fresh(model, sequence: TokenSequence) -> float:
    """One sequence alone, through transformers' own layers, whole logits."""
    from pairwright.backbone.rows import plain_attention

    with torch.no_grad(), plain_attention(model.base, model.plain):
        ids = torch.from_numpy(sequence.ids)[None]
        values = model.model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
    where = np.flatnonzero(sequence.supervised)
    return float(values[where - 1, sequence.ids[where]].sum())


def stored(cache: Cache) -> int:
    return cache.database.execute("SELECT count(*) FROM logprobs").fetchone()[0]


def test_values_are_those_of_a_fresh_computation(cache):
    model, some = backbone(), examples(6)
    known, computed = reference_sums(model, batched(some), BUDGET, cache)
    assert computed == 6 and stored(cache) == len(known) == 12
    again, computed = reference_sums(model, batched(some), BUDGET, cache)
    assert computed == 0 and again == known
    for e in some:
        for s in e.sequences:
            assert known[content_key(s, model)] == pytest.approx(fresh(model, s), abs=1e-5)


def halved(sequence: TokenSequence) -> TokenSequence:
    return dataclasses.replace(sequence, weights=np.full(len(sequence.ids), 0.5, np.float32))


def test_weights_of_tokens_share_the_values_and_not_the_sum(cache):
    """A weight of 0.5 on every token: half the sum, from values that are there already; both sums are known at once,
    and policy and reference agree on them."""
    model, some = backbone(), examples(3)
    light = [dataclasses.replace(e, sequences=tuple(halved(s) for s in e.sequences)) for e in some]
    whole, _ = reference_sums(model, batched(some), BUDGET, cache)
    known, computed = reference_sums(model, batched([*some, *light]), BUDGET, cache)
    assert computed == 0 and stored(cache) == 6 and len(known) == 12
    for e, half in zip(some, light):
        for s, h in zip(e.sequences, half.sequences):
            assert known[sum_key(h, model)] == pytest.approx(known[sum_key(s, model)] / 2, abs=1e-9)
            assert sum_key(s, model) == content_key(s, model) and known[sum_key(s, model)] == whole[sum_key(s, model)]
    built = trie.build([some[0], *light])
    model.model.eval()
    sums = sequence_sums(logprobs(model, built), built).detach()
    again = cached_references(model, known)([some[0], *light], built)
    torch.testing.assert_close(sums, again, atol=1e-5, rtol=0)
    assert sums[2].item() == pytest.approx(sums[0].item() / 2, abs=1e-5)


def test_each_token_has_its_own_weight(cache):
    """The values of a sequence times 0, 1, 2 ...: worked out beside the cache."""
    model, (example,) = backbone(), examples(1, seed=4)
    s = example.sequences[0]
    ramp = dataclasses.replace(s, weights=np.arange(len(s.ids), dtype=np.float32))
    known, _ = reference_sums(model, [[dataclasses.replace(example, sequences=(ramp,))]], BUDGET, cache)
    where = np.flatnonzero(s.supervised)
    assert known[sum_key(ramp, model)] == pytest.approx(
        float((cache.get(content_key(s, model)) * where).sum()), abs=1e-5
    )


def test_by_hand(cache):
    """A uniform model: ln(1/61) = -4.110874 for each supervised token."""
    model, some = uniform(), examples(3)
    known, _ = reference_sums(model, batched(some), BUDGET, cache)
    for e in some:
        for s in e.sequences:
            assert known[content_key(s, model)] == pytest.approx(-4.110874 * s.supervised.sum(), abs=1e-5)
            assert cache.get(content_key(s, model)).tolist() == pytest.approx([-4.110874] * int(s.supervised.sum()))


def test_ten_more_rows_compute_ten(cache):
    model, some = backbone(), examples(30)
    assert reference_sums(model, batched(some[:20]), BUDGET, cache)[1] == 20
    heard: list[int] = []
    known, computed = reference_sums(model, batched(some[::-1]), BUDGET, cache, heard.append)
    assert computed == 10
    assert heard[0] == 20 and sum(heard) == 30
    assert len(known) == 60


def test_a_pair_of_which_one_side_is_known_is_computed(cache):
    model, (one, two) = backbone(), examples(2)
    reference_sums(model, [[one]], BUDGET, cache)
    mixed = dataclasses.replace(two, sequences=(one.sequences[0], two.sequences[1]))
    known, computed = reference_sums(model, [[mixed]], BUDGET, cache)
    assert computed == 1 and len(known) == 2


def test_batches_of_which_nothing_is_known_are_computed_as_they_stand(cache, monkeypatch):
    """So that the policy's own batches give the same bits."""
    seen: list[list[int]] = []
    real = reference._batch_values
    monkeypatch.setattr(
        reference, "_batch_values", lambda b, batch: seen.append([e.source.line for e in batch]) or real(b, batch)
    )
    model, some = backbone(), examples(6)
    batches = [some[4:6], some[0:1], some[1:4]]
    reference_sums(model, batches, BUDGET, cache)
    assert seen == [[5, 6], [1], [2, 3, 4]]
    # Now 1 and 4 are missing, in batches of which something is known: they share one.
    keys = [(content_key(s, model),) for n in (0, 3) for s in some[n].sequences]
    with cache.database:
        cache.database.executemany("DELETE FROM logprobs WHERE key = ?", keys)
    seen.clear()
    assert reference_sums(model, [some[0:2], some[2:6]], BUDGET, cache)[1] == 2
    assert [sorted(lines) for lines in seen] == [[1, 4]]


def test_an_untouched_policy_has_the_same_bits(cache):
    model, some = backbone("lora"), examples(8)
    batches = batched(some)
    assert len(batches) > 1
    references = cached_references(model, reference_sums(model, batches, BUDGET, cache)[0])
    for batch in batches:
        built = trie.build(batch)
        assert torch.equal(sequence_sums(logprobs(model, built), built), references(batch, built))


def test_what_the_key_stands_for():
    """Another model, precision, quantisation, backend, token or supervised position is another key; another object
    with the same contents is not."""
    model = backbone()
    sequence = examples(1)[0].sequences[0]
    key = content_key(sequence, model)
    copy = TokenSequence(sequence.ids.copy(), sequence.supervised.copy())
    assert content_key(copy, backbone()) == key and len(key) == 32

    other_token, other_mark = sequence.ids.copy(), sequence.supervised.copy()
    other_token[1] += 1
    other_mark[-1] = False
    longer = TokenSequence(np.append(sequence.ids, 0), np.append(sequence.supervised, False))
    others = [
        content_key(TokenSequence(other_token, sequence.supervised), model),
        content_key(TokenSequence(sequence.ids, other_mark), model),
        content_key(longer, model),
        content_key(sequence, backbone(seed=1)),  # digest
        content_key(sequence, dataclasses.replace(model, dtype=torch.bfloat16)),
        content_key(sequence, dataclasses.replace(model, tuning="qlora")),
        content_key(sequence, dataclasses.replace(model, backend="rows")),
    ]
    assert len({key, *others}) == 8
    # LoRA and full tuning start from the same model.
    assert content_key(sequence, dataclasses.replace(model, tuning="lora")) == key


def test_where_a_sequence_stands_is_not_in_its_key(cache):
    """The same answer in two files, or in another pair, is computed once."""
    model, (one, two) = backbone(), examples(2)
    reference_sums(model, [[one, two]], BUDGET, cache)
    moved = dataclasses.replace(one, source=two.source, weight=0.5, sequences=(one.sequences[1], two.sequences[0]))
    assert reference_sums(model, [[moved]], BUDGET, cache)[1] == 0


def test_a_kill_in_the_middle_loses_one_batch(tmp_path, monkeypatch):
    """The third batch does not come back; what the first two gave is on disk, read by another connection."""
    model, some = backbone(), examples(12)
    batches = batched(some)
    real, calls = reference._batch_values, []

    def killed(b, batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(b, batch)

    monkeypatch.setattr(reference, "_batch_values", killed)
    first = Cache(tmp_path / "reference.sqlite")
    with pytest.raises(KeyboardInterrupt):
        reference_sums(model, batches, BUDGET, first)
    second = Cache(tmp_path / "reference.sqlite")
    done = len(batches[0]) + len(batches[1])
    assert stored(second) == 2 * done
    monkeypatch.setattr(reference, "_batch_values", real)
    assert reference_sums(model, batches, BUDGET, second)[1] == 12 - done
    for open_cache in (first, second):
        open_cache.close()


def test_a_model_without_numbers_is_named_by_its_example(cache):
    """A NaN in the embedding of one token that stands in one example only."""
    model, some = backbone(), examples(8)
    tokens_of = lambda e: {int(t) for s in e.sequences for t in s.ids}  # noqa: E731
    others = set().union(*(tokens_of(e) for e in some if e is not some[4]))
    prompt_only = next(int(t) for t in some[4].sequences[0].ids[:-1] if int(t) not in others)
    with torch.no_grad():
        model.base.get_input_embeddings().weight[prompt_only] = float("nan")
    with pytest.raises(NonFiniteError, match=r"the reference model gives NaN or infinity for made\.jsonl:5"):
        reference_sums(model, [some], 10_000, cache)
    assert stored(cache) == 0


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "here"))
    assert default_path() == tmp_path / "here" / "reference.sqlite"
    monkeypatch.delenv("PAIRWRIGHT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_path() == tmp_path / "xdg" / "pairwright" / "reference.sqlite"


def test_a_damaged_cache_says_what_to_do(tmp_path):
    (tmp_path / "reference.sqlite").write_text("not a database, but long enough to be taken for one " * 100)
    with pytest.raises(StorageError, match=r"reference.sqlite: the reference cache cannot be opened .* delete it"):
        Cache(tmp_path / "reference.sqlite")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        Cache(tmp_path / "file" / "reference.sqlite")


def test_a_cache_that_cannot_be_written_is_named(cache):
    cache.database.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError, match="the reference cache cannot be written"):
        cache.put([(b"k", np.zeros(2, np.float32))])


def test_two_processes_may_write_the_same(tmp_path):
    one, two = (Cache(tmp_path / "reference.sqlite") for _ in range(2))
    for each in (one, two):
        each.put([(b"key", np.array([1.5, -2.0], np.float32))])
    assert one.get(b"key").tolist() == two.get(b"key").tolist() == [1.5, -2.0]
    assert one.get(b"other") is None
    for each in (one, two):
        each.close()
    assert sqlite3.connect(tmp_path / "reference.sqlite").execute("SELECT count(*) FROM logprobs").fetchone() == (1,)


# --- live ---


def moved(model) -> None:
    """Change what is trained, as training would."""
    with torch.no_grad():
        for n, parameter in enumerate(model.trainable().values()):
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize(("tuning", "continued"), [("full", False), ("lora", False), ("lora", True)])
def test_a_live_reference_stays_where_training_started(tuning, continued):
    model = backbone(tuning)
    model.continued = continued
    if tuning == "lora" and not continued:  # a new adapter: B is 0, the start is the base
        with torch.no_grad():
            for name, parameter in model.trainable().items():
                if "lora_B" in name:
                    parameter.zero_()
    batch = examples(3)
    built = trie.build(batch)
    start = sequence_sums(logprobs(model, built), built).detach()
    references = live_references(model)
    trained = {name: p.dtype for name, p in model.trainable().items()}
    assert torch.equal(references(batch, built), start)
    moved(model)
    assert not torch.allclose(sequence_sums(logprobs(model, built), built), start, atol=0.01)
    value = references(batch, built)
    assert torch.equal(value, start) and not value.requires_grad
    # What is trained, and how the model stands, is as before.
    assert {name: p.dtype for name, p in model.trainable().items()} == trained
    assert model.model.training
    (sequence_sums(logprobs(model, built), built) - value).sum().backward()
    assert all(p.grad is not None for p in model.trainable().values())
    assert all(p.grad is None for name, p in model.model.named_parameters() if name not in trained)


def test_adapter_dropout_is_off_in_a_live_reference():
    model = backbone("lora")
    model.continued = True
    for module in model.model.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = torch.nn.Dropout(0.5)
    batch = examples(2)
    built = trie.build(batch)
    references = live_references(model)
    assert torch.equal(references(batch, built), references(batch, built))
    policy = [sequence_sums(logprobs(model, built), built) for _ in range(2)]
    assert not torch.equal(*policy)
    model.model.eval()  # an evaluation stays one
    references(batch, built)
    assert not model.model.training


def test_the_examples_have_more_than_one_token_kind():
    """Guards the tests above: a vocabulary of 61 and answers of one to five tokens."""
    lengths = {int(s.supervised.sum()) for e in examples(30) for s in e.sequences}
    assert lengths == {1, 2, 3, 4, 5} and VOCABULARY == 61


def test_what_is_kept_first_stays(cache):
    """A run that is resumed finds the very values that it started with, whatever other runs have computed since."""
    model, some = backbone(), examples(2)
    key = content_key(some[0].sequences[0], model)
    first = np.array([-1.0, -2.0], dtype=np.float32)
    cache.put([(key, first)])
    cache.put([(key, first - 1)])
    assert cache.get(key).tolist() == first.tolist()
    # The other side is not known, so the pair is computed; the kept side keeps its value.
    known, computed = reference_sums(model, [some[:1]], BUDGET, cache)
    assert computed == 1 and known[key] == -3.0
