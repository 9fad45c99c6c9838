"""A run that is ready to train: everything that its parts need to know of each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from pairwright.backbone.load import Backbone
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import Data
from pairwright.recipes.display import Display
from pairwright.tokens.batches import step_indices
from pairwright.tokens.sequences import Example
from pairwright.training.forwards import Objective
from pairwright.training.offline import Settings, World


@dataclass(frozen=True)
class Run:
    config: TrainConfig
    objective: Objective
    backbone: Backbone
    data: Data
    settings: Settings
    fingerprint: dict[str, Any]
    """What a resumed run must share with this one."""
    checkpoint: Path | None
    """Where it goes on from."""
    out: Path
    accelerator: Accelerator
    world: World
    display: Display

    def examples_of(self, step: int) -> Sequence[Example]:
        """The training examples of step `step`, from 0, over all processes."""
        s = self.settings
        labels = self.objective.labels(self.data.train)
        return [self.data.train[i] for i in step_indices(step, len(self.data.train), s.per_step, s.seed, labels)]
