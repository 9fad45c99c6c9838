"""Four roles on one base: what they compute, what they cost, what they leave alone."""

import copy

import pytest
import torch

from pairwright.backbone import roles
from pairwright.backbone.adapters import LoraSettings
from pairwright.backbone.policy import logprobs
from pairwright.tokens import trie
from tests.tiny import backbone, examples

SETTINGS = LoraSettings(r=4, alpha=8)


def tensors(*models) -> dict[int, torch.Tensor]:
    """Every distinct piece of memory that the models' parameters and buffers take."""
    found = (t for model in models for t in (*model.parameters(), *model.buffers()))
    return {t.untyped_storage().data_ptr(): t for t in found}


def held(made: roles.Roles) -> dict[int, torch.Tensor]:
    return tensors(made.policy.model, made.frozen.model, *(h for h in (made.value_head, *made.reward_heads) if h))


def size(found: dict[int, torch.Tensor]) -> int:
    return sum(t.untyped_storage().nbytes() for t in found.values())


def disturb(parameters) -> None:
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)


@pytest.fixture
def built():
    return trie.build(examples(3))


@pytest.mark.parametrize("continued", [False, True])
def test_roles_add_adapters_and_heads_to_the_base_and_nothing_else(continued):
    """Rank 4 on all linear layers of the tiny Llama. A layer of (out, in) takes 4 (out + in) numbers of 4 bytes: with
    hidden 32, keys and values 16, inner 48: q 256, k 192, v 192, o 256, gate 320, up 320, down 320 = 1856, three layers
    5568. A head is 32."""
    before = backbone("lora")
    before.continued = continued
    base = size(tensors(before.model))
    adapter, head = 5568 * 4, 32 * 4
    made = roles.make(before, SETTINGS, value=True)
    assert made.frozen.model is made.policy.model
    assert size(held(made)) == base + adapter + head + (adapter if continued else 0)
    assert sum(p.numel() for p in made.policy_parameters().values()) == 5568
    assert sum(p.numel() for p in made.value_parameters().values()) == 5568 + 32


def test_full_tuning_keeps_one_frozen_copy():
    before = backbone("full")
    base = size(tensors(before.model))
    made = roles.make(before, SETTINGS, value=True)
    assert size(held(made)) == 2 * base + 5568 * 4 + 32 * 4
    assert made.policy_parameters().keys() == dict(made.policy.model.named_parameters()).keys()
    assert not any(p.requires_grad for p in made.frozen.model.parameters())
    without = roles.make(backbone("full"), SETTINGS, value=False)
    assert size(held(without)) == 2 * base


@pytest.mark.parametrize(("tuning", "continued"), [("lora", False), ("lora", True), ("full", False)])
def test_the_reference_is_what_training_started_from(built, tuning, continued):
    policy = backbone(tuning)  # its adapter is not zero
    policy.continued = continued
    start = logprobs(policy, built).detach()
    if tuning == "lora" and not continued:
        with policy.model.disable_adapter(), torch.no_grad():
            start = logprobs(policy, built)
    made = roles.make(policy, SETTINGS, value=True)
    disturb(made.policy_parameters())
    disturb(made.value_parameters())
    torch.testing.assert_close(made.reference_logprobs(built, 1.0), start, atol=0, rtol=0)
    assert float((made.logprobs(built, 1.0) - start).abs().max()) > 0.01


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_each_role_learns_by_itself(built, tuning):
    """A backward pass of one role leaves no gradient with the other, and the policy computes the same after it."""
    made = roles.make(backbone(tuning), SETTINGS, value=True)
    before = made.logprobs(built, 1.0).detach()
    assert made.values(built).abs().max() == 0  # its head starts at 0
    with made.value():
        torch.nn.init.ones_(made.value_head.weight)
        made.values(built).sum().backward()
    grown = [name for name, p in made.value_parameters().items() if p.grad is not None]
    assert grown and all(p.grad is None for p in made.policy_parameters().values())
    assert all(p.grad is None for name, p in made.frozen.model.named_parameters() if ".value." not in name)
    after = made.logprobs(built, 1.0)
    torch.testing.assert_close(after.detach(), before, atol=0, rtol=0)
    kept = {name: p.grad.clone() for name, p in made.value_parameters().items() if p.grad is not None}
    after.sum().backward()
    assert all(p.grad is not None for p in made.policy_parameters().values() if p.requires_grad)
    assert len([p for p in made.policy_parameters().values() if p.grad is not None]) > 5
    for name, p in made.value_parameters().items():
        assert name not in kept or torch.equal(p.grad, kept[name])


def test_gradients_of_the_policy_survive_other_roles(built):
    """Accumulated over micro-batches while the reference and the value role run in between."""
    made = roles.make(backbone("lora"), SETTINGS, value=True)
    made.logprobs(built, 1.0).sum().backward()
    before = {name: p.grad.clone() for name, p in made.policy_parameters().items()}
    made.reference_logprobs(built, 1.0)
    with made.value():
        made.values(built).sum().backward()
    assert all(torch.equal(p.grad, before[name]) for name, p in made.policy_parameters().items())
    made.logprobs(built, 1.0).sum().backward()
    for name, p in made.policy_parameters().items():
        torch.testing.assert_close(p.grad, 2 * before[name])


def test_switching_moves_no_weight(built):
    made = roles.make(backbone("lora"), SETTINGS, value=True)
    before = {name: p.data_ptr() for name, p in made.policy.model.named_parameters()}
    with made.value(), torch.no_grad():
        made.values(built)
    made.reference_logprobs(built, 1.0)
    assert {name: p.data_ptr() for name, p in made.policy.model.named_parameters()} == before


def test_the_value_adapter_starts_as_the_one_that_is_continued(built):
    policy = backbone("lora")
    policy.continued = True
    made = roles.make(policy, SETTINGS, value=True)
    own = {n.replace(".value.", ".default."): p for n, p in made.value_parameters().items() if n != "value.weight"}
    assert own.keys() == made.policy_parameters().keys()
    assert all(torch.equal(p, own[n]) for n, p in made.policy_parameters().items())
    fresh = roles.make(backbone("lora"), SETTINGS, value=True)
    assert all(not p.any() for n, p in fresh.value_parameters().items() if "lora_B" in n)


def test_values_are_read_where_a_token_is_predicted(built):
    """Against the plain model, one sequence at a time: the hidden state before each scored token, times the head."""
    made = roles.make(backbone("full"), SETTINGS, value=True)
    plain = copy.deepcopy(made.policy.model)
    plain.set_attn_implementation(made.policy.plain)
    torch.nn.init.normal_(made.value_head.weight, generator=torch.Generator().manual_seed(0))
    with made.value(), torch.no_grad():
        found = made.values(built)  # a new adapter changes nothing
    expected = []
    for example in examples(3):
        for s in example.sequences:
            with torch.no_grad():
                hidden = plain.get_decoder()(input_ids=torch.from_numpy(s.ids)[None]).last_hidden_state[0]
            expected.append((hidden @ made.value_head.weight[0])[:-1][torch.from_numpy(s.supervised)[1:]])
    torch.testing.assert_close(found, torch.cat(expected), atol=2e-5, rtol=1e-4)
