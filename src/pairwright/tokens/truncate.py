"""Too long: which messages go first.

The prompt's oldest rounds go before anything else (a round is a user message and what follows it, up to the next); the
system message and the last user message stay. Then, for demonstrations of several answers only, the last turns go, as
whole turns. Nothing is ever cut in the middle of a message. Strings are cut by tokens, in chat.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pairwright.records import Message, Record, Steps, Text, answers

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A record of messages, parted into what its answers share and the answers."""

    prompt: Messages
    answers: tuple[Messages, ...]
    """Each ends with its last assistant message; user and tool messages may stand in between."""


def part(record: Record) -> Conversation:
    """The prompt, with all leading messages that the answers share, and the answers."""
    prompt = _messages(record.prompt)
    if isinstance(record, Steps):
        whole = (Message("assistant", record.before + step) for step in (record.chosen, record.rejected))
        return Conversation(prompt, tuple((message,) for message in whole))
    sides = tuple(_to_last_answer(_messages(answer)) for answer in answers(record))
    shared = _shared(sides) if len(sides) > 1 else 0
    return Conversation(prompt + sides[0][:shared], tuple(side[shared:] for side in sides))


def shorten(whole: Conversation, cut: int) -> tuple[Conversation, str | None] | None:
    """`whole` after `cut` cuts, with the name of the rule; None where there is nothing more to cut."""
    if cut == 0:
        return whole, None
    head = 0
    while head < len(whole.prompt) and whole.prompt[head].role in ("system", "developer"):
        head += 1
    starts = [i for i, message in enumerate(whole.prompt) if message.role == "user" and i > head]
    if cut <= len(starts):
        return Conversation(whole.prompt[:head] + whole.prompt[starts[cut - 1] :], whole.answers), "prompt_cut"
    if len(whole.answers) > 1:
        return None  # the turns of a pair belong together
    prompt = whole.prompt[:head] + whole.prompt[starts[-1] :] if starts else whole.prompt
    (answer,) = whole.answers
    ends = [i + 1 for i, message in enumerate(answer) if message.role == "assistant"]
    keep = len(ends) - (cut - len(starts))
    # An answer whose tool call is all that is left would end in the middle: only a final answer may come last.
    while keep > 0 and ends[keep - 1] < len(answer) and answer[ends[keep - 1]].role != "user":
        keep -= 1
    return (Conversation(prompt, (answer[: ends[keep - 1]],)), "turns_cut") if keep > 0 else None


def _messages(text: Text) -> Messages:
    if isinstance(text, str):
        raise TypeError("a record is either strings or messages throughout")
    return text


def _to_last_answer(messages: Messages) -> Messages:
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
    return messages[: last + 1]


def _shared(answers: Sequence[Messages]) -> int:
    """Number of leading messages that are the same in all, leaving at least one of each."""
    shared = 0
    while shared < min(map(len, answers)) - 1 and all(answer[shared] == answers[0][shared] for answer in answers):
        shared += 1
    return shared
