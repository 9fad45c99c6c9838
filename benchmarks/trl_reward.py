"""TRL's RewardTrainer from the reward model that Pairwright begins with, and with its weight of the centring.

transformers reads the score at the last token that is not the padding token. The benchmark's tokenizer pads with its
end token, which TRL would take over, so that scores were read before the end; here padding is another token.
"""

from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase
from trl import RewardConfig, RewardTrainer

from methods_cases import Case
from trl_dpo import common
from workload import Settings


def unused(tokenizer: PreTrainedTokenizerBase, rows: Dataset) -> int:
    """Id of a token that no row has: an embedding that pads gets no gradient."""
    texts = [row["prompt"] + row[side] for row in rows for side in ("chosen", "rejected")]
    used = {i for ids in tokenizer(texts)["input_ids"] for i in ids} | {tokenizer.eos_token_id}
    return min(set(range(len(tokenizer))) - used)


def trainer(folder: Path, case: Case, settings: Settings, rows: Dataset, callbacks: list) -> RewardTrainer:
    path = folder / "reward-model"
    values = common(folder, settings, case.per_step, case.per_step) | {"center_rewards_coefficient": 0.01}
    values.pop("model_init_kwargs")
    tokenizer = AutoTokenizer.from_pretrained(path)
    padding = unused(tokenizer, rows)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
    model = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=1, dtype=getattr(torch, settings.precision), attn_implementation="sdpa", pad_token_id=padding
    )
    return RewardTrainer(
        model=model,
        args=RewardConfig(**values),
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=callbacks,
    )
