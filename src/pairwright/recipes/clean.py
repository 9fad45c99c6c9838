"""The cleaned file: every row of the data that no filter drops, as it stood, and an account of all the others.

Rows of JSON keep their bytes; rows of CSV and of a .json array become one JSON object a line. Beside OUT.jsonl stands
OUT.dropped.jsonl, in the form of a quarantine file: what was dropped, from where, and by which filters.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pairwright.errors import StorageError
from pairwright.reading import Quarantined, quarantine
from pairwright.reading.containers import locate
from pairwright.reading.reader import ReadReport
from pairwright.reading.rows import BLANK, Row
from pairwright.records import Source


@dataclass(frozen=True, slots=True)
class Cleaned:
    path: Path
    dropped_path: Path | None
    """None where nothing was dropped."""
    read: int
    kept: int
    dropped: Mapping[str, int]
    """Filter, or rule of the reader -> rows that it dropped first."""

    def line(self) -> str:
        """The conservation law with its numbers."""
        rules = ", ".join(f"{count:,} {name}" for name, count in self.dropped.items())
        total = sum(self.dropped.values())
        return f"{self.read:,} rows read = {self.kept:,} kept + {total:,} dropped" + (f" ({rules})" if rules else "")


def clean(data: str, out: Path, dropped: Mapping[str, Sequence[Source]], *, split: str, report: ReadReport) -> Cleaned:
    """Writes `out` and its account. `dropped`: filter -> rows. `report`: what reading the same data gave.

    Raises StorageError where a file cannot be written; neither file is then left.
    """
    filters: dict[tuple[str, int], list[str]] = {}
    for name, sources in dropped.items():
        for source in sources:
            filters.setdefault((source.file, source.line), []).append(name)
    unusable = {(row.source.file, row.source.line): row.reason for row in report.quarantined}
    counts: dict[str, int] = {}
    aside: list[Quarantined] = []
    read = kept = 0
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for name, row in _rows(data, split):
                read += 1
                key = (name, row.line)
                reasons = filters.get(key) or ([BLANK] if row.reason == BLANK else [])
                reason = ", ".join(reasons) or unusable.get(key) or row.reason
                if reason:
                    rule = reasons[0] if reasons else "unusable"
                    counts[rule] = counts.get(rule, 0) + 1
                    if rule != BLANK:
                        aside.append(Quarantined(Source(*key), row.offset, reason, row.raw))
                else:
                    kept += 1
                    file.write(_line(row) + b"\n")
        account = quarantine.write(out.with_suffix(".dropped.jsonl"), aside)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"{out}: cannot be written ({error.strerror}).") from error
    assert read == kept + sum(counts.values()), f"{read} read, {kept} kept, {counts} dropped"
    return Cleaned(out, account, read, kept, counts)


def _rows(data: str, split: str) -> Iterator[tuple[str, Row]]:
    for container in locate(data, split, None, []):
        for row in container.rows([]):
            yield container.name, row


def _line(row: Row) -> bytes:
    """The row's own bytes where they are one line of JSON."""
    if row.raw[:1] == b"{" and b"\n" not in row.raw and b"\r" not in row.raw:
        return row.raw
    return json.dumps(row.value, ensure_ascii=False).encode("utf-8")
