"""How long an epoch takes and what it costs: needed arithmetic over the GPU's rate, with a stated share of it.

The share that a training run reaches is the weak part of such an estimate: it is given as a range. On the CPU that this
project measures on it was 0.57 with every weight and 0.42 with LoRA (benchmarks/README.md); on GPUs 0.3 to 0.5 is usual
for training (PaLM, arXiv 2204.02311, table 3, gives 0.21 to 0.46 for large models). A T4 gets slower with heat: 70 W.
"""

from dataclasses import dataclass

from pairwright.planning.architectures import Model
from pairwright.planning.batch import Batch
from pairwright.planning.hardware import Gpu
from pairwright.planning.weights import Tuning

SHARES = (0.45, 0.20)
"""Of the data sheet's rate: a good run, a poor one."""


@dataclass(frozen=True)
class Duration:
    fast: float
    """Seconds."""
    slow: float

    def __add__(self, other: "Duration") -> "Duration":
        return Duration(self.fast + other.fast, self.slow + other.slow)

    def price(self, dollars_an_hour: float) -> tuple[float, float]:
        return (self.fast / 3600 * dollars_an_hour, self.slow / 3600 * dollars_an_hour)


def training_flops(model: Model, tuning: Tuning, checkpointing: bool, batch: Batch) -> float:
    """Of one forward and backward pass. Forward 2 x weights x tokens; backward the same for the activations' gradient,
    and for trained weights again; checkpointing one more forward pass over the layers."""
    passes = 3 if tuning == "full" else 2
    layers = 2 * model.linear_weights * batch.tokens
    attention = 4 * model.layers * model.queries * batch.visible
    head = 2 * model.embedding * batch.scored * passes
    return float((passes + checkpointing) * layers + (3 + checkpointing) * attention + head)


def forward_flops(model: Model, batch: Batch) -> float:
    """Of one pass without gradients, such as the reference's."""
    layers = 2 * model.linear_weights * batch.tokens
    return float(layers + 4 * model.layers * model.queries * batch.visible + 2 * model.embedding * batch.scored)


def at_rate(flops: float, gpu: Gpu, width: int) -> Duration:
    rate = (gpu.half if width == 2 else gpu.single) * 1e12
    fast, slow = (flops / rate / share for share in SHARES)
    return Duration(fast, slow)


def sampling(weights: float, cache: int, tokens: int, gpu: Gpu) -> Duration:
    """`tokens` steps of sampling, each of which reads all `weights` and on average half the `cache` from memory; at
    0.7 and 0.2 of the bandwidth (Python and launches between the kernels)."""
    each = (weights + cache / 2) / (gpu.bandwidth * 1e9)
    return Duration(tokens * each / 0.7, tokens * each / 0.2)
