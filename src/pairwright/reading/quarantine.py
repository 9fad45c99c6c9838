"""The quarantine file: each row that could not be used, byte for byte, with where it stood and why it was set aside.

JSON lines with the keys file, line, offset (null where there is none), reason, and the row's bytes: `raw` as text where
they are valid UTF-8 (the text encodes back to exactly these bytes), `raw_base64` where they are not. Written only when
there is something to write; one that an earlier reading left is replaced or removed, any other file is never touched.
"""

import base64
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pairwright.errors import ConfigError, StorageError
from pairwright.records import Source

KEYS = ("file", "line", "offset", "reason")


@dataclass(frozen=True, slots=True)
class Quarantined:
    source: Source
    offset: int | None
    """Bytes before the row in the (decompressed) file; None for .parquet and hub rows."""
    reason: str
    raw: bytes
    """The row without its line end; for .parquet and hub rows, the row written as JSON."""


def check_path(path: Path) -> None:
    """ConfigError if there is a file at `path` that is not a quarantine file: it might be the user's data."""
    if path.exists() and not _is_quarantine(path):
        raise ConfigError(f"{path}: exists and is no quarantine file; it is not overwritten. Give another path.")


def write(path: Path, rows: Sequence[Quarantined]) -> Path | None:
    """Writes the rows, or removes an older quarantine file when there are none. Returns the path if it was written."""
    check_path(path)
    if not rows:
        if path.exists():
            path.unlink()
        return None
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_line(row) for row in rows)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink()
        raise StorageError(f"{path}: the quarantine file cannot be written ({error.strerror}).") from error
    return path


def load(path: Path) -> list[Quarantined]:
    """The rows of a quarantine file, with the bytes as they were."""
    with path.open(encoding="utf-8", newline="\n") as file:
        entries = [json.loads(line) for line in file]
    return [
        Quarantined(Source(entry["file"], entry["line"]), entry["offset"], entry["reason"], _bytes(entry))
        for entry in entries
    ]


def _line(row: Quarantined) -> str:
    entry = dict(zip(KEYS, (row.source.file, row.source.line, row.offset, row.reason)))
    try:
        entry["raw"] = row.raw.decode("utf-8")
    except UnicodeDecodeError:
        entry["raw_base64"] = base64.b64encode(row.raw).decode("ascii")
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


def _bytes(entry: dict) -> bytes:
    return entry["raw"].encode("utf-8") if "raw" in entry else base64.b64decode(entry["raw_base64"])


def _is_quarantine(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            entry = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(entry, dict) and tuple(entry)[: len(KEYS)] == KEYS and ("raw" in entry or "raw_base64" in entry)
