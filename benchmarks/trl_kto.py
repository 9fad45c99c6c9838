"""TRL's KTOTrainer on the same work as Pairwright: one batch is one optimiser step, since its reference point is of a
batch and Pairwright's of a step, and the mismatched answers are Pairwright's."""

from pathlib import Path
from typing import Any

from datasets import Dataset, Value
from transformers import AutoTokenizer
from trl import KTOConfig, KTOTrainer

from methods_cases import Case
from trl_dpo import common
from workload import Settings


class SameMismatches(KTOTrainer):
    """TRL's own pairing takes each prompt with the answer before it in the batch."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        mismatched = dataset["mismatched"]
        prepared = super()._prepare_dataset(dataset.remove_columns("mismatched"), *args, **kwargs)
        features = prepared.features["KL_completion_ids"]
        return prepared.remove_columns("KL_completion_ids").add_column(
            "KL_completion_ids", mismatched, feature=features
        )


def trainer(folder: Path, case: Case, settings: Settings, rows: Dataset, callbacks: list) -> KTOTrainer:
    values = common(folder, settings, case.per_step, case.per_step) | {
        "precompute_ref_log_probs": True,
        "precompute_ref_batch_size": case.per_step,
        "beta": settings.beta,
    }
    return SameMismatches(
        model=str(folder / "model"),
        args=KTOConfig(**values),
        train_dataset=rows.cast_column("label", Value("bool")),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        callbacks=callbacks,
    )
