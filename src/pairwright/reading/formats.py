"""The public formats of preferences, labelled answers and demonstrations: a function for each, from a row to a record.

Each refuses with RowError what cannot be used as it stands; none mends, guesses or leaves out.
Leaves out: which format a file has (recognition.py); several answers to one prompt (rankings.py); steps (steps.py).
"""

import re
from collections.abc import Mapping
from typing import Any

from pairwright.reading.messages import (
    Turn,
    label,
    need,
    number,
    probability,
    template_kwargs,
    text,
    text_or_turns,
    tools,
    turns,
    weight,
)
from pairwright.reading.prompts import answer, demonstrated, part, part_text, prompt, unrepeated
from pairwright.reading.rows import RowError, describe
from pairwright.records import Demonstration, Message, Preference, Rating, Source, Text

Columns = Mapping[str, Any]

TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):(?: |(?=\n)|\Z)")
"""Start of a turn in an HH-RLHF transcript; an empty last turn may lack the space."""

SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def trl_preference(row: Columns, source: Source) -> Preference:
    """{prompt, chosen, rejected} or {chosen, rejected}, all text or all messages.

    Without a prompt it is what both sides have in common. Messages that repeat the given prompt are taken without it.
    """
    chosen, rejected = text_or_turns(row, "chosen"), text_or_turns(row, "rejected")
    given = None if row.get("prompt") is None else text_or_turns(row, "prompt")
    if isinstance(chosen, str) and isinstance(rejected, str):
        if given is None:
            return _preference(row, source, *part_text(chosen, rejected))
        if isinstance(given, str):
            return _preference(row, source, given, chosen, rejected)
    elif not isinstance(chosen, str) and not isinstance(rejected, str):
        if given is None or (isinstance(given, str) and _repeats(given, chosen) and _repeats(given, rejected)):
            return _preference(row, source, *part(chosen, rejected))
        if not isinstance(given, str):
            return _answers(row, source, given, unrepeated(given, chosen), unrepeated(given, rejected))
    held = {"prompt": given, "chosen": chosen, "rejected": rejected}
    kinds = ", ".join(f"'{column}' {_kind(value)}" for column, value in held.items() if value is not None)
    raise RowError(f"the columns must all hold text or all messages; here they hold: {kinds}")


def hh_rlhf(row: Columns, source: Source) -> Preference:
    """{chosen, rejected}: two transcripts with "\\n\\nHuman: " and "\\n\\nAssistant: "; they become messages."""
    return _preference(row, source, *part(_transcript(row, "chosen"), _transcript(row, "rejected")))


def openai_preference(row: Columns, source: Source) -> Preference:
    """{input: {messages, tools}, preferred_output: [...], non_preferred_output: [...]}."""
    given = need(row, "input", "an object with messages")
    if not isinstance(given, dict):
        raise RowError(f"column 'input' holds {describe(given)}, an object with messages expected")
    asked = turns(need(given, "messages", "a list of messages"), "input.messages")
    preferred = turns(need(row, "preferred_output", "a list of messages"), "preferred_output")
    other = turns(need(row, "non_preferred_output", "a list of messages"), "non_preferred_output")
    schemas = given.get("tools") if row.get("tools") is None else row["tools"]
    return _answers({**row, "tools": schemas}, source, asked, preferred, other)


def sharegpt_preference(row: Columns, source: Source) -> Preference:
    """{conversations: [{from, value}], chosen: {from, value}, rejected: {from, value}}, perhaps system and tools."""
    asked = _system(row) + turns(need(row, "conversations", "a list of messages"), "conversations")
    return _answers(row, source, asked, _one_or_more(row, "chosen"), _one_or_more(row, "rejected"))


def messages_preference(row: Columns, source: Source) -> Preference:
    """{chosen_messages, rejected_messages}: two whole conversations (LLaMA-Factory v1)."""
    chosen = turns(need(row, "chosen_messages", "a list of messages"), "chosen_messages")
    rejected = turns(need(row, "rejected_messages", "a list of messages"), "rejected_messages")
    return _preference(row, source, *part(chosen, rejected))


def alpaca_preference(row: Columns, source: Source) -> Preference:
    """{instruction, input, chosen, rejected}, perhaps system and history: text that becomes messages."""
    return _answers(
        row,
        source,
        _alpaca_prompt(row),
        [_say("assistant", text(row, "chosen"))],
        [_say("assistant", text(row, "rejected"))],
    )


def prompt_completion(row: Columns, source: Source) -> Demonstration:
    """{prompt, completion}, both text or both messages. A text prompt may be empty: then it is text to imitate."""
    completion = text_or_turns(row, "completion")
    if isinstance(completion, str):
        return _demonstration(row, source, text(row, "prompt", empty=True), completion)
    given = text_or_turns(row, "prompt")
    if isinstance(given, str):
        raise RowError("'prompt' holds text and 'completion' holds messages")
    return _demonstration(row, source, prompt(given, "prompt"), answer(unrepeated(given, completion), "completion"))


def messages(row: Columns, source: Source) -> Demonstration:
    """{messages}: one conversation. All assistant turns are learned from; with weights, those from the first of 1."""
    said = turns(need(row, "messages", "a list of messages"), "messages")
    return _demonstration(row, source, *demonstrated(said, "messages"))


def labelled(row: Columns, source: Source) -> Rating:
    """{prompt, completion, label}, both text or both messages."""
    if isinstance(need(row, "prompt", "text or messages"), str):
        text(row, "prompt")  # may not be blank: a label says whether this was a good answer to it
    done = prompt_completion(row, source)
    return _rating(row, source, done.prompt, done.completion)


def labelled_messages(row: Columns, source: Source) -> Rating:
    """{messages, label}: one conversation. The label is that of what follows the last user turn."""
    said = turns(need(row, "messages", "a list of messages"), "messages")
    start = 1 + max((at for at, turn in enumerate(said) if turn.message.role == "user"), default=-1)
    if not start:
        raise RowError("'messages' holds no user turn; nothing asks for the answer")
    return _rating(row, source, prompt(said[:start], "messages"), answer(said[start:], "messages"))


def plain_text(row: Columns, source: Source) -> Demonstration:
    """{text}: text to imitate from its first token on."""
    return _demonstration(row, source, "", text(row, "text"))


def sharegpt(row: Columns, source: Source) -> Demonstration:
    """{conversations: [{from, value}]}, perhaps system and tools."""
    said = _system(row) + turns(need(row, "conversations", "a list of messages"), "conversations")
    return _demonstration(row, source, *demonstrated(said, "conversations"))


def alpaca(row: Columns, source: Source) -> Demonstration:
    """{instruction, input, output}, perhaps system and history: text that becomes messages."""
    done = answer([_say("assistant", text(row, "output"))], "output")
    return _demonstration(row, source, prompt(_alpaca_prompt(row), "instruction"), done)


def _answers(row: Columns, source: Source, asked: list[Turn], chosen: list[Turn], rejected: list[Turn]) -> Preference:
    return _preference(row, source, prompt(asked, "prompt"), answer(chosen, "chosen"), answer(rejected, "rejected"))


def _preference(row: Columns, source: Source, asked: Text, chosen: Text, rejected: Text) -> Preference:
    if chosen == rejected:
        raise RowError("chosen and rejected are identical")
    return Preference(
        asked,
        chosen,
        rejected,
        source,
        weight(row),
        number(row, "margin"),
        tools(row.get("tools")),
        template_kwargs(row),
        probability(row, "chosen_probability"),
        number(row, "score_chosen"),
        number(row, "score_rejected"),
    )


def _demonstration(row: Columns, source: Source, asked: Text, completion: Text) -> Demonstration:
    return Demonstration(asked, completion, source, weight(row), tools(row.get("tools")), template_kwargs(row))


def _rating(row: Columns, source: Source, asked: Text, completion: Text) -> Rating:
    return Rating(asked, completion, label(row), source, weight(row), tools(row.get("tools")), template_kwargs(row))


def _kind(value: str | list[Turn]) -> str:
    return "text" if isinstance(value, str) else "messages"


def _repeats(given: str, said: list[Turn]) -> bool:
    """Whether the conversation's first user turn is the prompt that a column of text gives once more."""
    users = [turn.message.content for turn in said if turn.message.role == "user"]
    return bool(users) and users[0].strip() == given.strip()


def _transcript(row: Columns, column: str) -> list[Turn]:
    whole = text(row, column)
    found = list(TURN.finditer(whole))
    if not found or found[0].start() > 0:
        raise RowError(f"column '{column}' is no transcript: it does not start with 'Human:' or 'Assistant:'")
    ends = [match.start() for match in found[1:]] + [len(whole)]
    return [_say(SPEAKERS[match[1]], whole[match.end() : end]) for match, end in zip(found, ends)]


def _say(role: str, content: str) -> Turn:
    return Turn(Message(role, content), 1.0)


def _system(row: Columns) -> list[Turn]:
    return [] if row.get("system") in (None, "") else [_say("system", text(row, "system"))]


def _one_or_more(row: Columns, column: str) -> list[Turn]:
    value = need(row, column, "a message")
    return turns([value] if isinstance(value, dict) else value, column)


def _alpaca_prompt(row: Columns) -> list[Turn]:
    before = row.get("history") or []
    if not isinstance(before, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in before):
        raise RowError(f"column 'history' holds {describe(before)}, a list of [question, answer] expected")
    said = _system(row)
    for pair in before:
        asked, answered = (text({"history": item}, "history") for item in pair)
        said += [_say("user", asked), _say("assistant", answered)]
    more = "" if row.get("input") in (None, "") else "\n" + text(row, "input")
    return [*said, _say("user", text(row, "instruction") + more)]
