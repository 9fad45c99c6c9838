"""Texts as words, and counts of phrases in them. Words are lower case, with straight apostrophes and no punctuation."""

import hashlib
import re
from collections.abc import Iterable

from pairwright.records import Text

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_BLANKED = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) != "'"}


def words(text: str) -> list[str]:
    """Letters and digits between anything else; `don't` is one word. Chinese and Japanese come out in runs."""
    text = text.lower()
    if not text.isascii():
        return WORD.findall(text.replace("’", "'"))
    said = text.translate(_BLANKED).split()  # a third of the time
    if "'" not in text:
        return said
    return [word for word in (word.strip("'") if "'" in word else word for word in said) if word]


def plain(text: Text) -> str:
    """A side's text; of messages the contents, one after the other."""
    return text if isinstance(text, str) else "\n".join(message.content for message in text)


def last_turn(text: Text) -> str:
    """What the prompt ends with: the last message, or all of a text."""
    return text if isinstance(text, str) else text[-1].content if text else ""


def spoken(text: Text) -> str:
    """An answer's text: what the assistant says in it."""
    if isinstance(text, str):
        return text
    return "\n".join(message.content for message in text if message.role == "assistant")


def phrases(said: str, sought: Iterable[str]) -> int:
    """How often the phrases, with a space at either end, stand in `said`, which is made by `spaced`."""
    return sum(map(said.count, sought))


def spaced(said: Iterable[str]) -> str:
    return f" {' '.join(said)} "


def digest(text: str) -> int:
    """64 bits that stand for the text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest(), "little")


def excerpt(text: str, length: int = 240) -> str:
    """Beginning and end of a text, `length` characters at most, with the cut shown."""
    if len(text) <= length:
        return text
    head = length * 2 // 3
    return f"{text[:head]} […] {text[-(length - head - 5) :]}"
