"""The parts of a row: text, messages, numbers, tools; each checked, and refused with column, value and type.

Roles come out as system, user, assistant or tool, whatever family the row is from (human, gpt, observation ...).
Leaves out: which columns a format has (formats.py), where a prompt ends (prompts.py).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairwright.reading.rows import RowError, describe, parse_value, shorten
from pairwright.records import Message

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
}
"""Names of roles in the OpenAI and ShareGPT families, and what they are called here."""

WEIGHTS = ("weight", "loss_weight")
"""Keys of a message that say whether it is trained on: OpenAI's and LLaMA-Factory's."""


@dataclass(frozen=True, slots=True)
class Turn:
    message: Message
    weight: float
    """1 or 0: the row wants this message trained on, or not."""


def need(row: Mapping[str, Any], column: str, wanted: str) -> Any:
    """The column's value. RowError where it is missing or null."""
    if column not in row:
        raise RowError(f"column '{column}' is missing, {wanted} expected")
    if row[column] is None:
        raise RowError(f"column '{column}' is null, {wanted} expected")
    return row[column]


def text(row: Mapping[str, Any], column: str, *, empty: bool = False) -> str:
    """The column's text. RowError where it is no text, or is blank and `empty` does not allow it."""
    value = need(row, column, "text")
    if not isinstance(value, str):
        raise RowError(f"column '{column}' holds {describe(value)}, text expected")
    if not empty and not value.strip():
        what = f"only white space ({len(value)} characters)" if value else "empty"
        raise RowError(f"column '{column}' is {what}")
    return value


def text_or_turns(row: Mapping[str, Any], column: str) -> str | list[Turn]:
    """The column's text (not blank) or messages."""
    value = need(row, column, "text or messages")
    if isinstance(value, str):
        if value.lstrip().startswith(("[{'role'", "[{'content'", "[{'from'")):
            raise RowError(
                f"column '{column}' holds messages as Python prints them, not as JSON; write it with json.dumps"
            )
        return text(row, column)
    if not isinstance(value, list):
        raise RowError(f"column '{column}' holds {describe(value)}, text or a list of messages expected")
    return turns(value, column)


def turns(value: Any, column: str) -> list[Turn]:
    """A list of messages. RowError names the first message, counted from 1, that is not one."""
    if not isinstance(value, list):
        raise RowError(f"column '{column}' holds {describe(value)}, a list of messages expected")
    if not value:
        raise RowError(f"column '{column}' is an empty list of messages")
    return [_turn(item, number, column) for number, item in enumerate(value, start=1)]


def _turn(item: Any, number: int, column: str) -> Turn:
    if isinstance(item, dict) and len(item) == 2:  # most messages; the general way below takes three times as long
        name, content = item.get("role"), item.get("content")
        if isinstance(content, str) and isinstance(name, str) and name != "function_call" and name in ROLES:
            return Turn(Message(ROLES[name], content), 1.0)
    where = f"message {number} of '{column}'"
    if not isinstance(item, dict):
        raise RowError(f"{where} is {describe(item)}, an object with role and content expected")
    role_key, content_key = ("role", "content") if "role" in item or "from" not in item else ("from", "value")
    name = need_key(item, role_key, where)
    if not isinstance(name, str):
        raise RowError(f"{where}: {role_key} is {describe(name)}, text expected")
    if name not in ROLES:
        raise RowError(f"{where}: unknown role {shorten(json.dumps(name))}; known are {', '.join(ROLES)}")
    used = {role_key, content_key, *WEIGHTS}
    extra = {key: value for key, value in item.items() if key not in used and value is not None}
    if name == "function_call":
        content, extra = "", {**extra, "tool_calls": [_function_call(item, content_key, where)]}
    elif extra.get("tool_calls") and item.get(content_key) is None:
        content = ""
    else:
        content = _content(need_key(item, content_key, f"{where} ({name})"), f"{where} ({name}): {content_key}")
    return Turn(Message(ROLES[name], content, extra), _weight(item, where))


def need_key(item: Mapping[str, Any], key: str, where: str) -> Any:
    """item[key]. RowError where the key is missing or null."""
    if item.get(key) is None:
        raise RowError(f"{where} has {'null as' if key in item else 'no'} {key}")
    return item[key]


def _content(value: Any, where: str) -> str:
    """Text, or a list of parts that are all text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RowError(f"{where} is {describe(value)}, text expected")
    parts = []
    for part in value:
        if not isinstance(part, dict) or part.get("type") != "text":
            kind = f"of type {part.get('type')}" if isinstance(part, dict) else describe(part)
            raise RowError(f"{where} has a part {kind}; only text can be read")
        parts.append(_content(part.get("text", part.get("value")), f"{where}, a part"))
    return "".join(parts)


def _weight(item: Mapping[str, Any], where: str) -> float:
    for key in WEIGHTS:
        value = item.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in (0, 1):
            raise RowError(f"{where}: {key} is {describe(value)}; a message is trained on (1) or not (0)")
        return float(value)
    return 1.0


def _function_call(item: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """LLaMA-Factory's function_call turn, JSON text with name and arguments, as a tool call of the OpenAI family."""
    call = as_json(need_key(item, key, where), f"{where}: {key}")
    if not isinstance(call, dict) or not {"name", "arguments"} <= call.keys():
        raise RowError(f"{where}: a function_call needs name and arguments, found {describe(call)}")
    return {"type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}


def as_json(value: Any, where: str) -> Any:
    """A value that may stand as JSON in a text: parsed; any other as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_value(value)
    except RowError as error:
        raise RowError(f"{where} is text that is no JSON ({error})") from None


def number(row: Mapping[str, Any], column: str) -> float | None:
    """An optional finite number; None where the column is missing or null."""
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError(f"column '{column}' holds {describe(value)}, a number expected")
    try:
        number = float(value)
    except OverflowError:
        raise RowError(f"column '{column}' holds {describe(value)}, too large for a number of the loss") from None
    if not math.isfinite(number):
        raise RowError(f"column '{column}' is {value}, a finite number expected")
    return number


def weight(row: Mapping[str, Any]) -> float:
    """The row's weight in the loss, 1 where none is given."""
    value = number(row, "weight")
    if value is not None and value < 0:
        raise RowError(f"column 'weight' is {value:g}; a weight is 0 or more")
    return 1.0 if value is None else value


def probability(row: Mapping[str, Any], column: str) -> float | None:
    """An optional number from 0 to 1; None where the column is missing or null."""
    value = number(row, column)
    if value is not None and not 0 <= value <= 1:
        raise RowError(f"column '{column}' is {value:g}; a probability lies between 0 and 1")
    return value


LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
"""Ways to write a label; upper and lower case are the same."""


def label(row: Mapping[str, Any]) -> bool:
    """Whether the row's answer is labelled good."""
    value = need(row, "label", "true or false")
    if str(value).lower() not in LABELS:
        raise RowError(f"column 'label' holds {describe(value)}, true or false expected")
    return LABELS[str(value).lower()]


def tools(value: Any, column: str = "tools") -> tuple[Mapping[str, Any], ...] | None:
    """Tool schemas: a list of objects, or the same as JSON text; None where there are none."""
    if value is None or value == "":
        return None
    value = as_json(value, f"column '{column}'")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RowError(f"column '{column}' holds {describe(value)}, a list of objects expected")
    return tuple(value) or None


def template_kwargs(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Extra arguments for the chat template, empty where there are none."""
    value = as_json(row.get("chat_template_kwargs") or {}, "column 'chat_template_kwargs'")
    if not isinstance(value, dict):
        raise RowError(f"column 'chat_template_kwargs' holds {describe(value)}, an object expected")
    return value


def contents(said: Sequence[Turn]) -> tuple[Message, ...]:
    return tuple(turn.message for turn in said)
