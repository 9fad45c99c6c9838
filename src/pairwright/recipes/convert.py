"""`pairwright convert IN OUT --to FORMAT`: one format to another, row by row, with every row accounted for.

Streams: a thousand rows in memory. The kind of file is OUT's ending: .jsonl, .jsonl.gz, .csv or .parquet. A row that
the
format cannot hold goes to OUT.dropped.jsonl beside those that could not be read.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pairwright.errors import ConfigError, DataError, FormatError
from pairwright.reading import Quarantined, quarantine, stream
from pairwright.reading.rows import RowError
from pairwright.reading.writing import SHORT, WRITERS, Writer
from pairwright.recipes.display import Display

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
BATCH = 1000
"""Rows written at a time; the columns of .csv and .parquet are those of the first ones."""


@dataclass
class ConvertConfig:
    """One conversion."""

    data: str
    """A file, a folder of files, or the hub id of a data set."""
    out: str
    """The file to write: .jsonl, .jsonl.gz, .csv or .parquet."""
    to: str
    """Name of the format to write; a wrong one lists them all."""
    format: str | None = None
    """Format of the data, where it should not be recognised from the columns."""
    split: str = "train"
    """Split of a hub data set."""


@dataclass(frozen=True, slots=True)
class Converted:
    path: Path
    written: int
    """Rows in the new file: a ranking makes several pairs, a pair two labelled answers."""
    converted: int
    """Rows of the data that are in it."""
    refused: int
    """Rows that the format cannot hold."""
    read: int
    lines: list[str]


def convert(config: ConvertConfig) -> Converted:
    """Writes the data in another format. Raises ConfigError for an unknown format or an OUT that exists, DataError or
    FormatError for data that cannot be read or written so."""
    writer, out = _writer(config.to), Path(config.out)
    if not out.name.endswith(ENDINGS):
        raise ConfigError(f"{out}: the name must end in {', '.join(ENDINGS)}.")
    if out.exists():
        raise ConfigError(f"{out}: exists, and is not overwritten. Give another name.")
    display = Display()
    report, records = stream(config.data, writer.kind, format=config.format, split=config.split)
    refused: list[Quarantined] = []
    converted = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal converted
        with display.progress("converting", 0) as advance:
            for record in records:
                try:
                    made = list(writer.rows(record))
                except RowError as error:
                    reason = f"cannot be written as {writer.name}: {error}"
                    refused.append(Quarantined(record.source, None, reason, b""))
                    continue
                converted += bool(made)
                if not made:
                    refused.append(Quarantined(record.source, None, "all of its comparisons are ties", b""))
                advance(converted, {})
                yield from made

    part = out.with_name(f".part-{out.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = _WRITE[_ending(out)](part, rows())
        if not written:
            reason = refused[0].reason if refused else "there are no rows"
            raise DataError(f"{config.data}: no row can be written as {writer.name}: {reason}.")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    assert report.kept == converted + len(refused), f"{report.kept} kept, {converted} converted, {len(refused)} refused"
    aside = quarantine.write(_beside(out), [*report.quarantined, *refused])
    lines = [*report.lines(), f"{written:,} rows written from {converted:,}; {len(refused):,} cannot be written so"]
    lines += [f"  {row.source}: {row.reason}" for row in refused[:3]] + ([f"  set aside: {aside}"] if aside else [])
    return Converted(out, written, converted, len(refused), report.read, lines)


def _writer(name: str) -> Writer:
    found = WRITERS.get(SHORT.get(name, name))
    if found is None:
        short = ", ".join(f"{short} for {long}" for short, long in SHORT.items())
        raise ConfigError(f"--to {name}: unknown. Known: {', '.join(WRITERS)}; {short}.")
    return found


def _ending(path: Path) -> str:
    return next(ending for ending in ENDINGS if path.name.endswith(ending))


def _beside(out: Path) -> Path:
    return out.with_name(out.name.removesuffix(_ending(out)) + ".dropped.jsonl")


def _json_lines(path: Path, rows: Iterator[dict[str, Any]], open_file: Callable[[Path], Any]) -> int:
    written = 0
    with open_file(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")
            written += 1
    return written


def _csv(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    head = list(islice(rows, BATCH))
    columns = list(dict.fromkeys(name for row in head for name in row))
    written = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for batch in (head, rows):
            for row in batch:
                _known(row, columns)
                writer.writerow({name: _cell(value) for name, value in row.items()})
                written += 1
    return written


def _cell(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _known(row: dict[str, Any], columns: list[str]) -> None:
    if new := row.keys() - set(columns):
        raise DataError(
            f"column {', '.join(sorted(new))} first comes after row {BATCH:,}; write .jsonl, which needs no header."
        )


def _parquet(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    head = list(islice(rows, BATCH))
    if not head:
        return 0
    columns = list(dict.fromkeys(name for row in head for name in row))
    written = 0
    with ExitStack() as stack:
        try:
            schema = pa.Table.from_pylist([dict.fromkeys(columns) | row for row in head]).schema
            writer = stack.enter_context(pq.ParquetWriter(path, schema))
            batch = head
            while batch:
                for row in batch:
                    _known(row, columns)
                writer.write_table(pa.Table.from_pylist(batch, schema))
                written += len(batch)
                batch = list(islice(rows, BATCH))
        except pa.ArrowException as error:
            raise FormatError(
                f"Parquet columns have one type each, and these rows do not: {error}. Write .jsonl."
            ) from error
    return written


_WRITE: dict[str, Callable[[Path, Iterator[dict[str, Any]]], int]] = {
    ".jsonl": lambda path, rows: _json_lines(path, rows, lambda p: p.open("wb")),
    ".jsonl.gz": lambda path, rows: _json_lines(path, rows, lambda p: gzip.GzipFile(p, "wb", mtime=0)),
    ".csv": _csv,
    ".parquet": _parquet,
}
