"""From the files that a run names to its examples: read, tokenise, hold some out, and say what happened to each row."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairwright.backbone.load import Backbone
from pairwright.errors import ConfigError, DataError
from pairwright.reading import ReadReport, read
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.display import Display
from pairwright.records import Demonstration, Preference
from pairwright.tokens.chat import Encoded, encode
from pairwright.tokens.rules import RULES
from pairwright.tokens.sequences import Example
from pairwright.training.files import write_json_atomic
from pairwright.training.forwards import Objective

RECORDS = {"pairs": Preference, "answers": Demonstration}
LONGEST = 2048
"""Default max_length where the model could take more."""


@dataclass(frozen=True)
class Data:
    train: list[Example]
    held_out: list[Example]
    prompts: list[Any]
    """Held-out records to sample for; training ones where nothing is held out."""


def load_data(
    config: TrainConfig, objective: Objective, backbone: Backbone, out: Path, display: Display, *, first: bool
) -> Data:
    """Read and tokenise what `config` names. `first`: this is the process that writes data.json and the quarantine.

    Raises DataError or FormatError where nothing is left to train on.
    """
    kind = RECORDS[objective.module.INPUT]
    template = read_template(config.chat_template)
    max_length = config.max_length or longest_sequence(backbone)
    found: dict[str, Any] = {}

    def load(data: str, split: str, part: str) -> tuple[ReadReport, Encoded]:
        aside = out / f"quarantine-{part.replace(' ', '-')}.jsonl" if first else None
        report = read(data, kind, format=config.format, split=split, quarantine=aside)
        display.say(f"{part}: {data} ({report.format})")
        for line in report.lines():
            display.say(f"  {line.strip()}")
        with display.progress("tokenising", len(report.records)) as advance:
            count = 0

            def more(n: int) -> None:
                nonlocal count
                count += n
                advance(count, {})

            encoded = encode(
                report.records, backbone.tokenizer, chat_template=template, max_length=max_length, progress=more
            )
        for line in encoded.notes:
            display.say(f"  {line}")
        for rule, number in encoded.counts.items():
            if number:
                display.say(f"  {number:,} {rule}: {RULES[rule]}")
        if not encoded.examples:
            rules = ", ".join(f"{n} {r}" for r, n in encoded.counts.items() if n)
            raise DataError(
                f"{data}: none of {len(report.records):,} records can be trained on ({rules}); "
                f"max_length is {max_length}"
            )
        found[part] = {"reading": report.summary(), "tokens": _token_report(encoded)}
        return report, encoded

    report, encoded = load(config.data, config.split, "data")
    if config.eval_data:
        eval_report, eval_encoded = load(config.eval_data, config.eval_split, "held out")
        train_examples, held_out, records = encoded.examples, eval_encoded.examples, eval_report.records
    else:
        train_examples, held_out = split(encoded.examples, config.eval_fraction, config.seed)
        sources = {e.source for e in (held_out or train_examples)}
        records = [r for r in report.records if r.source in sources]
    if first and not (out / "config.json").exists():
        write_json_atomic(out / "data.json", found)
    return Data(train_examples, held_out, records[: config.sample_prompts])


def split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """(train, held out). Examples with the same prompt stay on the same side, so that nothing held out has been seen:
    whether one is held out depends on its first sequence's unsupervised beginning and the seed."""
    if fraction == 0:
        return list(examples), []
    groups: dict[bytes, list[Example]] = {}
    for example in examples:
        first = example.sequences[0]
        prompt = first.ids[: int(first.supervised.argmax())]
        groups.setdefault(hashlib.sha256(f"{seed}".encode() + prompt.tobytes()).digest(), []).append(example)
    wanted = round(fraction * len(examples))
    held: set[int] = set()
    for key in sorted(groups):
        if len(held) >= wanted or len(held) + len(groups[key]) >= len(examples):
            break
        held |= {id(e) for e in groups[key]}
    return [e for e in examples if id(e) not in held], [e for e in examples if id(e) in held]


def _token_report(encoded: Encoded) -> dict[str, Any]:
    dropped = [{"source": str(source), "rule": rule} for source, rule in encoded.dropped]
    return {"examples": len(encoded.examples), "counts": encoded.counts, "dropped": dropped, "notes": encoded.notes}


def read_template(name: str | None) -> str | None:
    if name is None or name == "text":
        return name
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"--chat-template {name}: no such file (a Jinja template, or the word `text`)")
    return path.read_text(encoding="utf-8")


def longest_sequence(backbone: Backbone) -> int:
    config = backbone.base.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None) or LONGEST
    return min(LONGEST, limit, backbone.tokenizer.model_max_length)
