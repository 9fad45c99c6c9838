"""TRL's RewardTrainer from the reward model that Pairwright begins with, and with its weight of the centring."""

from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer
from trl import RewardConfig, RewardTrainer

from methods_cases import Case
from trl_dpo import common
from workload import Settings


def trainer(folder: Path, case: Case, settings: Settings, rows: Dataset, callbacks: list) -> RewardTrainer:
    model = str(folder / "reward-model")
    values = common(folder, settings, case.per_step, case.per_step) | {"center_rewards_coefficient": 0.01}
    return RewardTrainer(
        model=model,
        args=RewardConfig(**values),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=callbacks,
    )
