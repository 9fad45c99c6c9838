"""Prompts alone: what a model is asked when it learns from its own answers.

A file whose rows have a `prompt` (text or messages) gives these, and keeps every other column for a verifier to look
at: a solution, a test, the structure of the request. A file of any other format that can be read gives the prompts of
its preferences or demonstrations, without their answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairwright.errors import DataError
from pairwright.reading import quarantine as quarantine_file
from pairwright.reading.containers import locate
from pairwright.reading.messages import template_kwargs, text_or_turns, tools
from pairwright.reading.prompts import prompt
from pairwright.reading.quarantine import Quarantined
from pairwright.reading.reader import ReadReport, read
from pairwright.reading.rows import BLANK, Row, RowError
from pairwright.records import Demonstration, Source

FORMAT = "prompts"


@dataclass(frozen=True, slots=True)
class Question:
    record: Demonstration
    """The prompt; its completion is empty."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The row's other columns, as they stand."""

    @property
    def source(self) -> Source:
        return self.record.source


def read_questions(
    data: str, *, format: str | None = None, split: str = "train", quarantine: Path | None = None
) -> ReadReport:
    """Reads a file, a folder of files or a hub data set as Questions. `format` forces one; else rows with a `prompt`
    are prompts, others are what reader.read recognises. Raises as that does."""
    if format not in (None, FORMAT) or (format is None and not _has_prompts(data, split, quarantine)):
        report = read(data, Demonstration, format=format, split=split, quarantine=quarantine)
        report.notes.append("only the prompts are used")
        report.records = [Question(_alone(record)) for record in report.records]
        return report
    if quarantine is not None:
        quarantine_file.check_path(quarantine)
    report = ReadReport(format=FORMAT)
    for container in locate(data, split, quarantine, report.notes):
        report.files.append(container.name)
        for row in container.rows(report.notes):
            report.read += 1
            _add(row, Source(container.name, row.line), report)
    report.check()
    if quarantine is not None:
        report.quarantine = quarantine_file.write(quarantine, report.quarantined)
    if not report.records:
        first = "".join(f"\n  {row.source}: {row.reason}" for row in report.quarantined[:3])
        raise DataError(f"{data}: none of the {report.read:,} rows can be used.{first}")
    return report


def _has_prompts(data: str, split: str, quarantine: Path | None) -> bool:
    """Whether the first row that can be read has a prompt."""
    for container in locate(data, split, quarantine, []):
        for row in container.rows([]):
            if row.value is not None:
                return row.value.get("prompt") is not None
    return False


def _add(row: Row, source: Source, report: ReadReport) -> None:
    if row.reason == BLANK:
        report.count_dropped(BLANK)
        return
    try:
        if row.value is None:
            raise RowError(row.reason)
        report.records.append(_question(row.value, source))
    except RowError as error:
        report.quarantined.append(Quarantined(source, row.offset, str(error), row.raw))


def _question(row: Mapping[str, Any], source: Source) -> Question:
    given = text_or_turns(row, "prompt")
    asked = given if isinstance(given, str) else prompt(given, "prompt")
    record = Demonstration(
        asked,
        "" if isinstance(asked, str) else (),
        source,
        tools=tools(row.get("tools")),
        template_kwargs=template_kwargs(row),
    )
    used = ("prompt", "tools", "chat_template_kwargs")
    return Question(record, {name: value for name, value in row.items() if name not in used})


def _alone(record: Demonstration) -> Demonstration:
    empty: Any = "" if isinstance(record.prompt, str) else ()
    return Demonstration(
        record.prompt, empty, record.source, tools=record.tools, template_kwargs=record.template_kwargs
    )
