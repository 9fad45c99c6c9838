"""KTO against TRL's KTOTrainer: one mixed batch of labelled answers, loss and gradient. Run by parity_trl.py.

Both sides have TRL's token ids, its mismatched answers among them, so that z0 is over the same sequences: the mean of
their log-ratios over the whole batch, not below 0. One case has z0 above 0, the other, with policy and reference
changed, at 0.
"""

import os
import random
import tempfile
from collections.abc import Callable

import torch
from datasets import Dataset
from torch import Tensor

from pairwright.objectives import kto
from pairwright.objectives.inputs import Labelled

ANSWERS, GOOD = 8, 5
OPTIONS = {"beta": 0.3, "desirable_weight": 1.0, "undesirable_weight": 1.5}

DIFFERENCES = [
    "TRL's KTO takes z0 over each micro-batch (over all processes), Pairwright over the whole optimiser step: with "
    "gradient accumulation the two differ, and TRL needs a micro-batch of two or more. On one batch they agree.",
    "TRL's mismatched answers are those of the neighbours in fixed batches of the data, in the order of the file, "
    "whatever their prompts (two answers to one prompt are no mismatch then); Pairwright draws another prompt's.",
    "TRL takes the weights of good and bad answers as given, and warns; Pairwright sets them from the counts.",
    "TRL does not shuffle for KTO, since its mismatched answers depend on the order; Pairwright deals both labels out "
    "to every step.",
]


def rows(words: list[str]) -> Dataset:
    chance = random.Random(3)

    def text(low: int, high: int) -> str:
        return " ".join(chance.choices(words, k=chance.randint(low, high)))

    labels = [number < GOOD for number in range(ANSWERS)]
    chance.shuffle(labels)
    return Dataset.from_list(
        [{"prompt": text(3, 12), "completion": " " + text(2, 9), "label": label} for label in labels]
    )


def cases(
    model: Callable[[int], torch.nn.Module],
    tokenizer: Callable[[], object],
    words: list[str],
    sums: Callable[..., Tensor],
    side_of: Callable,
    compare: Callable,
) -> list[dict]:
    """What parity_trl.py makes of its other cases; `model` gives the network of a seed, `sums` and `side_of` are its
    own."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl import KTOConfig, KTOTrainer

    found = []
    for policy, reference in ((0, 1), (1, 0)):
        with tempfile.TemporaryDirectory() as folder:
            config = KTOConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                report_to="none",
                disable_tqdm=True,
                gradient_checkpointing=False,
                per_device_train_batch_size=ANSWERS,
                max_length=64,
                train_sampling_strategy="sequential",
                **OPTIONS,
            )
            trainer = KTOTrainer(
                model(policy),
                model(reference),
                args=config,
                train_dataset=rows(words),
                processing_class=tokenizer(),
            )
            batch = trainer.data_collator([trainer.train_dataset[number] for number in range(ANSWERS)])
            trl = side_of(trainer.compute_loss(trainer.model, batch), trainer.model)
            own, z0 = ours(model(policy), model(reference), batch, sums, side_of)
        found.append(compare(f"kto, z0 {z0:.2f}", OPTIONS, trl, own) | {"z0": z0, "answers": ANSWERS, "good": GOOD})
    return found


def ours(
    policy: torch.nn.Module, reference: torch.nn.Module, batch: dict, sums: Callable[..., Tensor], side_of: Callable
) -> tuple[object, float]:
    """Our loss and gradient on TRL's batch, and z0."""
    answers = [batch[key] for key in ("input_ids", "attention_mask", "completion_mask")]
    others = [batch[f"KL_{key}"] for key in ("input_ids", "attention_mask", "completion_mask")]
    with torch.no_grad():
        known = sums(reference, *answers)
        z0 = (sums(policy, *others) - sums(reference, *others)).mean().clamp(min=0)
    values, tokens = sums(policy, *answers), answers[2][:, 1:].sum(1)
    given = Labelled(values, tokens, batch["label"].bool(), z0.expand(len(values)), known)
    return side_of(kto.loss(given, kto.Options(**OPTIONS)).mean(), policy), float(z0)
