"""Fused linear layers with adapters, against the unmodified transformers model with peft's own layers: one sequence at
a time, log-probabilities and gradients to 1e-5."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from pairwright.backbone.fused import fuse, unfused
from pairwright.backbone.linears import _Project, left_alone, project, unsupported
from pairwright.backbone.policy import logprobs
from pairwright.tokens import trie
from tests.backbone.models import examples, make
from tests.backbone.test_architectures import FUSED, assert_same_gradients, backbone_of, gradients, one_by_one


@pytest.fixture
def calls(monkeypatch):
    """How many linear layers each call of the fused function computes."""
    seen, apply = [], _Project.apply
    monkeypatch.setattr(_Project, "apply", lambda x, scales, *t: (seen.append(len(scales)), apply(x, scales, *t))[1])
    return seen


def adapted(kind: str = "llama", **settings):
    """A fused tiny model with an adapter that is not zero."""
    model = make(kind)
    fuse(model)
    settings = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **settings}
    model = get_peft_model(model, LoraConfig(**settings))
    shake(model)
    return model.train()


def shake(model) -> None:
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1)


def assert_equals_peft(model) -> None:
    batch = examples()
    base, built = model.get_base_model(), trie.build(batch)
    base.set_attn_implementation("sdpa")
    with unfused(base):
        expected = torch.cat(one_by_one(model, [s for e in batch for s in e.sequences]))
        expected.square().sum().backward()
    wanted = gradients(model)
    found = logprobs(backbone_of(model, "segments"), built)[torch.from_numpy(built.sequence).argsort(stable=True)]
    found.square().sum().backward()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert_same_gradients(gradients(model), wanted)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", FUSED)
def test_every_layer_of_the_family_is_fused(kind, checkpointing, calls):
    model = adapted(kind)
    assert left_alone(model) == {}
    if checkpointing:
        model.get_base_model().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_equals_peft(model)
    assert set(calls) == {1, 2, 3}  # o and down, gate and up, q and k and v


@pytest.mark.parametrize(
    "settings",
    [
        dict(use_rslora=True, lora_alpha=3),
        dict(rank_pattern={"q_proj": 2, "gate_proj": 7}, alpha_pattern={"v_proj": 5}),
        dict(target_modules=["q_proj", "up_proj"]),
        dict(modules_to_save=["embed_tokens"]),
    ],
)
def test_adapters_that_are_fused(settings, calls):
    model = adapted(**settings)
    assert left_alone(model) == {}
    assert_equals_peft(model)
    assert calls


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (dict(use_dora=True, target_modules=["q_proj", "down_proj"]), "variant"),
        (dict(lora_bias=True, target_modules=["k_proj", "up_proj"]), "more than two matrices"),
    ],
)
def test_other_adapters_run_as_peft_made_them(settings, why):
    model = adapted(**settings)
    assert list(left_alone(model).values()) == [6] and why in next(iter(left_alone(model)))
    assert_equals_peft(model)


def test_dropout_is_left_to_peft_in_training_alone():
    model = adapted(lora_dropout=0.5, target_modules=["q_proj", "down_proj"])
    assert left_alone(model) == {"of dropout in its adapter": 6}
    backbone, built = backbone_of(model, "segments"), trie.build(examples())
    one, other = logprobs(backbone, built), logprobs(backbone, built)
    assert (one - other).abs().max() > 1e-3
    assert left_alone(model.eval()) == {}
    assert_equals_peft(model)


def test_the_adapter_in_use_is_followed():
    """A second adapter, none, and the first again: as unfused, and all different."""
    model = adapted()
    model.add_adapter("reference", LoraConfig(r=2, target_modules=["v_proj"], task_type="CAUSAL_LM"))
    shake(model)
    base, built = model.get_base_model(), trie.build(examples())
    backbone = backbone_of(model, "segments")
    values = []
    with torch.no_grad():
        for _ in range(2):
            for name in ("default", "reference"):
                model.set_adapter(name)
                values.append(logprobs(backbone, built))
                with unfused(base):
                    torch.testing.assert_close(values[-1], logprobs(backbone, built), atol=1e-5, rtol=1e-5)
        with model.disable_adapter():
            values.append(logprobs(backbone, built))
            with unfused(base):
                torch.testing.assert_close(values[-1], logprobs(backbone, built), atol=1e-5, rtol=1e-5)
    assert torch.equal(values[0], values[2]) and torch.equal(values[1], values[3])
    assert (values[0] - values[1]).abs().max() > 1e-2 and (values[4] - values[1]).abs().max() > 1e-3


def test_what_a_layer_may_not_have():
    layer = nn.Linear(3, 2)
    assert unsupported(layer) is None
    heard = []
    layer.register_forward_hook(lambda *_: heard.append(1))
    assert unsupported(layer) == "it has hooks"
    x = torch.randn(5, 3)
    torch.testing.assert_close(
        project(x, [layer, nn.Linear(3, 2)])[0], nn.functional.linear(x, layer.weight, layer.bias)
    )
    assert heard == [1]
    model = adapted()
    model.merge_adapter()
    assert list(left_alone(model)) == ["its weights are merged or transposed"]


def test_by_hand():
    """x (1, 2), W (2, 1), b 3, A (5, 7), B (11), s 2: y = 1 + 4 + 3 + 2 * 11 * (5 + 14) = 426. With dy = 1: dx = W +
    2 * 11 * A = (111, 156); dA = 2 * 11 * x = (22, 44); dB = 2 * (5 + 14) = 38; dW = x; db = 1."""
    tensors = [torch.tensor(v, requires_grad=True) for v in ([[1.0, 2]], [[1.0, 2]], [3.0], [[5.0, 7]], [[11.0]])]
    x, *rest = tensors
    (y,) = _Project.apply(x, [2.0], *rest)
    y.sum().backward()
    assert y.tolist() == [[426.0]]
    assert [t.grad.tolist() for t in tensors] == [[[111.0, 156]], [[1.0, 2]], [1.0], [[22.0, 44]], [[38.0]]]
