"""Scalar heads: one number at a token, from the backbone's last hidden state there.

A reward model reads it at the end of an answer (`Trie.last` of a trie built `with_last`), a value function at every
token that predicts another (`Trie.source`). A head is a linear layer without bias, in float32 whatever the backbone's
precision is; its adapter is chosen, as for the policy, by which one is active.

An attached head is a part of the model under its name: it is trained, checkpointed and saved with the rest, whatever
layers the adapters are on.
Left out: folders of reward models (reward_files.py).

Legend: H hidden size, n tokens that are read, Q sequences.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pairwright.backbone.load import Backbone
from pairwright.backbone.policy import decoder_of, differences, hidden_states
from pairwright.tokens.trie import Trie

REWARD = "score"
"""Name of a reward model's head, the one that transformers' sequence classifiers have."""


def new_head(hidden: int, *, seed: int, std: float | None = None) -> torch.nn.Linear:
    """A linear layer of (1, hidden), float32, without bias, its weights normal with standard deviation `std`.

    Default: 1 / sqrt(H + 1), a reward model's (Stiennon et al. 2020, arXiv 2009.01325): scores of about 1 in size. 0
    makes a head that is 0 everywhere. The same seed gives the same bits on every device.
    """
    head: torch.nn.Linear = torch.nn.utils.skip_init(torch.nn.Linear, hidden, 1, bias=False, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    spread = 1 / math.sqrt(hidden + 1) if std is None else std
    with torch.no_grad():
        head.weight.copy_(torch.randn(1, hidden, generator=generator) * spread)
    return head


def hidden_size(backbone: Backbone) -> int:
    return int(backbone.base.config.get_text_config().hidden_size)


def attach(backbone: Backbone, head: torch.nn.Linear, name: str = REWARD) -> None:
    """Make `head` a trained part of the model, beside the heads that have other names."""
    assert not hasattr(backbone.base, name), f"the model has a {name} already"
    backbone.base.add_module(name, head.to(backbone.device))


def head_named(backbone: Backbone, name: str = REWARD) -> torch.nn.Linear:
    head = getattr(backbone.base, name)
    assert isinstance(head, torch.nn.Linear)
    return head


def scalars(backbone: Backbone, trie: Trie, at: np.ndarray, head: torch.nn.Linear) -> Tensor:
    """(n,) float32 values at the tokens with the indices `at` (n,) in the trie, under the adapter that is active."""
    return head(hidden_states(backbone, trie, at).float())[:, 0]


def scores(backbone: Backbone, trie: Trie, head: torch.nn.Linear) -> Tensor:
    """(Q,) float32 score of each sequence, read at its last token; `trie` is built `with_last`."""
    return scalars(backbone, trie, trie.last(), head)


def plain_scores(backbone: Backbone, sequences: Sequence[np.ndarray], head: torch.nn.Linear) -> Tensor:
    """(Q,) scores, one unpadded sequence of ids at a time through the decoder as it is. Slow; the yardstick."""
    decoder = decoder_of(backbone.base)
    rows = [torch.from_numpy(ids)[None].to(backbone.device) for ids in sequences]
    hidden = [decoder(input_ids=row, use_cache=False).last_hidden_state[0, -1] for row in rows]
    return head(torch.stack(hidden).float())[:, 0]


def compare_scores(backbone: Backbone, trie: Trie, head: torch.nn.Linear) -> tuple[float, float]:
    """Mean and largest absolute difference of the sequences' scores between the fast path and the unmodified model.

    Raises ParityError and NonFiniteError as policy.compare_paths does.
    """
    return differences(
        backbone,
        lambda: scores(backbone, trie, head),
        lambda: plain_scores(backbone, [trie.ids[path] for path in trie.paths], head),
        "scores differ by {mean:.2g} an answer",
    )
