"""The strict reader of JSON lines: every line of the file comes out once, good or bad, with its line number and bytes.

Streams: one line in memory at a time, at most MAX_ROW bytes of it. Lines end at a line feed and nowhere else (U+2028 in
a text does not end one); a carriage return before it belongs to the line end. A byte order mark at the start belongs to
no row.
Never stops at a bad line. It stops, with a DataError, at what is no text of lines at all: a damaged gzip stream,
UTF-16.
Leaves out: what the columns mean (formats.py).
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from pairwright.errors import DataError
from pairwright.reading.rows import KEPT_OF_LONG_ROW, MAX_ROW, Row, parse_row, too_long

BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 20

Stream: TypeAlias = "io.BufferedReader[Any] | gzip.GzipFile"


def read_jsonl(path: Path, notes: list[str], *, max_row: int = MAX_ROW) -> Iterator[Row]:
    """Rows of a .jsonl or .jsonl.gz file in order, blank lines too; adds what is to be said of the file to `notes`.

    Raises DataError when the file can't be opened, is UTF-16, or its data is damaged (naming the last good
    line).
    """
    with open_lines(path) as stream:
        line, crlf = 0, False
        try:
            offset = skip_bom(stream, path, notes)
            while raw := stream.readline(max_row + 2):  # 2 bytes of room for the line end
                line += 1
                body = strip_end(raw)
                crlf = crlf or raw.endswith(b"\r\n")
                if len(body) > max_row:
                    length = len(raw) + _skip_line(stream, raw)
                    yield too_long(line, offset, body, length, max_row)
                    offset += length
                    continue
                yield parse_row(line, offset, body)
                offset += len(raw)
        except (EOFError, zlib.error, OSError) as error:
            raise DataError(
                f"{path}: cannot be read past line {line} ({error}). If the data is damaged, copy the file again."
            ) from error
    if crlf:
        notes.append(f"{path}: lines end in CRLF (Windows), read as line ends")


def open_lines(path: Path) -> Stream:
    """The file's bytes, decompressed when its name ends in .gz."""
    try:
        file = io.BufferedReader(path.open("rb", buffering=0), CHUNK)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}).") from error
    is_gzip = file.peek(2)[:2] == b"\x1f\x8b"
    if is_gzip != (path.suffix.lower() == ".gz"):
        file.close()
        found = "is gzip data, but its name does not end" if is_gzip else "is no gzip data, but its name ends"
        raise DataError(f"{path}: this file {found} in .gz. Rename it.")
    if not is_gzip:
        return file
    file.close()
    return gzip.GzipFile(path, "rb")


def skip_bom(stream: Stream, path: Path, notes: list[str]) -> int:
    """Moves past a byte order mark and returns its length, 0 or 3. UTF-16 is refused: no byte of it would fit."""
    head = stream.peek(4)[:3]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: this file is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    if head != BOM:
        return 0
    notes.append(f"{path}: byte order mark at the start skipped")
    return len(stream.read(len(BOM)))


def strip_end(raw: bytes) -> bytes:
    """The line without its line end, LF or CRLF."""
    if raw.endswith(b"\r\n"):
        return raw[:-2]
    return raw[:-1] if raw.endswith(b"\n") else raw


def _skip_line(stream: Stream, read: bytes) -> int:
    """Reads the rest of a line that is too long, keeping none of it; returns how many bytes that was."""
    skipped = 0
    while not read.endswith(b"\n") and (read := stream.readline(KEPT_OF_LONG_ROW)):
        skipped += len(read)
    return skipped
