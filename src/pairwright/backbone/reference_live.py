"""References for a training step: looked up where they were cached, or computed again in every step."""

import copy
import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pairwright.backbone import adapters
from pairwright.backbone.adapters import POLICY, REFERENCE
from pairwright.backbone.load import Backbone
from pairwright.backbone.policy import logprobs, reference_weights, sequence_sums
from pairwright.backbone.reference import sum_key
from pairwright.tokens.sequences import Example
from pairwright.tokens.trie import Trie

References = Callable[[Sequence[Example], Trie], Tensor]


def cached_references(backbone: Backbone, known: dict[bytes, float]) -> References:
    """Look each sequence up by its content."""

    def references(examples: Sequence[Example], built: Trie) -> Tensor:
        values = [known[sum_key(s, backbone)] for e in examples for s in e.sequences]
        return torch.tensor(values, dtype=torch.float32, device=backbone.device)

    return references


def live_references(backbone: Backbone) -> References:
    """Compute them with the weights that training started from: the base without its adapter, a frozen copy of a
    continued adapter, or, for full tuning, a frozen copy of the model."""
    if backbone.tuning == "full":
        frozen = copy.deepcopy(backbone.model).requires_grad_(False).eval()
        still = dataclasses.replace(backbone, model=frozen)

        @torch.no_grad()
        def from_copy(examples: Sequence[Example], built: Trie) -> Tensor:
            return sequence_sums(logprobs(still, built), built)

        return from_copy

    if backbone.continued:
        adapters.copy(backbone.model, POLICY, REFERENCE)

    @torch.no_grad()
    def from_adapter(examples: Sequence[Example], built: Trie) -> Tensor:
        training = backbone.model.training
        backbone.model.eval()
        with reference_weights(backbone):
            sums = sequence_sums(logprobs(backbone, built), built)
        backbone.model.train(training)  # in an evaluation it stays without dropout
        return sums

    return from_adapter
