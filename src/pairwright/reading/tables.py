"""A .csv file: commas, a header line, double quotes, UTF-8. A row may run over several physical lines.

Streams. `line`, `offset` and `raw` are those of the physical lines that a row stands on. Cells are text; a cell that
holds messages, tools or template arguments as JSON is parsed.
Leaves out: other separators (a DataError says so).
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pairwright.errors import DataError
from pairwright.reading.jsonl import Stream, open_lines, skip_bom, strip_end
from pairwright.reading.rows import BLANK, MAX_ROW, Row, RowError, decode, parse_value

OBJECTS = (
    *("tools", "chat_template_kwargs", "history", "responses", "votes", "steps", "preference", "passages"),
    *("completions", "scores", "ranking", "contents", "system_instruction", "systemInstruction"),
)
"""Columns whose cells are JSON in any case."""
NUMBERS = ("weight", "margin", "chosen_probability", "score_chosen", "score_rejected")
OPTIONAL = (*OBJECTS, *NUMBERS, "system")
"""Columns in which an empty cell means that there is no value."""


def read_csv(path: Path, notes: list[str]) -> Iterator[Row]:
    """Rows of a .csv file after its header, blank lines too. Raises DataError for a header that can't be used."""
    limit = csv.field_size_limit(MAX_ROW)  # a setting of the process; 131,072 characters are too few for conversations
    try:
        with open_lines(path) as stream:
            offset = skip_bom(stream, path, notes)
            taken: list[bytes] = []
            fields = csv.reader(_text(stream, taken), strict=True)
            header, start = None, 1
            while True:
                taken.clear()
                try:
                    cells, problem = next(fields), ""
                except StopIteration:
                    return
                except csv.Error as error:
                    cells, problem = [], f"not CSV: {error}"
                raw = b"".join(taken)
                if header is None:
                    header = _header(path, cells, problem)
                else:
                    yield _row(start, offset, strip_end(raw), header, cells, problem)
                start, offset = start + len(taken), offset + len(raw)
    finally:
        csv.field_size_limit(limit)


def _text(stream: Stream, taken: list[bytes]) -> Iterator[str]:
    """Lines as text for the csv module, which takes as many as a row needs; `taken` holds their bytes."""
    for raw in stream:
        taken.append(raw)
        yield raw.decode("utf-8", "surrogateescape")


def _header(path: Path, cells: list[str], problem: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    if problem or not any(names):
        raise DataError(f"{path}: line 1 is no header with the names of the columns ({problem or 'it is blank'}).")
    if len(names) == 1 and (mark := next((mark for mark in ";\t|" if mark in names[0]), "")):
        raise DataError(f"{path}: the header is separated by {mark!r}. Write the file with commas.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path}: two columns are named {twice!r}.")
    return names


def _row(line: int, offset: int, raw: bytes, header: list[str], cells: list[str], problem: str) -> Row:
    if not cells and not problem:
        return Row(line, offset, raw, None, BLANK)
    try:
        decode(raw)
        if problem:
            raise RowError(problem)
        if len(cells) != len(header):
            raise RowError(f"{len(cells)} cells, the header has {len(header)}; is a comma or a quote missing?")
        return Row(line, offset, raw, {name: _cell(name, cell) for name, cell in zip(header, cells)})
    except RowError as error:
        return Row(line, offset, raw, None, str(error))


def _cell(name: str, cell: str) -> Any:
    if name in OPTIONAL and not cell.strip():
        return None
    if name in NUMBERS:
        try:
            return float(cell)
        except ValueError:
            return cell
    if cell.lstrip()[:1] not in ("[", "{"):
        return cell
    try:
        value = parse_value(cell)
    except RowError:
        return cell  # text that happens to start with a bracket; where messages are needed, formats.py says so
    return value if name in OBJECTS or _holds_messages(value) else cell


def _holds_messages(value: Any) -> bool:
    if isinstance(value, dict):
        return "messages" in value or {"role", "content"} <= value.keys() or {"from", "value"} <= value.keys()
    return bool(value) and all(isinstance(item, dict) and ("role" in item or "from" in item) for item in value)
