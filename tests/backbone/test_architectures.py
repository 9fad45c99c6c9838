"""The trie path gives what the unmodified transformers model gives, one sequence at a time: log-probabilities and
gradients, for every architecture that we name."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from pairwright.backbone.attention import TRIE
from pairwright.backbone.fused import FAMILY, fuse
from pairwright.backbone.load import Backbone
from pairwright.backbone.policy import compare_paths, logprobs
from pairwright.backbone.rows import plain_implementation, why_rows
from pairwright.tokens import trie
from tests.backbone.models import ARCHITECTURES, PLAIN_ARCHITECTURES, examples, make

CPU = torch.device("cpu")
FUSED = [kind for kind in ARCHITECTURES if kind.split()[0] in FAMILY]


def backbone_of(model, backend: str) -> Backbone:
    base = getattr(model, "get_base_model", lambda: model)()
    plain = plain_implementation(base)
    if backend != "rows":
        base.set_attn_implementation(TRIE)
    return Backbone(model, None, CPU, torch.float32, "full", backend, plain, "", False)


def one_by_one(model, sequences) -> list[torch.Tensor]:
    """The yardstick, written apart from the library: unmodified forward, whole logits, one sequence at a time."""
    out = []
    for s in sequences:
        logits = model(input_ids=torch.from_numpy(s.ids)[None], use_cache=False).logits[0].float()
        where = torch.from_numpy(np.flatnonzero(s.supervised))
        out.append(logits.log_softmax(-1)[where - 1, torch.from_numpy(s.ids)[where]])
    return out


def gradients(model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_same(model, backend: str) -> None:
    batch = examples()
    sequences = [s for e in batch for s in e.sequences]
    base = getattr(model, "get_base_model", lambda: model)()
    base.set_attn_implementation(plain_implementation(base))
    weights = torch.randn(100, generator=torch.Generator().manual_seed(1))
    expected = torch.cat(one_by_one(model, sequences))
    (expected * weights[: len(expected)]).sum().backward()
    expected_gradients = gradients(model)

    backbone = backbone_of(model, backend)
    built = trie.build(batch)
    order = np.argsort(built.sequence, kind="stable")
    found = logprobs(backbone, built)[torch.from_numpy(order)]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    (found * weights[: len(found)]).sum().backward()
    found_gradients = gradients(model)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        assert_near(found_gradients[name], gradient, name)


def assert_near(found: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    """To 1e-5 of the largest entry, or absolutely where all are below 1."""
    difference, scale = float((found - expected).detach().abs().max()), max(1.0, float(expected.detach().abs().max()))
    assert difference <= 1e-5 * scale, f"{name}: {difference:.1e} of {scale:.1e}"


def assert_same_gradients(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Of each tensor to 1e-5 of its own largest entry."""
    assert found.keys() == expected.keys() and expected
    for name, gradient in expected.items():
        largest = float(gradient.abs().max())
        assert largest > 0, name
        torch.testing.assert_close(found[name] / largest, gradient / largest, atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize("backend", ["segments", "dense"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_trie_equals_single_sequences(kind, backend):
    assert_same(make(kind).train(), backend)


@pytest.mark.parametrize("limit", [0, 12, 10_000])
@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
def test_every_block_size_gives_the_same(kind, limit, monkeypatch):
    monkeypatch.setattr("pairwright.backbone.attention.BLOCK_TOKENS", limit)
    assert_same(make(kind).train(), "segments")


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
def test_flex_forward(kind):
    """On CPU flex_attention has no backward: log-probabilities only. CUDA: benchmarks/gpu.py."""
    model = make(kind)
    model.set_attn_implementation(plain_implementation(model))
    expected = torch.cat(one_by_one(model, [s for e in examples() for s in e.sequences]))
    built = trie.build(examples())
    with torch.no_grad():
        found = logprobs(backbone_of(model, "flex"), built)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_with_gradient_checkpointing(kind):
    model = make(kind).train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_same(model, "segments")


@pytest.mark.parametrize("frozen_embeddings", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", FUSED)
def test_fused_layers(kind, checkpointing, frozen_embeddings):
    """Against the same weights without fused layers."""
    plain, fused = make(kind).train(), make(kind).train()
    assert fuse(fused)
    if checkpointing:
        fused.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    built = trie.build(examples())
    out = []
    for model in (plain, fused):
        if frozen_embeddings:
            model.get_input_embeddings().weight.requires_grad = False
        values = logprobs(backbone_of(model, "segments"), built)
        values.square().sum().backward()
        out.append((values, gradients(model)))
    torch.testing.assert_close(out[1][0], out[0][0], atol=1e-5, rtol=1e-5)
    assert_same_gradients(out[1][1], out[0][1])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", FUSED)
def test_fused_layers_with_adapters(kind, checkpointing):
    """Against the unmodified transformers model in an unmodified peft model, one sequence at a time."""
    batch = examples()
    out = []
    for fused in (False, True):
        base = make(kind).train()
        if fused:
            base.set_attn_implementation(TRIE)
            assert fuse(base)
        model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
        draw = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.normal_(0, 0.1, generator=draw)
        if fused and checkpointing:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if fused:
            built = trie.build(batch)
            order = torch.from_numpy(np.argsort(built.sequence, kind="stable"))
            values = logprobs(Backbone(model, None, CPU, torch.float32, "lora", "segments", "", "", False), built)[
                order
            ]
        else:
            values = torch.cat(one_by_one(model, [s for e in batch for s in e.sequences]))
        values.square().sum().backward()
        out.append((values, gradients(model)))
    (expected, expected_gradients), (found, found_gradients) = out
    assert_near(found, expected, "log-probabilities")
    assert_same_gradients(found_gradients, expected_gradients)


def test_fused_model_without_a_trie_is_the_model_itself():
    model = make("llama").eval()
    ids = torch.arange(3, 20)[None]
    before = model(input_ids=ids).logits
    assert fuse(model)
    torch.testing.assert_close(model(input_ids=ids).logits, before)
    assert not fuse(make("gemma2"))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", [k for k in ARCHITECTURES if k != "gpt2"] + ["gpt2"])
def test_with_lora(kind, checkpointing):
    model = get_peft_model(make(kind), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    if checkpointing:
        model.get_base_model().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_same(model.train(), "segments")


@pytest.mark.parametrize("kind", PLAIN_ARCHITECTURES)
def test_plain_path_for_models_with_state(kind):
    model = make(kind).train()
    assert why_rows(model)
    assert_same(model, "rows")


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_rows_give_the_same_for_all(kind):
    assert why_rows(make(kind)) is None
    assert_same(make(kind).train(), "rows")


def test_compare_paths_reports_rounding_and_stops_on_a_wrong_mask(monkeypatch):
    from pairwright.errors import ParityError

    built = trie.build(examples())
    backbone = backbone_of(make("llama"), "segments")
    mean, largest = compare_paths(backbone, built)
    assert mean <= largest < 1e-5
    broken = trie.Trie(**{f: getattr(built, f) for f in built.__slots__} | {"end": built.end * 0 + len(built)})
    with pytest.raises(ParityError, match="disagree on the first batch"):
        compare_paths(backbone_of(make("llama"), "dense"), broken)
