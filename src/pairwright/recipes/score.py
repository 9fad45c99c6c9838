"""`pairwright score`: what a reward model says of answers. Every row that has answers is written again with its scores.

A pair gets score_chosen (of the answer that the data prefers) and score_rejected, which `pairwright train rpo` reads
again where the row has columns chosen and rejected; a ranking `model_scores`, in the order of its answers, never
`scores`, from which its preferences would be read; a single answer `score`. What a row says already is never written
over. Rows that cannot be read or tokenised are left out, and counted by rule.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pairwright.backbone import adapters, reward_files
from pairwright.backbone.load import Backbone, LoraSettings
from pairwright.errors import ConfigError, DataError, FormatError, NonFiniteError
from pairwright.planning.choose import CPU_TOKENS, GPU_TOKENS
from pairwright.reading import ReadReport, read, rows_of
from pairwright.recipes.data import longest_sequence
from pairwright.recipes.display import Display, counter
from pairwright.recipes.reward_evaluation import score_examples
from pairwright.records import Demonstration, Preference, Ranking, Rating, Source
from pairwright.tokens import trie
from pairwright.tokens.chat import encode
from pairwright.tokens.rules import RULES
from pairwright.tokens.sequences import Example

Scores = Mapping[str, float | list[float]]
"""Columns that a row gets."""


@dataclass
class ScoreConfig:
    """One pass of a reward model over a file."""

    model: str
    """A reward model: the folder `model` of a `train reward` run, or a folder or hub id of a sequence classifier with
    one label."""
    data: str
    """Pairs, rankings, ratings, or prompts with answers: a .jsonl, .jsonl.gz, .json, .csv or .parquet file, a folder of
    them, or the hub id of a data set."""
    out: str | None = None
    """JSONL file to write; it must not exist. Default: standard output."""
    format: str | None = None
    """Format of the data, where it should not be recognised from the columns."""
    split: str = "train"
    """Split of a hub data set."""
    chat_template: str | None = None
    """A Jinja file to use instead of the tokenizer's chat template; `text` for the plain "Human: / Assistant:" form."""
    max_length: int | None = None
    """Longest sequence in tokens. Default: what the model can take, at most 2048."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights. auto: bfloat16 where the device has it, float16 on older GPUs, float32 on CPU."""
    attention: Literal["auto", "dense", "segments", "varlen", "flex", "rows"] = "auto"
    """How attention runs over shared prefixes; `rows` computes each sequence by itself."""
    tokens_per_batch: int | None = None
    """Tokens in one forward pass. Default: 4,096 on a CPU, 32,768 on a GPU. Does not change scores beyond rounding."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""


@dataclass(frozen=True)
class ScoreResult:
    scored: int
    """Rows written."""
    left_out: dict[str, int]
    """Rows that were not, by reason."""
    tokens: int
    """Tokens computed; a shared prompt counts once."""


def score(config: ScoreConfig, display: Display | None = None) -> ScoreResult:
    """Score `config.data` and write its rows with their scores, in their order.

    Raises the errors of pairwright.errors; a score that is no number is a NonFiniteError, and nothing is written.
    """
    display = display or Display()
    if config.out is not None and Path(config.out).exists():
        raise ConfigError(f"{config.out} is there already: give another --out, or remove it")
    report = _read(config)
    display.say(f"data: {config.data} ({report.format})")
    for line in report.lines():
        display.say(f"  {line.strip()}")
    backbone = _load(config)
    for line in backbone.notes:
        if line.startswith(("precision:", "attention:", "padding:")):  # the rest is about training
            display.say(line)
    encoded = encode(
        report.records,
        backbone.tokenizer,
        chat_template=config.chat_template,
        max_length=config.max_length or longest_sequence(backbone),
    )
    for line in [*encoded.notes, *(f"{n:,} {rule}: {RULES[rule]}" for rule, n in encoded.counts.items() if n)]:
        display.say(f"  {line}")
    if not encoded.examples:
        raise DataError(f"{config.data}: none of {len(report.records):,} records can be scored")
    kinds = {record.source: type(record) for record in report.records}
    _check_free(config, kinds)
    tokens = config.tokens_per_batch or (GPU_TOKENS if backbone.device.type == "cuda" else CPU_TOKENS)
    with display.progress("scoring", len(encoded.examples)) as advance:
        found = score_examples(backbone, encoded.examples, tokens, counter(advance))
    columns = {e.source: _columns(kinds[e.source], e, values) for e, values in zip(encoded.examples, found)}
    _write(config, columns)
    computed = sum(trie.size([e], with_last=True) for e in encoded.examples)
    left_out = dict(report.dropped) | {rule: n for rule, n in encoded.counts.items() if rule.startswith("dropped_")}
    if report.quarantined:
        left_out["unusable rows"] = len(report.quarantined)
    out = f" in {config.out}" if config.out else ""
    gone = "".join(f"; {n:,} left out: {rule}" for rule, n in left_out.items())
    display.say(f"{len(columns):,} rows scored{out}, {computed:,} tokens{gone}")
    return ScoreResult(len(columns), left_out, computed)


def _read(config: ScoreConfig) -> ReadReport:
    """The records, of whatever kind has answers."""
    try:
        return read(config.data, Ranking, format=config.format, split=config.split)
    except FormatError as error:
        for kind in (Rating, Demonstration):
            if kind in error.holds:
                report = read(config.data, kind, format=config.format, split=config.split)
                # As rated answers: where only a part of one fits, its score would not be that of the answer.
                report.records = [
                    r
                    if isinstance(r, Rating)
                    else Rating(r.prompt, r.completion, True, r.source, 1.0, r.tools, r.template_kwargs)
                    for r in report.records
                ]
                return report
        raise


def _load(config: ScoreConfig) -> Backbone:
    return reward_files.load(
        config.model,
        new=False,
        tuning="lora" if adapters.folder_of(config.model) else "full",
        lora=LoraSettings(),
        precision=config.precision,
        attention=config.attention,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        trust_remote_code=config.trust_remote_code,
    )


def _columns(kind: type, example: Example, values: np.ndarray) -> Scores:
    if not np.isfinite(values).all():
        raise NonFiniteError(
            f"{example.source}: a score is {values.tolist()}; the model's weights are damaged, or too "
            "large for its precision"
        )
    numbers = [float(value) for value in values]
    return {"model_scores": numbers} if kind is Ranking else dict(zip(_names(kind), numbers))


def _names(kind: type) -> tuple[str, ...]:
    """Columns that a row of this kind gets."""
    if kind is Preference:
        return ("score_chosen", "score_rejected")
    return ("model_scores",) if kind is Ranking else ("score",)


def _check_free(config: ScoreConfig, kinds: Mapping[Source, type]) -> None:
    """Raise DataError where a row has a column of that name already."""
    for source, row in rows_of(config.data, config.split):
        if taken := [name for name in _names(kinds.get(source, Rating)) if row.get(name) is not None]:
            raise DataError(
                f"{source}: the row has a {taken[0]} already, which may be people's: rename or remove that column"
            )


def _write(config: ScoreConfig, columns: Mapping[Source, Scores]) -> None:
    """The rows in their order, each with its scores."""
    lines = _lines(config, columns)
    if config.out is None:
        sys.stdout.writelines(lines)
        return
    path = Path(config.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        file.writelines(lines)
    unfinished.rename(path)  # whole, or not there


def _lines(config: ScoreConfig, columns: Mapping[Source, Scores]) -> Iterator[str]:
    for source, row in rows_of(config.data, config.split):
        if source in columns:
            whole: dict[str, Any] = {**row, **columns[source]}
            yield json.dumps(whole, ensure_ascii=False, default=str) + "\n"
