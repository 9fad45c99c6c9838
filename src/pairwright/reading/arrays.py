"""A .json file: one array of objects, on one line or many; or, as many tools write it, JSON lines under that name.

Read whole, since an array has no lines to stream by. Each element is cut out by position, so that its bytes are exact
and a bad one (invalid UTF-8, NaN, duplicate keys) is set aside alone. Where the array itself is broken nobody can say
where the next row starts: that is a DataError with line and column.
Leaves out: an object that holds the rows under some key.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pairwright.errors import DataError
from pairwright.reading.jsonl import open_lines, read_jsonl, skip_bom
from pairwright.reading.rows import Row, parse_row

# Only finds where an element ends; parse_row then judges the element.
_LENIENT = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)
_SPACE = re.compile(r"[ \t\r\n]*")


def read_json(path: Path, notes: list[str]) -> Iterator[Row]:
    """Rows of a .json file; `line` is the 1-based row of the array. Raises DataError where the array is broken."""
    with open_lines(path) as stream:
        said: list[str] = []
        start = skip_bom(stream, path, said)
        first = stream.read(1)
        while first and first in b" \t\r\n":
            first = stream.read(1)
        if not first:
            return
        if first != b"[":
            if first == b"{" and not _closed(stream.readline()) and not stream.readline().startswith(b"{"):
                raise DataError(
                    f"{path}: starts with an object that runs over several lines. "
                    "Expected is a list of rows, [{...}, {...}], or one object on each line."
                )
            notes.append(f"{path}: holds no array, read as JSON lines")
            yield from read_jsonl(path, notes)
            return
        stream.seek(start)
        # surrogateescape keeps invalid bytes as they are, so that encoding a slice gives back the file's own bytes
        text = stream.read().decode("utf-8", "surrogateescape")
    notes.extend(said)
    yield from _elements(path, text, start)


def _closed(rest: bytes) -> bool:
    try:
        json.loads(b"{" + rest)
    except ValueError:
        return False
    return True


def _elements(path: Path, text: str, offset: int) -> Iterator[Row]:
    line, done = 0, 0
    at = _skip(text, text.index("[") + 1)
    closed = text[at : at + 1] == "]"
    while not closed:
        line += 1
        try:
            _, end = _LENIENT.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _broken(path, text, line, getattr(error, "pos", at)) from None
        offset += len(text[done:at].encode("utf-8", "surrogateescape"))
        raw = text[at:end].encode("utf-8", "surrogateescape")
        yield parse_row(line, offset, raw)
        offset, done = offset + len(raw), end
        at = _skip(text, end)
        closed = text[at : at + 1] == "]"
        if not closed:
            if text[at : at + 1] != ",":
                raise _broken(path, text, line, at)
            at = _skip(text, at + 1)
    rest = _skip(text, at + 1)
    if rest < len(text):
        raise _broken(path, text, line, rest)


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _broken(path: Path, text: str, row: int, at: int) -> DataError:
    where = f"row {row} (line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)})"
    found = f"finds {json.dumps(text[at : at + 12])}" if at < len(text) else "ends"
    return DataError(
        f"{path}: the JSON array breaks at {where}: the reader {found} where it must not. "
        "Mend the file, or write one object per line as .jsonl: there bad rows are set aside and the others used."
    )
