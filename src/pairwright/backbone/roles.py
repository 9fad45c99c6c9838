"""The four roles of RLHF on one base model: policy, reference, reward, value.

    role        adapter                               head
    policy      `default`, trained                    the model's own
    reference   none, or a frozen copy of the one     the model's own
                that training started from
    value       `value`, trained                      `value`: one number a token
    reward      `reward`, frozen (further ones        one number an answer
                `reward_1`, ...)

All adapters lie in the layers of the same base, in full precision or 4 bits; taking another role switches which of them
is active and copies nothing. Value and policy do not share an adapter: Hydra-RLHF (arXiv 2309.00754) found a shared one
worse than no RLHF at all. With full tuning the policy's weights are no longer the base's, so there is one frozen copy
of the base, and reference, value and reward live on that.

Left out: reward models on another base (they are models of their own), and which of the roles a method needs.
"""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from pairwright.backbone import adapters, heads, reward_files
from pairwright.backbone.adapters import POLICY, REFERENCE, LoraSettings
from pairwright.backbone.load import Backbone
from pairwright.backbone.policy import logprobs
from pairwright.errors import ModelError
from pairwright.tokens.trie import Trie

VALUE = "value"
REWARD = "reward"
"""Names of adapters, and of the heads that go with them."""


@dataclass(frozen=True)
class Roles:
    policy: Backbone
    frozen: Backbone
    """Where reference, value and reward live: the same model as the policy's, or, with full tuning, the frozen copy."""
    reference_adapter: str | None
    """The adapter of the reference; None for the base as it is."""
    value_head: torch.nn.Linear | None = None
    reward_heads: tuple[torch.nn.Linear, ...] = ()

    def policy_parameters(self) -> dict[str, torch.nn.Parameter]:
        """What the policy trains, by name."""
        if self.policy.tuning == "full":
            return dict(self.policy.model.named_parameters())
        return _of_adapter(self.policy.model, POLICY)

    def value_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The value role's adapter and head, by name."""
        assert self.value_head is not None
        head: Any = self.value_head.weight
        return {**_of_adapter(self.frozen.model, VALUE), f"{VALUE}.weight": head}

    @contextmanager
    def value(self) -> Iterator[None]:
        """Forward and backward passes in this block are the value role's. The policy's adapter is asleep, its gradients
        are kept."""
        with _adapter(self.frozen.model, VALUE, trained=True):
            yield

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Forward passes of `frozen` in this block are the reference's."""
        with _adapter(self.frozen.model, self.reference_adapter, trained=False):
            yield

    def logprobs(self, trie: Trie, temperature: float) -> Tensor:
        """(S,) float32 log-probabilities under the policy at the sampling temperature."""
        return logprobs(self.policy, trie, temperature)

    @torch.no_grad()
    def reference_logprobs(self, trie: Trie, temperature: float) -> Tensor:
        """(S,) float32, the reference's."""
        with self.reference():
            return logprobs(self.frozen, trie, temperature)

    def values(self, trie: Trie) -> Tensor:
        """(S,) float32 value before each scored token, read where that token is predicted. Inside `value()`."""
        assert self.value_head is not None
        return heads.scalars(self.frozen, trie, trie.source, self.value_head)

    @torch.no_grad()
    def scores(self, trie: Trie, which: int = 0) -> Tensor:
        """(Q,) float32 a reward role's score of each sequence; `trie` is built `with_last`."""
        with _adapter(self.frozen.model, _reward_name(which), trained=False):
            return heads.scores(self.frozen, trie, self.reward_heads[which])


def make(backbone: Backbone, lora: LoraSettings, *, value: bool, rewards: Sequence[str] = ()) -> Roles:
    """The roles around a policy that was loaded for training.

    `value`: whether there is a value role. Its adapter and head start as the first reward's where there is one
    (InstructGPT, 2203.02155), else as the adapter that the policy continues, or new, with a head of 0. `rewards`:
    folders of reward models that are adapters on this very base. `lora`: size of a new adapter. Raises ModelError.
    """
    frozen = dataclasses.replace(backbone, model=_frozen_copy(backbone)) if backbone.tuning == "full" else backbone
    reward_heads = tuple(_add_reward(frozen, folder, _reward_name(i)) for i, folder in enumerate(rewards))
    value_head = _add_value(frozen, lora, reward_heads[0] if rewards else None) if value else None
    reference = None
    if backbone.tuning != "full" and backbone.continued:
        adapters.copy(backbone.model, POLICY, REFERENCE)
        reference = REFERENCE
    if isinstance(frozen.model, PeftModel):
        _activate(frozen.model, *((POLICY, True) if frozen is backbone else (VALUE if value else REWARD, False)))
    return Roles(backbone, frozen, reference, value_head, reward_heads)


def _frozen_copy(backbone: Backbone) -> Any:
    return copy.deepcopy(backbone.model).requires_grad_(False)


def _reward_name(which: int) -> str:
    return REWARD if which == 0 else f"{REWARD}_{which}"


def _add_reward(frozen: Backbone, folder: str, name: str) -> torch.nn.Linear:
    """The reward adapter `name` in `frozen`; returns the head. Raises ModelError where `folder` is no reward model."""
    weight = reward_files.read_head(folder, heads.hidden_size(frozen))
    if weight is None:
        raise ModelError(
            f"{folder} is no reward model: it has no {reward_files.KEY}. `pairwright train reward` makes one"
        )
    frozen.model = adapters.add(frozen.model, folder, name)
    head = heads.new_head(heads.hidden_size(frozen), seed=0, std=0).to(frozen.device).requires_grad_(False)
    with torch.no_grad():
        head.weight.copy_(weight)
    return head


def _add_value(frozen: Backbone, lora: LoraSettings, reward_head: torch.nn.Linear | None) -> torch.nn.Linear:
    """The value adapter in `frozen`; returns the head."""
    head = heads.new_head(heads.hidden_size(frozen), seed=0, std=0).to(frozen.device)
    if reward_head is not None:
        adapters.copy(frozen.model, REWARD, VALUE)
        with torch.no_grad():
            head.weight.copy_(reward_head.weight)
    elif isinstance(frozen.model, PeftModel) and frozen.continued:
        adapters.copy(frozen.model, POLICY, VALUE)
    elif isinstance(frozen.model, PeftModel):
        frozen.model.add_adapter(VALUE, copy.deepcopy(frozen.model.peft_config[POLICY]))
    else:
        frozen.model = adapters.make(frozen.model, lora, VALUE)
    return head


def _of_adapter(model: PeftModel, adapter: str) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if f".{adapter}." in name}


@contextmanager
def _adapter(model: Any, name: str | None, *, trained: bool) -> Iterator[None]:
    """Another adapter, or none, for the length of a with-block. Looks at the layers only: no weight moves."""
    if not isinstance(model, PeftModel):
        yield
        return
    used, grows = model.active_adapter, any(p.requires_grad for p in _of_adapter(model, model.active_adapter).values())
    _activate(model, name, trained)
    try:
        yield
    finally:
        _activate(model, used, grows)


def _activate(model: PeftModel, name: str | None, trained: bool) -> None:
    """Make the adapter `name` the one that computes, None for none of them; only it may have gradients."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.enable_adapters(name is not None)
            if name is not None:
                module.set_adapter(name, inference_mode=not trained)
    if name is not None:
        model.active_adapter = name
