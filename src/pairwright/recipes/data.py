"""From the files that a run names to its examples: read, tokenise, hold some out, and say what happened to each row."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairwright.backbone.load import Backbone
from pairwright.errors import ConfigError, DataError, FormatError
from pairwright.reading import ReadReport, read
from pairwright.reading.recognition import Kind
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.display import Display, counter
from pairwright.recipes.methods import RECORDS, methods_for
from pairwright.recipes.preferences import prepare
from pairwright.recipes.shapes import shaped
from pairwright.records import Preference, Ranking, Rating
from pairwright.tokens.chat import Encoded, encode
from pairwright.tokens.labelled import with_mismatched
from pairwright.tokens.rules import RULES
from pairwright.tokens.sequences import Example
from pairwright.training.files import write_json_atomic
from pairwright.training.forwards import Objective

UNRATED = "no ratings of both answers"
"""Rule by which a pair is dropped when a method needs ratings."""
LONGEST = 2048
"""Default max_length where the model could take more."""


@dataclass(frozen=True)
class Data:
    train: list[Example]
    held_out: list[Example]
    prompts: list[Any]
    """Held-out records to sample for; training ones where nothing is held out."""


def read_files(
    config: TrainConfig, objective: Objective, out: Path, display: Display, *, writes: bool
) -> dict[str, ReadReport]:
    """Read the files that `config` names, before the model is loaded: a wrong path should not cost minutes.

    `writes`: this is the process that writes the quarantine. A run that goes on from a checkpoint keeps the one that it
    has, as it keeps its data.json: it may yet be refused. Raises ConfigError, DataError or FormatError.
    """
    kind = RECORDS[objective.module.INPUT]
    if config.dimensions is not None and kind is not Ranking:
        raise ConfigError(
            f"--dimensions weighs votes that compare answers; {config.method} takes each answer by itself"
        )
    files = {"data": (config.data, config.split)}
    if config.eval_data:
        files["held-out"] = (config.eval_data, config.eval_split)
    reports = {}
    for part, (data, split) in files.items():
        aside = out / f"quarantine-{part}.jsonl"
        reports[part] = report = _read(data, kind, config.format, split, aside if writes else None)
        if not writes and aside.exists():
            report.quarantine = aside
        prepare(report, f"{part}: {data}", config, margins=objective.module.INPUT == "scores")
        if objective.needs_ratings:
            _keep_rated(report, f"{part}: {data}", config.method)
        display.say(f"{part}: {data} ({report.format})")
        for line in report.lines():
            display.say(f"  {line.strip()}")
    return reports


def _read(data: str, kind: Kind, format: str | None, split: str, aside: Path | None) -> ReadReport:
    try:
        return read(data, kind, format=format, split=split, quarantine=aside)
    except FormatError as error:
        fitting = sorted({method for held in error.holds for method in methods_for(held)})
        if not fitting:
            raise
        raise FormatError(f"{error} Methods that take them: {', '.join(fitting)}.", error.holds) from error


def _keep_rated(report: ReadReport, name: str, method: str) -> None:
    """Drop pairs without ratings. Raises DataError where none has them."""
    if not any(record.rated for record in report.records):
        others = ", ".join(other for other in methods_for(Preference) if other != method)
        raise DataError(
            f"{name}: {method} with these settings needs ratings of both answers (columns score_chosen and "
            f"score_rejected), and no row has them. Pairs without ratings fit {others}, and {method} with settings "
            "that do not compare them."
        )
    report.drop(UNRATED, lambda record: not record.rated)


def tokenise(
    config: TrainConfig,
    objective: Objective,
    reports: dict[str, ReadReport],
    backbone: Backbone,
    out: Path,
    display: Display,
    *,
    writes: bool,
) -> Data:
    """Records to examples, some of them held out; data.json says what happened to each row.

    Raises DataError where nothing is left to train on.
    """
    template = config.chat_template
    max_length = config.max_length or longest_sequence(backbone)
    encoded = {part: _encode(part, r, backbone, template, max_length, config, display) for part, r in reports.items()}
    if writes:
        known = {p: {"reading": reports[p].summary(), "tokens": _token_report(encoded[p])} for p in reports}
        write_json_atomic(out / "data.json", known)
    found = {
        part: shaped(objective, e.examples, reports[part].records, config.turns, display.say)
        for part, e in encoded.items()
    }
    examples = {part: shape.examples for part, shape in found.items()}
    if "held-out" in reports:
        train, held_out = examples["data"], examples["held-out"]
        records = reports["held-out"].records
    else:
        train, held_out = split(examples["data"], config.eval_fraction, config.seed, found["data"].prompts)
        shown = {e.source for e in (held_out or train)}
        records = [r for r in reports["data"].records if r.source in shown]
    if objective.labelled:
        # Held-out prompts may be few: answers to them may come from the training examples, the other way round never.
        held_out = with_mismatched([*train, *held_out], config.seed, max_length)[len(train) :]
        train = with_mismatched(train, config.seed, max_length)
    records = [r for r in records if not isinstance(r, Rating) or r.label]  # a bad answer is none to compare with
    return Data(train, held_out, records[: config.sample_prompts])


def _encode(
    part: str,
    report: ReadReport,
    backbone: Backbone,
    template: str | None,
    max_length: int,
    config: TrainConfig,
    display: Display,
) -> Encoded:
    with display.progress("tokenising", len(report.records)) as advance:
        encoded = encode(
            report.records,
            backbone.tokenizer,
            chat_template=template,
            max_length=max_length,
            turns=config.turns,
            progress=counter(advance),
        )
    counts = {rule: number for rule, number in encoded.counts.items() if number}
    for line in [*encoded.notes, *(f"{number:,} {rule}: {RULES[rule]}" for rule, number in counts.items())]:
        display.say(f"  {line}")
    if not encoded.examples:
        rules = ", ".join(f"{number} {rule}" for rule, number in counts.items())
        raise DataError(
            f"{part}: none of {len(report.records):,} records can be trained on ({rules}); max_length is {max_length}"
        )
    return encoded


def split(
    examples: Sequence[Example], fraction: float, seed: int, prompts: Sequence[str] | None = None
) -> tuple[list[Example], list[Example]]:
    """(train, held out). Examples with the same prompt stay on the same side, so that nothing held out has been seen;
    where there is no prompt, equal first sequences do. `prompts` are those of the examples, where an example's first
    sequence does not tell. Never holds out more than `fraction`; a prompt with more
    examples than that is trained on."""
    groups: dict[bytes, list[Example]] = {}
    for number, example in enumerate(examples):
        first = example.sequences[0]
        prompt = first.ids[: int(first.supervised.argmax())]
        shared = (prompt if len(prompt) > 1 else first.ids).tobytes()  # a lone BOS is no prompt
        key = shared if prompts is None else prompts[number].encode("utf-8", "surrogatepass")
        groups.setdefault(hashlib.sha256(f"{seed}".encode() + key).digest(), []).append(example)
    wanted = round(fraction * len(examples))
    held: set[int] = set()
    for key in sorted(groups):
        if len(held) + len(groups[key]) <= wanted:
            held |= {id(e) for e in groups[key]}
    return [e for e in examples if id(e) not in held], [e for e in examples if id(e) in held]


def _token_report(encoded: Encoded) -> dict[str, Any]:
    dropped = [{"source": str(source), "rule": rule} for source, rule in encoded.dropped]
    return {"examples": len(encoded.examples), "counts": encoded.counts, "dropped": dropped, "notes": encoded.notes}


def longest_sequence(backbone: Backbone) -> int:
    config = backbone.base.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None) or LONGEST
    return min(LONGEST, limit, backbone.tokenizer.model_max_length)
