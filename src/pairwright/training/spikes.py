"""Spikes: a loss, gradient or reward so far from those of the steps before that something has broken.

A step is stopped before it changes a weight when one of WATCHED lies more than `limit` standard deviations from the
mean of the last WINDOW steps. Healthy runs jump too, most of all once they have learned their data and nearly every
value is 0; so the standard deviation is taken to be at least FLOOR, and at least SHARE of the mean. docs/metrics.md
says how far healthy runs came.

Leaves out: slow changes (diagnosis), values that are no number (step.py).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from pairwright.tokens.sequences import Example

WATCHED = ("loss", "grad_norm", "rewards/chosen", "rewards/rejected")
CAUSES = ("logps/chosen", "logps/rejected")
"""Looked at only to tell a jump of the policy from one of the reference."""
WINDOW, LEAST = 100, 20
"""Steps that are compared with, at most; and before the first comparison."""
FLOOR, SHARE = 0.1, 0.1
NAMED = 8
"""Examples that a message names."""


class Spike(NamedTuple):
    name: str
    value: float
    mean: float
    deviation: float
    """The standard deviation that counted."""
    times: float
    """Distance from the mean in these."""


@dataclass
class Watch:
    limit: float
    """Standard deviations that are too many; 0 watches nothing."""
    seen: dict[str, list[float]] = field(default_factory=dict)
    """The last values of each metric: what a resumed run needs to watch as before."""

    def spike(self, metrics: dict[str, float]) -> Spike | None:
        """The farthest outlier above the limit, or None."""
        found = [spike for name in WATCHED if (spike := self._distance(name, metrics)) and spike.times > self.limit]
        return max(found, key=lambda spike: spike.times) if found and self.limit else None

    def add(self, metrics: dict[str, float]) -> None:
        """Take a step's values in."""
        for name in (*WATCHED, *CAUSES):
            if name in metrics:
                self.seen[name] = [*self.seen.get(name, []), metrics[name]][-WINDOW:]

    def explain(
        self,
        spike: Spike,
        step: int,
        metrics: dict[str, float],
        losses: Sequence[Tensor],
        batches: Sequence[Sequence[Example]],
    ) -> str:
        """What jumped, how far, by whose doing, and what to do."""
        sources = [str(example.source) for batch in batches for example in batch]
        more = f" and {len(sources) - NAMED} more" if len(sources) > NAMED else ""
        return (
            f"{spike.name} is {spike.value:.4g} in step {step}, {spike.times:.0f} standard deviations from the "
            f"{len(self.seen[spike.name])} steps before it ({spike.mean:.4g}, standard deviation "
            f"{spike.deviation:.2g}). {self._cause(spike, metrics, losses, batches)} The step is over "
            f"{', '.join(sources[:NAMED])}{more}. It changed nothing, and the checkpoints are healthy. Look at these "
            "rows; or --resume with --spike-limit 0, where such jumps are to be expected"
        )

    def _cause(
        self,
        spike: Spike,
        metrics: dict[str, float],
        losses: Sequence[Tensor],
        batches: Sequence[Sequence[Example]],
    ) -> str:
        for side in ("chosen", "rejected"):
            reward, policy = (self._distance(f"{kind}/{side}", metrics) for kind in ("rewards", "logps"))
            if reward and policy and reward.times > self.limit and policy.times < self.limit / 10:
                return "The model's own log-probabilities did not jump: those of the reference did."
        values = [value for part in losses for value in part.abs().tolist()]
        examples = [example for batch in batches for example in batch]
        largest = max(range(len(values)), key=values.__getitem__)
        if values[largest] > 0.5 * sum(values):
            return f"Most of the loss is that of {examples[largest].source} ({values[largest]:.4g})."
        if spike.name == "grad_norm" and (loss := self._distance("loss", metrics)) and loss.times < self.limit / 10:
            return "The loss did not jump: small changes of the weights now do much. The learning rate may be too high."
        return "It comes from many examples of the step: the learning rate may be too high."

    def _distance(self, name: str, metrics: dict[str, float]) -> Spike | None:
        """How far a metric lies from its window; None where there is too little to compare with."""
        window = self.seen.get(name, [])
        if name not in metrics or len(window) < LEAST:
            return None
        mean = statistics.fmean(window)
        deviation = max(statistics.pstdev(window, mean), FLOOR, SHARE * abs(mean))
        value = metrics[name]
        return Spike(name, value, mean, deviation, math.fabs(value - mean) / deviation)
