"""TRL's experimental ORPOTrainer, with the likelihood of the chosen answer's own tokens, as Pairwright has it: TRL's
counts the prompt's tokens too, and the two would part from the first step on."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from methods_cases import Case
from trl_dpo import common
from workload import Settings


class AnswerLikelihood(ORPOTrainer):
    def concatenated_forward(self, *args: Any, **kwargs: Any) -> tuple:
        chosen, rejected, chosen_logits, rejected_logits, _, *rest = super().concatenated_forward(*args, **kwargs)
        return (chosen, rejected, chosen_logits, rejected_logits, -chosen.mean(), *rest)


def trainer(folder: Path, case: Case, settings: Settings, rows: Dataset, callbacks: list) -> ORPOTrainer:
    values = common(folder, settings, case.per_step, case.per_step)
    for unknown in ("model_init_kwargs", "train_sampling_strategy"):
        values.pop(unknown)
    model = AutoModelForCausalLM.from_pretrained(
        folder / "model", dtype=getattr(torch, settings.precision), attn_implementation="sdpa"
    )
    return AnswerLikelihood(
        model=model,
        args=ORPOConfig(**values, train_sampling_strategy="sequential", beta=0.1),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        callbacks=callbacks,
    )
