"""The stages of work on the miniature, each a function: imitate demonstrators, answer requests, compare the answers.

`pairwright demo` and benchmarks/methods_on_miniature.py are made of them. What is trained from the comparisons is
theirs.
"""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pairwright import miniature
from pairwright.feedback.sample import Sample, sample
from pairwright.miniature import Annotator, Answer, Labelled, Request
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.display import Display
from pairwright.recipes.train import train

COMMON: dict[str, Any] = dict(tuning="full", pairs_per_step=16, keep_checkpoints=1)
"""Settings of every training run on the miniature."""


def imitate(folder: Path, *, demonstrations: int, learning_rate: float, seed: int, display: Display) -> Path:
    """SFT of the base model on answers by imperfect demonstrators, in `folder`; the model's folder."""
    requests = miniature.make_requests(demonstrations, seed=seed, split="train")
    rows = miniature.demonstrations(requests, miniature.demonstrate(requests, seed=seed))
    data = miniature.write(folder / "demonstrations.jsonl", rows)
    config = TrainConfig(
        method="sft",
        model=str(miniature.BASE_MODEL),
        data=str(data),
        out=str(folder / "sft"),
        learning_rate=learning_rate,
        seed=seed,
        sample_prompts=3,
        **COMMON,
    )
    return train(config, display).model


def own_pairs(model: Path, *, asked: int, seed: int) -> list[miniature.Pair]:
    """Answers of the model's own to `asked` requests, four to each at temperature 1, two by two."""
    requests = miniature.make_requests(asked, seed=1000 + seed, split="train")
    samples = answer(model, requests, each=4, temperature=1.0, seed=seed)
    return [
        pair
        for request, own in zip(requests, samples, strict=True)
        for two in itertools.combinations([Answer(s.text, s.ended) for s in own], 2)
        for pair in miniature.make_pairs([request], [two])
    ]


def compare(
    pairs: Sequence[miniature.Pair], *, most: int, seed: int, annotators: Sequence[Annotator] = miniature.TEAM
) -> list[Labelled]:
    """At most `most` of the pairs on which all annotators agree, shuffled."""
    labelled = miniature.label(pairs, annotators, seed=seed)
    agreed = [each for each in labelled if len({vote.choice for vote in each.votes}) == 1]
    random.Random(seed).shuffle(agreed)
    return agreed[:most]


def answer(path: Path, requests: Sequence[Request], *, each: int, temperature: float, seed: int) -> list[list[Sample]]:
    """`each` answers to every request by the model in the folder `path`."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    prompts = [request.prompt for request in requests]
    return sample(model, tokenizer, prompts, per_prompt=each, temperature=temperature, seed=seed, max_new_tokens=64)
