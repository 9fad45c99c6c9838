"""Values of a run's files as words for a page: numbers, intervals, nested settings as rows, conversations as turns."""

import math
import re
from collections.abc import Mapping
from typing import Any

from pairwright.reporting.run_files import is_number

Rows = list[tuple[str, str]]


def number(value: Any) -> str:
    """A number with as many digits as say something; other values as they are."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not is_number(value):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.2e}"


def signed(value: float) -> str:
    """A difference with its sign, to two decimals; a difference that rounds to nothing has none."""
    return f"{value:+.2f}".replace("+0.00", "0.00").replace("-0.00", "0.00").replace("-", "−")


def duration(seconds: float) -> str:
    """`41 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rows(value: Mapping[str, Any], *, leave_out: tuple[str, ...] = ()) -> Rows:
    """Nested mappings as (name, text) rows: {"a": {"b": 1}} is ("a b", "1"). Empty values are left out, and of
    lists of objects only their number is said."""
    found: Rows = []
    for name, inner in value.items():
        if name in leave_out or inner is None or inner in ({}, [], ""):
            continue
        label = str(name).replace("_", " ")
        if isinstance(inner, Mapping):
            found += [(f"{label} {below}", text) for below, text in rows(inner)]
        elif isinstance(inner, list):
            many = any(isinstance(item, Mapping) for item in inner)
            found.append((label, f"{len(inner):,}" if many else _joined(inner)))
        else:
            found.append((label, number(inner)))
    return found


def _joined(items: list[Any]) -> str:
    """Sentences stand apart by a semicolon, names and numbers by a comma."""
    texts = [number(item) for item in items]
    return ("; " if any(" " in text for text in texts) else ", ").join(texts)


def turns(text: Any) -> Rows:
    """A prompt, which is a string or a list of messages, as (role, content); a string has no role, and
    stands without its empty lines."""
    if isinstance(text, list):
        return [(str(turn.get("role", "")), str(turn.get("content", ""))) for turn in text if isinstance(turn, Mapping)]
    return [("", re.sub(r"\n\s*\n", "\n", str(text).strip()))]
