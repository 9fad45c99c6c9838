"""One row of a file, before anybody knows what it means: strict JSON in, or the reason why not.

Stricter than Python's json module: bytes must be UTF-8; NaN, infinities (also a number too large for a float),
duplicate keys, lone surrogates and a second object on the line are refused, and each refusal says what was found and
where.
Leaves out: which columns there are and what they hold (formats.py).
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

BLANK = "blank line"
"""Rule by which a row is dropped instead of quarantined: nothing stands on the line."""

TIE = "tie"
"""Rule by which a row is dropped: neither answer is preferred."""

MAX_ROW = 64 << 20
"""Longest row in bytes. A longer one is quarantined, so that a hostile file can't fill the memory."""

KEPT_OF_LONG_ROW = 1 << 20
"""Bytes of a row longer than MAX_ROW that the quarantine keeps."""


class RowError(Exception):
    """This row cannot be used; the text is the reason. Raised and caught inside reading/, one row at a time."""


class Dropped(RowError):
    """Nothing is wrong with this row, and a rule leaves it out; the text is the rule's name."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a container yields for each row, good or bad."""

    line: int
    """1-based physical line where the row starts; 1-based row in .json arrays, .parquet and hub data sets."""
    offset: int | None
    """Bytes before the row in the (decompressed) file; None where the container has no lines of bytes."""
    raw: bytes
    """The row byte for byte, without its line end."""
    value: dict[str, Any] | None = None
    """Columns, or None when the row could not be parsed."""
    reason: str = ""
    """Why there is no value."""


def parse_row(line: int, offset: int | None, raw: bytes) -> Row:
    """One line of JSON as a Row; never raises for what the line holds."""
    if not raw.strip(b" \t\r\n"):
        return Row(line, offset, raw, None, BLANK)
    try:
        return Row(line, offset, raw, parse_object(decode(raw)))
    except RowError as error:
        return Row(line, offset, raw, None, str(error))


def too_long(line: int, offset: int, start: bytes, length: int, limit: int) -> Row:
    """The Row for one that is longer than `limit` bytes."""
    kept = start[:KEPT_OF_LONG_ROW]
    reason = (
        f"the line is {length:,} bytes long, over the limit of {limit:,}; only its first {len(kept):,} are kept here"
    )
    return Row(line, offset, kept, None, reason)


def decode(raw: bytes) -> str:
    """Bytes as UTF-8 text. RowError names the first bad byte, counted from 1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        raise RowError(f"invalid UTF-8: byte 0x{raw[at]:02x} at byte {at + 1} of the row ({error.reason})") from None


def parse_object(text: str) -> dict[str, Any]:
    """Text as one JSON object. RowError says what else it is, or where it goes wrong."""
    value = parse_value(text)
    if not isinstance(value, dict):
        hint = "; a file that is one JSON array is named .json" if isinstance(value, list) else ""
        raise RowError(f"the row is {describe(value)}, an object with columns is expected{hint}")
    return value


def parse_value(text: str) -> Any:
    """Text as one JSON value. RowError gives the column, counted from 1, where it goes wrong."""
    try:
        value = _STRICT.decode(text)
        lone = next(_lone_surrogates(value, "the row"), None) if _SURROGATE_ESCAPE.search(text) else None
    except json.JSONDecodeError as error:
        raise RowError(_not_json(text, error)) from None
    except RecursionError:
        raise RowError("lists or objects nested too deeply for a row of data") from None
    except ValueError:  # Python refuses to convert integers of thousands of digits
        raise RowError("an integer with too many digits") from None
    if lone:
        raise RowError(lone)
    return value


def describe(value: Any) -> str:
    """A value of JSON in plain words, shortened: `a number (12)`, `null`, `a list of 3`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a truth value)"
    if isinstance(value, int | float):
        return f"a number ({shorten(str(value))})"
    if isinstance(value, str):
        return f"text ({shorten(json.dumps(value, ensure_ascii=False))})"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {', '.join(shorten(str(key), 20) for key in list(value)[:4]) or 'no keys'}"
    return f"{type(value).__name__} ({shorten(str(value))})"


def shorten(text: str, width: int = 40) -> str:
    """`text`, cut in the middle to `width` characters."""
    return text if len(text) <= width else f"{text[: width - 8]}...{text[-5:]}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RowError(f"duplicate key {shorten(json.dumps(twice))}: which value is meant is unknown")
    return value


def _constant(name: str) -> NoReturn:
    raise RowError(f"{name} is not JSON; leave the column out, or write null")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise RowError(f"the number {shorten(digits)} is too large, it would become infinity")
    return value


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def _lone_surrogates(value: Any, where: str) -> Iterator[str]:
    """Reasons, one for each text that holds half of a surrogate pair: it has no UTF-8 form and breaks tokenizers."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            code = ord(value[error.start])
            yield f"half a surrogate pair (\\u{code:04x}) in {where}: a character was cut in two"
    elif isinstance(value, list):
        for item in value:
            yield from _lone_surrogates(item, where)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _lone_surrogates(key, "a key")
            yield from _lone_surrogates(item, f"column '{key}'" if where == "the row" else where)


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    """The reason for text that the decoder refuses."""
    start, rest = text.lstrip(" \t\r\n")[:1], text[error.pos :].strip()
    column = error.pos + 1
    if "\ufeff" in (text[:1], rest[:1]):
        return f"a byte order mark (U+FEFF) at column {column}, inside the file; were files joined here?"
    if error.msg == "Extra data":
        if start == "{" and rest.startswith(("{", ",")) and "{" in rest[:3]:
            return f"two objects on one line, the second at column {column}; one line holds one row"
        return f"not JSON: more text after the end of the value at column {column}: {shorten(rest)}"
    if start in ("{", "[") and _ends_early(rest, error.msg):
        return f"cut off at column {len(text.rstrip()) + 1}, before it is closed"
    found = f"found {shorten(json.dumps(rest[:1], ensure_ascii=False))}" if rest else "found the end of the row"
    message = error.msg.removesuffix(" at")
    return f"not JSON: {message[0].lower()}{message[1:]} at column {column}, {found}"


def _ends_early(rest: str, message: str) -> bool:
    cut_word = any(word.startswith(rest) for word in ("true", "false", "null"))
    cut_escape = message.startswith("Invalid \\uXXXX") and len(rest) < 6 and '"' not in rest
    return not rest or message.startswith("Unterminated string") or cut_word or cut_escape
