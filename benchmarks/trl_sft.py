"""TRL's SFTTrainer on prompts and completions: one batch is one optimiser step, only the completion is learned."""

from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from methods_cases import Case
from trl_dpo import common
from workload import Settings


def trainer(folder: Path, case: Case, settings: Settings, rows: Dataset, callbacks: list) -> SFTTrainer:
    return SFTTrainer(
        model=str(folder / "model"),
        args=SFTConfig(**common(folder, settings, case.per_step, case.per_step)),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        callbacks=callbacks,
    )
