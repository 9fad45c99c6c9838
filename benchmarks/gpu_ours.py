"""Pairwright's side of the GPU benchmark: optimiser steps exactly as the training loop takes them."""

import statistics

import torch

from flops import training_flops
from gpu_models import Adapters, backbone, release
from gpu_work import clear, needed, peaks_gb, timed
from pairwright.backbone.load import Backbone, set_gradient_checkpointing
from pairwright.backbone.policy import logprobs, sequence_sums
from pairwright.objectives import dpo
from pairwright.tokens.batches import micro_batches
from pairwright.tokens.sequences import Example
from pairwright.training import step
from pairwright.training.forwards import Objective, forward
from shapes import Shape

LEARNING_RATE = 1e-4


class Run:
    """A model in training, and the pairs of one step. The reference is the model before the first step."""

    def __init__(self, built: Backbone, examples: list[Example], tokens_per_batch: int) -> None:
        self.built = built
        self.examples = examples
        self.batches = micro_batches(examples, tokens_per_batch)
        self.parameters = built.trainable()
        self.optimiser = step.make_optimiser(
            self.parameters, learning_rate=LEARNING_RATE, weight_decay=0.0, max_norm=1.0, half=False
        )
        self.objective = Objective(dpo, dpo.Options(beta=0.1))
        self.known: dict[int, torch.Tensor] = {}
        self.losses: list[float] = []
        self.tokens = 0

    def reference_list(self) -> list[float]:
        """Reference log-probabilities of all sequences, in order; known after the first step."""
        return torch.cat([self.known[id(batch[0])] for batch in self.batches]).tolist()

    def references(self, batch, built_trie) -> torch.Tensor:
        """Sums over each sequence, computed when a batch is first seen, which is before the weights move."""
        key = id(batch[0])
        if key not in self.known:
            with torch.no_grad():
                self.known[key] = sequence_sums(logprobs(self.built, built_trie), built_trie)
        return self.known[key]

    def take(self) -> None:
        metrics = step.take(
            self.optimiser,
            self.parameters,
            self.batches,
            lambda batch: forward(self.built, self.objective, self.references, batch),
            total=self.objective.total(self.examples),
            learning_rate=LEARNING_RATE,
        )
        self.losses.append(metrics["loss"])
        self.tokens = int(metrics["tokens_computed"])


def measure(
    base,
    shape: Shape,
    tuning: str,
    backend: str,
    examples: list[Example],
    *,
    tokens_per_batch: int,
    checkpointing: bool,
    repeats: int,
) -> dict:
    """Median seconds of a step over `examples`, memory, and the arithmetic achieved. Leaves `base` as it was.

    The first step, not counted, also computes the reference log-probabilities.
    """
    adapters = Adapters()
    built = backbone(base, tuning, backend, adapters)
    device = built.device
    try:
        set_gradient_checkpointing(built, checkpointing)
        clear(device)
        run = Run(built, examples, tokens_per_batch)
        seconds = timed(run.take, device, repeats)
        references = run.reference_list()
        found = peaks_gb(device)
    finally:
        set_gradient_checkpointing(built, False)
        release(built)
    flops = sum(training_flops(needed(examples), shape, "lora", adapters.r).values())
    middle = statistics.median(seconds)
    return {
        "seconds": middle,
        "spread": (max(seconds) - min(seconds)) / middle,
        "tokens": run.tokens,
        "backend": backend,
        "micro_batches": len(run.batches),
        "gradient_checkpointing": checkpointing,
        "tflops": flops / middle / 1e12,
        "losses": run.losses,
        "references": references,
        **found,
    }
