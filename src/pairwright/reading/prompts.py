"""Where the prompt ends and the answer begins, in text and in messages; and what an answer must be.

A prompt of messages ends with what the assistant answers to: a user turn or a tool's result. A prompt of text that is
not given ends at a word border (the token border is found later, by tokens/chat.py, which has a tokenizer).
Leaves out: token counts and cutting.
"""

import unicodedata
from collections.abc import Sequence

from pairwright.reading.messages import Turn, contents
from pairwright.reading.rows import RowError
from pairwright.records import Message

ASKS = ("user", "tool")
"""Roles that an assistant turn answers."""


def answer(said: Sequence[Turn], column: str) -> tuple[Message, ...]:
    """The messages of an answer: it ends with the assistant, no assistant turn is empty, all are trained on."""
    if not said:
        raise RowError(f"'{column}' holds no answer after the prompt")
    first, last = said[0].message.role, said[-1].message.role
    if last != "assistant":
        raise RowError(f"'{column}' ends with a turn of role {last}, not with the assistant's answer")
    if first != "assistant":
        raise RowError(f"the answer in '{column}' starts with a turn of role {first}, not with the assistant's")
    for turn in said:
        if turn.message.role == "assistant":
            if not turn.message.content.strip() and not turn.message.extra.get("tool_calls"):
                raise RowError(f"'{column}' holds an empty assistant turn")
            if turn.weight != 1:
                raise RowError(f"'{column}' holds an assistant turn of weight 0 that would be trained on")
    return contents(said)


def prompt(said: Sequence[Turn], column: str) -> tuple[Message, ...]:
    """The messages of a given prompt."""
    last = said[-1].message
    if last.role not in ASKS:
        raise RowError(f"'{column}' ends with a turn of role {last.role}; it must end with the user's turn or a tool's")
    if not last.content.strip():
        raise RowError(f"the last turn of '{column}' is empty")
    return contents(said)


def demonstrated(said: Sequence[Turn], column: str) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """A whole conversation as prompt and completion: the completion starts at the first assistant turn trained on."""
    start = next((at for at, turn in enumerate(said) if turn.message.role == "assistant" and turn.weight), None)
    if start is None:
        raise RowError(f"'{column}' holds no assistant turn to learn from")
    if not start:
        raise RowError(f"'{column}' starts with the assistant's turn; nothing asks for it")
    return prompt(said[:start], "prompt"), answer(said[start:], column)


def part(chosen: Sequence[Turn], rejected: Sequence[Turn]) -> tuple[tuple[Message, ...], ...]:
    """Two whole conversations as prompt, chosen, rejected; the prompt ends with the last user or tool turn shared."""
    if contents(chosen) == contents(rejected):
        raise RowError("chosen and rejected are identical")
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared].message == rejected[shared].message:
        shared += 1
    while shared and chosen[shared - 1].message.role not in ASKS:
        shared -= 1
    if not any(turn.message.role == "user" for turn in chosen[:shared]):
        raise RowError("chosen and rejected share no prompt: they differ in the first user turn or before")
    return prompt(chosen[:shared], "prompt"), answer(chosen[shared:], "chosen"), answer(rejected[shared:], "rejected")


def part_text(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Two whole texts as prompt, chosen, rejected: the longest common beginning, moved back to a word border.

    A single space before the first differing word goes to the answers (as tokenizers have it); a line end stays.
    """
    shared = common_length(chosen, rejected)
    if shared == len(chosen) == len(rejected):
        raise RowError("chosen and rejected are identical")
    if shared in (len(chosen), len(rejected)):
        short, long = ("chosen", "rejected") if shared == len(chosen) else ("rejected", "chosen")
        raise RowError(f"{short} is the beginning of {long}: nothing is left for its answer; give a column 'prompt'")
    while shared and (_inside(chosen, shared) or _inside(rejected, shared)):
        shared -= 1
    if shared and chosen[shared - 1] == " ":
        shared -= 1
    if not chosen[:shared].strip():
        raise RowError("chosen and rejected share no beginning, and there is no column 'prompt'")
    if not chosen[shared:].strip() or not rejected[shared:].strip():
        empty = "rejected" if chosen[shared:].strip() else "chosen"
        raise RowError(f"{empty} holds no answer after the shared beginning")
    return chosen[:shared], chosen[shared:], rejected[shared:]


def unrepeated(given: list[Turn], said: list[Turn]) -> list[Turn]:
    """What was said after the given prompt, where a conversation brings the prompt once more."""
    begins = [turn.message for turn in said[: len(given)]] == [turn.message for turn in given]
    return said[len(given) :] if begins else said


def common_length(one: str, other: str) -> int:
    """Length of the longest common beginning; halving, since comparing slices is much faster than characters."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _inside(text: str, at: int) -> bool:
    """True where a cut before text[at] would part a word, or a character written with several code points."""
    before, after = text[at - 1], text[at]
    if unicodedata.combining(after) or after in "\u200d\ufe0e\ufe0f" or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if before == "\u200d" or before + after == "\r\n":
        return True
    return _word(before) and _word(after)


def _word(character: str) -> bool:
    """Letters and digits join into words; Chinese and Japanese characters, from U+2E80 on, are each a word."""
    return (
        character.isalnum() or character in "_'’" or bool(unicodedata.combining(character))
    ) and character < "\u2e80"
