"""Bytes of what does not depend on the batch: weights, adapters, gradients, optimiser. Exact; docs/planning.md derives
each, tests/planning/test_weights.py compares them with tensors."""

from dataclasses import dataclass
from typing import Literal

from pairwright.errors import ConfigError
from pairwright.planning.architectures import Linear, Model

Tuning = Literal["full", "lora", "qlora"]

NF4_BLOCK = 64
"""Weights that share a scale (QLoRA, arXiv 2305.14314, section 3)."""
SCALE_BLOCK = 256
"""Scales, of a byte each, that share a second scale of 4 bytes: double quantisation (the same)."""
TABLES = 4 * (16 + 256 + 1)
"""Per matrix, float32: the 16 values of nf4, the 256 of the scales' code, the scales' offset (bitsandbytes)."""


def nf4_bytes(weights: int) -> int:
    """One matrix of `weights` weights in nf4 with double quantisation.

    By hand for 4096 x 4096: 8,388,608 packed + 262,144 scales + 1,024 x 4 second scales + 1,092 tables.
    """
    scales = -(-weights // NF4_BLOCK)
    return -(-weights // 2) + scales + 4 * -(-scales // SCALE_BLOCK) + TABLES


@dataclass(frozen=True)
class Adapters:
    r: int = 16
    targets: str = "all-linear"
    """Names of matrices, separated by commas, or all-linear: every one but the head."""

    width = 4
    """Adapters are float32 whatever the weights are (peft's autocast_adapter_dtype)."""

    def on(self, model: Model) -> tuple[Linear, ...]:
        """The matrices of a layer that get an adapter. Raises ConfigError for a name that the model has not."""
        if self.targets == "all-linear":
            return model.linears
        names = {name.strip() for name in self.targets.split(",")}
        if unknown := names - {linear.name for linear in model.linears}:
            known = ", ".join(dict.fromkeys(linear.name for linear in model.linears))
            raise ConfigError(f"{model.name} has no matrix {sorted(unknown)[0]!r} in its layers; they are {known}")
        return tuple(linear for linear in model.linears if linear.name in names)

    def parameters(self, model: Model) -> int:
        """A (r x inputs) and B (outputs x r) of every adapted matrix."""
        return model.layers * sum(self.r * (linear.inputs + linear.outputs) for linear in self.on(model))


@dataclass(frozen=True)
class Sum:
    """A number of bytes, and how it came about."""

    bytes: int
    how: str


def base_weights(model: Model, tuning: Tuning, width: int) -> Sum:
    """The model itself. In nf4 embedding, head, norms and biases stay as they are: `width` bytes each."""
    if tuning != "qlora":
        return Sum(model.parameters * width, f"{model.parameters:,} weights x {width}")
    packed = model.layers * sum(nf4_bytes(linear.weights) for linear in model.linears)
    each = packed / model.linear_weights
    return Sum(
        packed + model.other_weights * width,
        f"{model.linear_weights:,} in nf4 x {each:.4f} (4 bits + 8 a {NF4_BLOCK} + 32 a {NF4_BLOCK * SCALE_BLOCK:,}) "
        f"+ {model.other_weights:,} not quantised x {width}",
    )


@dataclass(frozen=True)
class Trained:
    """What is trained, and what that costs: training/step.py in numbers."""

    parameters: int
    width: int
    """Bytes of one."""

    @property
    def masters(self) -> Sum:
        """AdamW steps on a float32 copy of 16-bit weights."""
        if self.width == 4:
            return Sum(0, "float32 weights are their own")
        return Sum(4 * self.parameters, f"{self.parameters:,} x 4")

    @property
    def moments(self) -> Sum:
        return Sum(8 * self.parameters, f"{self.parameters:,} x (4 + 4)")

    @property
    def gradients(self) -> Sum:
        """While a batch is computed: as wide as the weights."""
        return Sum(self.width * self.parameters, f"{self.parameters:,} x {self.width}")

    @property
    def stepping(self) -> Sum:
        """While the optimiser steps, when no activation is left: float32 gradients of the copies take the place of
        16-bit ones."""
        return Sum(4 * self.parameters, f"{self.parameters:,} x 4")
