"""Data to records: finds the rows, tells their format, makes the records, and accounts for every row.

The conservation law: rows read = records kept + rows quarantined (with a reason each) + rows dropped by a named rule.
The rules are the blank line, ties where a preference is needed, and what a method needs and a row lacks (`drop`).
Records stay in the order of the files (by name) and of the rows in them.
Leaves out: tokens, lengths, duplicates, quality (tokens/, audit/).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from pairwright.errors import DataError
from pairwright.reading import quarantine as quarantine_file
from pairwright.reading.containers import Container, locate
from pairwright.reading.quarantine import Quarantined
from pairwright.reading.recognition import SAMPLE, Columns, Format, Kind, named, recognise
from pairwright.reading.rows import BLANK, TIE, Dropped, Row, RowError
from pairwright.records import Demonstration, Preference, Ranking, Rating, Record, Source, Steps, Text, answers


@dataclass
class ReadReport:
    """What reading gave, and what became of every row."""

    records: list = field(default_factory=list)
    format: str = ""
    """Name of the format; several, separated by commas, where files of a folder differ."""
    files: list[str] = field(default_factory=list)
    """Files read, in order, or the hub id."""
    read: int = 0
    """Rows met, blank lines among them."""
    quarantined: list[Quarantined] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """Rule -> rows dropped by it."""
    notes: list[str] = field(default_factory=list)
    """What else a reader of the log should know, one line each."""
    quarantine: Path | None = None
    """The quarantine file, if one was written."""
    streamed: int = 0
    """Records that were handed on and are not in `records`."""

    @property
    def kept(self) -> int:
        return len(self.records) + self.streamed

    def check(self) -> None:
        """Asserts the conservation law."""
        kept, aside, dropped = self.kept, len(self.quarantined), sum(self.dropped.values())
        assert self.read == kept + aside + dropped, (
            f"{self.read} read, {kept} kept, {aside} quarantined, {dropped} dropped"
        )

    def count_dropped(self, rule: str, rows: int = 1) -> None:
        self.dropped[rule] = self.dropped.get(rule, 0) + rows

    def drop(self, rule: str, unfit: Callable[[Any], bool]) -> None:
        """Takes the records that are `unfit` out, and counts them under `rule`."""
        kept = [record for record in self.records if not unfit(record)]
        if len(kept) < len(self.records):
            self.count_dropped(rule, len(self.records) - len(kept))
        self.records = kept
        self.check()

    def summary(self) -> dict[str, Any]:
        """The counts, the ten commonest reasons and the notes, ready for JSON."""
        reasons = Counter(row.reason for row in self.quarantined)
        return {
            "files": self.files,
            "format": self.format,
            "read": self.read,
            "kept": self.kept,
            "quarantined": len(self.quarantined),
            "dropped": self.dropped,
            "reasons": dict(reasons.most_common(10)),
            "quarantine_file": str(self.quarantine) if self.quarantine else None,
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """The same for people: the law with its numbers, the first three rows set aside, the notes."""
        dropped = sum(self.dropped.values())
        rules = f" ({', '.join(f'{count:,} {rule}' for rule, count in self.dropped.items())})" if dropped else ""
        law = f"{self.read:,} rows read = {self.kept:,} kept + {len(self.quarantined):,} quarantined"
        said = [f"{law} + {dropped:,} dropped{rules}"]
        said += [f"  {row.source}: {row.reason}" for row in self.quarantined[:3]]
        if self.quarantined:
            where = (
                f"all of them, with reasons, in {self.quarantine}"
                if self.quarantine
                else "no quarantine file was asked for"
            )
            said.append(f"  {where}")
        return said + self.notes


def read(
    data: str,
    kind: Kind,
    *,
    format: str | None = None,
    split: str = "train",
    quarantine: Path | None = None,
) -> ReadReport:
    """Reads a file, a folder of files or a hub data set (its `split`) as records of `kind`.

    Read as Ranking, pairs stay pairs. Read as Demonstration, both give the best answer; read as Rating, pairs stay
    preferences, each of which makes two labelled answers (tokens/labelled.py). `format` forces a format by name; else
    each file's is told from its columns. Rows that can't be used go to `quarantine`, if given, and into the report in
    any case.

    Raises FormatError when columns fit no format or several, DataError when there is nothing to read or no row is
    usable, ConfigError when `quarantine` is a file that holds something else.
    """
    report, records = stream(data, kind, format=format, split=split, quarantine=quarantine)
    report.records, report.streamed = list(records), 0
    report.check()
    return report


def stream(
    data: str,
    kind: Kind,
    *,
    format: str | None = None,
    split: str = "train",
    quarantine: Path | None = None,
) -> tuple[ReadReport, Iterator[Any]]:
    """As `read`, with the records one at a time and none kept: for files larger than the memory.

    The report fills as the records are taken, and is whole after the last one; the quarantine file is written then.
    Rows that are set aside are kept in the report. Raises what `read` raises, partly when the first record is taken.
    """
    forced = None if format is None else named(format, kind)
    if quarantine is not None:
        quarantine_file.check_path(quarantine)
    report = ReadReport()
    return report, _stream(data, kind, forced, split, quarantine, report)


def _stream(
    data: str, kind: Kind, forced: Format | None, split: str, quarantine: Path | None, report: ReadReport
) -> Iterator[Record]:
    unused: Counter[str] = Counter()
    names: dict[str, None] = {}
    for container in locate(data, split, quarantine, report.notes):
        for record in _read_one(container, kind, forced, report, unused, names):
            report.streamed += 1
            yield record
    report.format = ", ".join(names)
    if unused:
        report.notes.append(f"columns not used: {', '.join(sorted(unused))}")
    report.check()
    if quarantine is not None:
        report.quarantine = quarantine_file.write(quarantine, report.quarantined)
    if not report.kept:
        raise DataError(_nothing(data, report))


def rows_of(data: str, split: str = "train") -> Iterator[tuple[Source, Columns]]:
    """Every row of `data` that could be parsed, as it is, with the source that its record has."""
    for container in locate(data, split, None, []):
        for row in container.rows([]):
            if row.value is not None:
                yield Source(container.name, row.line), row.value


def _read_one(
    container: Container,
    kind: Kind,
    forced: Format | None,
    report: ReadReport,
    unused: Counter[str],
    names: dict[str, None],
) -> Iterator[Record]:
    """The records of one container; what else became of its rows goes into the report, its format into `names`."""
    rows = container.rows(report.notes)
    head: list[Row] = []
    sample: list[Columns] = []
    for row in rows:
        head.append(row)
        if row.value is not None:
            sample.append(row.value)
        if len(sample) == SAMPLE:
            break
    report.files.append(container.name)
    found = forced or (recognise(container.name, sample, kind) if sample else None)
    usual = _usual(found, sample) if found else None
    for row in chain(head, rows):
        report.read += 1
        source = Source(container.name, row.line)
        if row.reason == BLANK:
            report.count_dropped(BLANK)
        elif row.value is None or found is None:
            report.quarantined.append(Quarantined(source, row.offset, row.reason, row.raw))
        else:
            try:
                record = _record(row.value, source, kind, found, usual)
            except Dropped as rule:
                report.count_dropped(str(rule))
            except RowError as error:
                report.quarantined.append(Quarantined(source, row.offset, str(error), row.raw))
            else:
                unused.update(found.unused(row.value, kind))
                yield record
    if found:
        names[found.name] = None
        report.notes.append(_said(container.name, found, usual, kind, forced is not None))
    elif not head:
        report.notes.append(f"{container.name}: empty")


def _record(row: Columns, source: Source, kind: Kind, found: Format, usual: type | None) -> Record:
    record = found.parse(row, source)
    if usual is not None and type(_sample(record)) is not usual:
        here, there = (_KINDS[type(_sample(record))], _KINDS[usual])
        raise RowError(f"the type changes here: this row holds {here}, the file's first rows hold {there}")
    if isinstance(record, Ranking) and kind not in (Ranking, Demonstration):
        raise RowError(f"{len(record.answers)} answers make a ranking; pairs are wanted here")
    if isinstance(record, Preference | Ranking) and kind in (Demonstration, Rating) and record.tied:
        raise Dropped(TIE)
    if isinstance(record, Ranking) and kind is Demonstration and len(record.best) > 1:
        raise Dropped(TIE)
    unlikely = isinstance(record, Preference) and record.label is not None and record.label < 0.5
    if kind in (Demonstration, Rating) and isinstance(record, Preference) and unlikely:
        record = replace(record, chosen=record.rejected, rejected=record.chosen)  # the better one, more likely than not
    if kind is Demonstration and isinstance(record, Preference | Ranking):
        best = record.chosen if isinstance(record, Preference) else record.answers[record.best[0]]
        return Demonstration(record.prompt, best, record.source, record.weight, record.tools, record.template_kwargs)
    return record


def _sample(record: Record) -> Text:
    """A text of the record by which its kind of text is told."""
    return record.prompt if isinstance(record, Steps) else answers(record)[0]


_KINDS: dict[type, str] = {str: "text", tuple: "messages"}


def _usual(found: Format, sample: Sequence[Columns]) -> type | None:
    """What most of the sampled rows hold, str or tuple of messages; None where none of them can be used."""
    kinds: Counter[type] = Counter()
    for row in sample:
        try:
            record = found.parse(row, Source("", 0))
        except RowError:
            continue  # counted with its reason when its turn comes
        kinds[type(_sample(record))] += 1
    return kinds.most_common(1)[0][0] if kinds else None


_AS: dict[tuple[type, type], str] = {
    (Preference, Demonstration): "the chosen side is learned from, the rejected one is not used",
    (Ranking, Demonstration): "the best answer is learned from, the others are not used",
    (Preference, Rating): "each pair makes two labelled answers, the chosen one good and the rejected one bad",
}


def _said(name: str, found: Format, usual: type | None, kind: Kind, forced: bool) -> str:
    how = "as asked" if forced else "told from the columns"
    what = f" of {_KINDS[usual]}" if usual and found.either else ""
    side = f"; {_AS[found.kind, kind]}" if (found.kind, kind) in _AS else ""
    return f"{name}: format {found.name} ({found.title}{what}), {how}{side}"


_EMPTY = {True: "only blank lines", False: "no rows"}


def _nothing(data: str, report: ReadReport) -> str:
    if not report.quarantined:
        rules = ", ".join(f"{count:,} {rule}" for rule, count in report.dropped.items())
        what = f"no row can be used ({rules})" if set(report.dropped) - {BLANK} else _EMPTY[report.read > 0]
        return f"{data}: {what} in {'this file' if len(report.files) == 1 else 'these files'}."
    first = "".join(f"\n  {row.source}: {row.reason}" for row in report.quarantined[:3])
    where = f"\n  All rows, with reasons: {report.quarantine}" if report.quarantine else ""
    return f"{data}: none of the {report.read:,} rows can be used. The first reasons:{first}{where}"
