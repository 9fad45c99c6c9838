"""Solutions in steps: one step preferred over another after the same steps before it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pairwright.reading.messages import need, template_kwargs, text, text_or_turns, tools, weight
from pairwright.reading.prompts import prompt
from pairwright.reading.rows import RowError, describe
from pairwright.records import Source, Steps

Columns = Mapping[str, Any]


def steps(row: Columns, source: Source) -> Steps:
    """{prompt, steps: [text], chosen, rejected}: `steps` are the steps before, and may be none; `chosen` and `rejected`
    are the next one. Steps without white space between them are parted by a line end."""
    value = need(row, "steps", "a list of steps")
    if not isinstance(value, list):
        raise RowError(f"column 'steps' holds {describe(value)}, a list of steps expected")
    return _steps(row, source, [text({"steps": step}, "steps") for step in value])


def step_dpo(row: Columns, source: Source) -> Steps:
    """{prompt, initial_reason_steps, chosen, rejected}, the data of Step-DPO (2406.18629): the steps before are one
    text."""
    before = text(row, "initial_reason_steps", empty=True)
    return _steps(row, source, [before] if before else [])


def _steps(row: Columns, source: Source, before: Sequence[str]) -> Steps:
    chosen, rejected = text(row, "chosen"), text(row, "rejected")
    if chosen.strip() == rejected.strip():
        raise RowError("chosen and rejected are identical")
    asked = text_or_turns(row, "prompt")
    given = asked if isinstance(asked, str) else prompt(asked, "prompt")
    joined = ""
    for step in before:
        joined += _apart(joined, step)
    return Steps(
        given,
        joined,
        _apart(joined, chosen),
        _apart(joined, rejected),
        source,
        weight(row),
        tools(row.get("tools")),
        template_kwargs(row),
    )


def _apart(before: str, step: str) -> str:
    """The step with a line end in front, where it would else run into what stands before it."""
    return step if not before or before[-1].isspace() or step[0].isspace() else "\n" + step
