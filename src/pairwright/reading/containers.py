"""Where rows stand: .jsonl, .jsonl.gz, .json, .csv, .parquet, a folder of them, or a data set of the hub.

`locate` turns what the user wrote into a list of containers; each yields Rows (rows.py), good and bad, in order. JSON
lines and CSV stream. A .json array is read whole. Parquet and hub rows have no bytes of their own: their `raw` is the
row written as JSON, and their `offset` is None.
Leaves out: what the columns mean (formats.py), subfolders, other types of files (named in the notes).
"""

import difflib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pairwright.errors import DataError
from pairwright.reading.arrays import read_json
from pairwright.reading.jsonl import read_jsonl
from pairwright.reading.rows import Row
from pairwright.reading.tables import read_csv

PARQUET_BATCH = 1000
"""Rows turned into Python objects at a time."""


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    """Path as the user gave it, or the hub id."""
    rows: Callable[[list[str]], Iterator[Row]]
    """Yields the rows; what is to be said of the file is added to the list."""


def locate(data: str, split: str, skip: Path | None, notes: list[str]) -> list[Container]:
    """The containers behind a path or a hub id, sorted by name. DataError says what was tried."""
    path = Path(data)
    if path.is_dir():
        return _folder(path, skip, notes)
    if path.is_file():
        read = _reader(path)
        if read is None:
            raise DataError(f"{data}: unknown type of file. Known: {', '.join(READERS)}, or a folder of them.")
        return [Container(data, partial(read, path))]
    if path.exists():
        raise DataError(f"{data}: neither a file nor a folder.")
    if data.count("/") == 1 and all(data.split("/")) and not data.startswith((".", "~")) and _reader(path) is None:
        return [Container(data, lambda said: _read_hub(data, split))]
    hub = "" if "/" in data or path.suffix else " A data set of the hub is named OWNER/NAME."
    raise DataError(f"{data}: no such file or folder.{_near(path)}{hub}")


def _folder(folder: Path, skip: Path | None, notes: list[str]) -> list[Container]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be opened ({error.strerror}).") from error
    if {"state.json", "dataset_info.json"} <= {entry.name for entry in entries}:
        raise DataError(
            f"{folder}: a data set saved by save_to_disk. Write it with to_parquet or to_json and give that file."
        )
    found, unread = [], []
    for entry in entries:
        read = _reader(entry) if entry.is_file() else None
        if skip is not None and entry.resolve() == skip.resolve():
            notes.append(f"{entry}: the quarantine file, not read as data")
        elif read is None:
            unread.append(f"{entry.name}/" if entry.is_dir() else entry.name)
        else:
            found.append(Container(str(entry), partial(read, entry)))
    if unread:
        more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
        notes.append(f"{folder}: not read, type unknown: {', '.join(unread[:10])}{more}")
    if not found:
        raise DataError(f"{folder}: no file of a known type ({', '.join(READERS)}) in this folder.")
    return found


def _near(path: Path) -> str:
    """What stands in the folder under a name like the one asked for."""
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder {folder} either."
    near = difflib.get_close_matches(path.name, [entry.name for entry in folder.iterdir()], n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(str(folder / name) for name in near)}?" if near else ""


def _reader(path: Path) -> Callable[[Path, list[str]], Iterator[Row]] | None:
    return next((read for suffix, read in READERS.items() if path.name.lower().endswith(suffix)), None)


def _read_parquet(path: Path, notes: list[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if len(set(names)) < len(names):
                raise DataError(f"{path}: two columns have the same name among {', '.join(names)}.")
            line = 0
            for batch in file.iter_batches(batch_size=PARQUET_BATCH):
                for value in batch.to_pylist():
                    line += 1
                    yield arrow_row(line, value)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]}).") from error


def _read_hub(name: str, split: str) -> Iterator[Row]:
    try:
        import datasets

        rows = datasets.load_dataset(name, split=split)
    except Exception as error:  # the hub's client raises dozens of types; all mean that there is no data
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: no such file or folder here, and as a data set of the hub (split '{split}') it cannot be loaded: "
            f"{reason.rstrip('.')}. Check the name, the split and the connection, or download it and give the file."
            f"{_near(Path(name))}"
        ) from error
    for line, value in enumerate(rows, start=1):
        yield arrow_row(line, value)


def arrow_row(line: int, value: dict[str, Any]) -> Row:
    """A row of an Arrow table. Arrow fills the keys that a nested object lacks with null: these are taken out again."""
    raw = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
    return Row(line, None, raw, {name: _without_nulls(item) for name, item in value.items()})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


READERS: dict[str, Callable[[Path, list[str]], Iterator[Row]]] = {
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": _read_parquet,
}
