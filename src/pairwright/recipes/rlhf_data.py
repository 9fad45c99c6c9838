"""From a file of prompts to token ids that generation starts from, some of them held out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pairwright.backbone.load import Backbone
from pairwright.errors import ConfigError, DataError
from pairwright.reading import ReadReport
from pairwright.reading.questions import Question, read_questions
from pairwright.recipes.data import longest_sequence
from pairwright.recipes.display import Display
from pairwright.recipes.rlhf_config import RlhfConfig
from pairwright.tokens.chat import prompt_ids
from pairwright.training.files import write_json_atomic
from pairwright.training.rollouts import Prompt

UNFIT = "no prompt can be made of it"
"""Rule by which a prompt is dropped: its last turn alone is too long, or the chat template refuses it."""
NO_TOKENS = "no tokens"
"""Rule by which a prompt is dropped: there is nothing to go on from."""


@dataclass(frozen=True)
class Prompts:
    train: list[Prompt]
    held_out: list[Prompt]


def read_prompts(config: RlhfConfig, out: Path, display: Display) -> dict[str, ReadReport]:
    """Read the files, before any model is loaded. Raises DataError or FormatError."""
    files = {"data": (config.data, config.split)}
    if config.eval_data:
        files["held-out"] = (config.eval_data, config.eval_split)
    reports = {}
    for part, (data, split) in files.items():
        aside = out / f"quarantine-{part}.jsonl"
        reports[part] = report = read_questions(data, format=config.format, split=split, quarantine=aside)
        display.say(f"{part}: {data} ({report.format})")
        for line in report.lines():
            display.say(f"  {line.strip()}")
    return reports


def tokenise_prompts(
    config: RlhfConfig, reports: dict[str, ReadReport], backbone: Backbone, out: Path, display: Display
) -> Prompts:
    """Records to prompts; data.json says what happened to each row. Raises ConfigError, and DataError where nothing is
    left."""
    room = longest_sequence(backbone) - config.max_new_tokens
    longest = min(config.max_prompt_length or room, room)
    if longest < 2:
        raise ConfigError(
            f"--max-new-tokens {config.max_new_tokens} leaves no room for prompts: the model takes {room}"
        )
    made = {part: _prompts(report, backbone, config.chat_template, longest) for part, report in reports.items()}
    for part, (_, dropped) in made.items():
        for rule, sources in dropped.items():
            display.say(f"  {part}: {len(sources):,} prompts dropped: {rule} ({sources[0]})")
    if not (out / "config.json").exists():
        found = {
            part: {
                "reading": reports[part].summary(),
                "tokens": {
                    "prompts": len(prompts),
                    "dropped": [{"source": s, "rule": rule} for rule, sources in dropped.items() for s in sources],
                },
            }
            for part, (prompts, dropped) in made.items()
        }
        write_json_atomic(out / "data.json", found)
    train = made["data"][0]
    if not train:
        raise DataError(f"{config.data}: no prompt is left: {', '.join(made['data'][1])}")
    if "held-out" in made:
        return Prompts(train, made["held-out"][0])
    return _split(train, config.eval_fraction, config.seed)


def _prompts(
    report: ReadReport, backbone: Backbone, template: str | None, longest: int
) -> tuple[list[Prompt], dict[str, list[str]]]:
    """(prompts, {rule: what was dropped, by its source})."""
    kept: list[Prompt] = []
    dropped: dict[str, list[str]] = {}
    questions: Sequence[Question] = report.records
    for question in questions:
        try:
            ids = prompt_ids(question.record, backbone.tokenizer, template, longest)
        except DataError as error:
            dropped.setdefault(UNFIT, []).append(str(error))
            continue
        if ids:
            kept.append(Prompt(tuple(ids), question.source, question))
        else:
            dropped.setdefault(NO_TOKENS, []).append(str(question.source))
    return kept, dropped


def _split(prompts: list[Prompt], fraction: float, seed: int) -> Prompts:
    """Equal prompts stay on the same side. Never holds out more than `fraction`."""
    groups: dict[bytes, list[Prompt]] = {}
    for prompt in prompts:
        key = hashlib.sha256(f"{seed} {prompt.ids}".encode()).digest()
        groups.setdefault(key, []).append(prompt)
    wanted = round(fraction * len(prompts))
    held: set[int] = set()
    for key in sorted(groups):
        if len(held) + len(groups[key]) <= wanted:
            held |= {id(prompt) for prompt in groups[key]}
    return Prompts([p for p in prompts if id(p) not in held], [p for p in prompts if id(p) in held])
