"""How the memory is planned: the numbers of this model and this data, for planning/memory.py."""

from typing import Any

import torch

from pairwright.backbone.load import Backbone
from pairwright.planning import memory
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import Data
from pairwright.tokens import trie
from pairwright.training.forwards import Objective


def plan(
    config: TrainConfig, objective: Objective, backbone: Backbone, data: Data, before: dict[str, Any] | None
) -> memory.Choice:
    """Token budget and gradient checkpointing. `before` is what the run that is resumed had chosen: with other
    micro-batches sums round differently."""
    sizes = sorted((trie.size([e], with_last=objective.scored) for e in data.train), reverse=True)
    fixed = fixed_memory(backbone, copied=objective.module.REFERENCE and config.reference == "live")
    tokens_per_batch = before["tokens_per_batch"] if before else config.tokens_per_batch
    checkpointing = before["gradient_checkpointing"] if before else config.gradient_checkpointing
    try:
        shape = memory.Shape.from_config(backbone.base.config.get_text_config().to_dict())
    except ValueError as reason:
        return memory.without_estimate(
            str(reason), longest=sizes[0], tokens_per_batch=tokens_per_batch, checkpointing=checkpointing
        )
    return memory.choose(
        shape,
        fixed,
        _free_bytes(backbone.device),
        backbone.dtype.itemsize,
        longest=sizes[0],
        step_tokens=sum(sizes[: config.pairs_per_step]),
        on_gpu=backbone.device.type == "cuda",
        tokens_per_batch=tokens_per_batch,
        checkpointing=checkpointing,
    )


def fixed_memory(backbone: Backbone, *, copied: bool) -> memory.Fixed:
    """What does not depend on the batch. `copied`: a live reference, for which full tuning keeps a frozen copy of the
    model, and going on with an adapter one of that."""
    parameters = backbone.trainable()
    weights = sum(p.numel() * p.element_size() for p in backbone.model.parameters())
    trained = sum(p.numel() for p in parameters.values())
    width = next(iter(parameters.values())).element_size()
    frozen = weights if backbone.tuning == "full" else trained * width if backbone.continued else 0
    return memory.Fixed(weights, trained, width, frozen if copied else 0)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available
