"""Methods and conditions that methods_on_miniature.py compares, and one cell of its table: train, answer, score.

a method     an objective with its settings, all others at their defaults
a condition  what the comparisons are like, and the model that training starts from
a cell       one method under one condition with one seed
"""

import dataclasses
import random
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from pairwright import TrainConfig, miniature, train
from pairwright.backbone import load as loading
from pairwright.backbone.policy import logprobs, sequence_sums
from pairwright.feedback.sample import Sample, prompt_ids
from pairwright.miniature import Labelled, Request
from pairwright.recipes import stages
from pairwright.recipes.display import Display
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example, TokenSequence

FLIPS = 0.25
GOOD = 0.25
"""Share of good answers among the unpaired ones."""
LENGTH = 0.5
"""Gold reward that ten more words are worth to the annotators of the condition `longer`."""


@dataclass(frozen=True)
class Settings:
    """Sizes and seeds; a result file holds them, and is only gone on with under the same."""

    seeds: int = 3
    demonstrations: int = 240
    """A quarter of the demo's, so that SFT leaves the methods more to do."""
    sft_learning_rate: float = 9e-4
    asked: int = 200
    pairs: int = 480
    unseen: int = 200
    """Requests that are scored, one answer each at `temperature`."""
    temperature: float = 0.7
    diverging: int = 80
    """Of them, those answered once more at temperature 1 for the distance from the reference."""
    factors: tuple[float, ...] = (100.0, 400.0)
    """Times each method's default learning rate for full tuning; the better of the two by gold reward on the trial draw
    is taken. (A model of one million parameters bears, and needs, higher rates than one of seven billion.)"""
    trial_seed: int = 555
    """Of the draw that learning rates are chosen on; no score of it is shown."""
    trial_unseen: int = 160


@dataclass(frozen=True)
class Method:
    name: str
    """As the tables show it."""
    objective: str
    options: dict[str, Any] = field(default_factory=dict)
    per_step: int = 16
    """Pairs or answers in a step: always 32 answers, where they are in pairs."""
    rate_of: str = ""
    """The method whose learning rate is taken, where it is not chosen for this one."""


METHODS = {
    method.name: method
    for method in (
        Method("dpo", "dpo"),
        Method("dpo, label smoothing 0.1", "dpo", {"label_smoothing": 0.1}),
        Method("dpo, label smoothing 0.25", "dpo", {"label_smoothing": 0.25}, rate_of="dpo, label smoothing 0.1"),
        Method("dpo, length-normalised", "dpo", {"length_normalised": True}),
        Method("dpo, Jensen-Shannon", "dpo", {"f_divergence": "js"}),
        Method("robust", "robust"),
        Method("robust, flip rate 0.25", "robust", {"flip_rate": 0.25}, rate_of="robust"),
        Method("ipo", "ipo"),
        Method("hinge", "hinge"),
        Method("kto", "kto", per_step=32),
        Method("simpo", "simpo"),
        Method("r_dpo", "r_dpo"),
        Method("dpop", "dpop"),
        Method("rpo", "rpo"),
        Method("orpo", "orpo"),
    )
}


@dataclass(frozen=True)
class Condition:
    name: str
    methods: tuple[str, ...]
    base: bool = False
    """Training starts from the base model, without SFT."""


CONDITIONS = (
    Condition("clean", tuple(n for n, m in METHODS.items() if not m.rate_of and n != "orpo")),
    Condition("no SFT", ("dpo", "orpo"), base=True),
    Condition("longer", ("dpo", "dpo, length-normalised", "simpo", "r_dpo")),
    Condition("flipped", ("dpo", "dpo, label smoothing 0.25", "robust, flip rate 0.25", "ipo")),
    Condition("unpaired", ("kto",)),
)
"""clean: pairs on which three ordinary annotators agree. no SFT: clean's pairs. longer: the annotators have a taste for
length. flipped: clean's pairs, a quarter of them the wrong way round, which methods that want to know are told.
unpaired: one answer of each of clean's pairs, a quarter of them good ones."""


def comparisons(condition: str, pairs: Sequence[miniature.Pair], most: int, seed: int) -> list[Labelled]:
    """What annotators say under a condition: `most` pairs on which all agree."""
    if condition != "longer":
        return stages.compare(pairs, most=most, seed=seed)
    team = [dataclasses.replace(each, length=LENGTH) for each in miniature.TEAM]
    return stages.compare(pairs, most=most, seed=seed, annotators=team)


def rows_of(condition: str, labelled: Sequence[Labelled], seed: int) -> list[dict[str, Any]]:
    """The training file's rows."""
    rng = random.Random(f"{condition}/{seed}")
    rows = miniature.preferences(labelled)
    if condition == "flipped":
        for row in rng.sample(rows, round(FLIPS * len(rows))):
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    elif condition == "unpaired":
        both = miniature.unpaired(labelled)
        wanted = set(rng.sample(range(len(rows)), round(GOOD * len(rows))))
        return [both[2 * i + (i not in wanted)] for i in range(len(rows))]
    return rows


def describe(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Number of rows and, of pairs, the share whose chosen answer has more words, out of those that differ in it."""
    if "label" in rows[0]:
        return {"rows": len(rows), "good": sum(row["label"] for row in rows) / len(rows)}
    words = [[len(row[side][0]["content"].split()) for side in ("chosen", "rejected")] for row in rows]
    other = [chosen > rejected for chosen, rejected in words if chosen != rejected]
    return {"rows": len(rows), "longer_chosen": sum(other) / len(other)}


def trained(method: Method, start: Path, data: Path, rate: float, seed: int, out: Path) -> Path:
    """The folder of the model that one epoch over `data` makes of `start`."""
    shutil.rmtree(out, ignore_errors=True)
    common = stages.COMMON | {"pairs_per_step": method.per_step}
    config = TrainConfig(
        method=method.objective,
        model=str(start),
        data=str(data),
        out=str(out),
        options=method.options,
        learning_rate=rate,
        eval_fraction=0.0,
        sample_prompts=0,
        seed=seed,
        **common,
    )
    return train(config, Display(quiet=True)).model


def scores(model: Path, requests: Sequence[Request], temperature: float, seed: int) -> dict[str, float]:
    """Gold reward and dimensions, means over one answer to each request, and the answers' mean length in tokens."""
    samples = [one for (one,) in stages.answer(model, requests, each=1, temperature=temperature, seed=seed)]
    found = [miniature.score(r, s.text, s.ended) for r, s in zip(requests, samples, strict=True)]
    return {**miniature.mean_scores(found), "length": statistics.mean(len(s.ids) for s in samples)}


def divergence(model: Path, reference: Path, requests: Sequence[Request], seed: int) -> float:
    """Kullback-Leibler divergence of the model from the reference in nats an answer: the mean over the model's own
    answers, drawn at temperature 1, of log pi - log ref, summed over their tokens with the end token (k1)."""
    samples = [one for (one,) in stages.answer(model, requests, each=1, temperature=1.0, seed=seed)]
    tokenizer = AutoTokenizer.from_pretrained(reference)
    examples = [_example(r, s, tokenizer) for r, s in zip(requests, samples, strict=True)]
    ours, theirs = (_sums(path, examples) for path in (model, reference))
    return float((ours - theirs).mean())


def _example(request: Request, given: Sample, tokenizer: Any) -> Example:
    prompt = prompt_ids(tokenizer, request.prompt)
    ids = np.array([*prompt, *given.ids, *([tokenizer.eos_token_id] if given.ended else [])], dtype=np.int64)
    return Example((TokenSequence(ids, np.arange(len(ids)) >= len(prompt)),), Source("samples", 1))


@torch.no_grad()
def _sums(path: Path, examples: Sequence[Example]) -> torch.Tensor:
    backbone = loading.load(
        str(path), tuning="full", lora=loading.LoraSettings(16, 32), precision="float32", device=torch.device("cpu")
    )
    backbone.model.eval()
    built = trie.build(examples)
    return sequence_sums(logprobs(backbone, built), built).double()
