"""BOS, EOS and the other tokens that stand for themselves: what the tokenizer and the template do with them.

Left out: where they go in a record (turns.py, chat.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pairwright.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Special:
    """The special tokens of one tokenizer."""

    front: tuple[int, ...]
    """Ids that the tokenizer puts before a text by itself, BOS as a rule; empty where the model wants none."""
    bos: int | None
    eos: int | None
    eos_text: str | None
    ids: frozenset[int]
    """All special ids."""
    pattern: re.Pattern[str]
    """Matches the name of any special token in a text."""
    added: re.Pattern[str]
    """Matches the name of any token that is cut out of a text before the rest is tokenised."""

    def with_front(self, ids: np.ndarray) -> np.ndarray:
        """(T,) -> (T or more,): exactly one BOS where the tokenizer wants one, also if the text brought its own."""
        if self.front and (not len(ids) or ids[0] != self.front[0]):
            return np.concatenate([np.array(self.front, np.int64), ids])
        return ids

    def head(self, ids: np.ndarray) -> int:
        """How many ids at the beginning belong to no text and stay when a prompt is cut."""
        if self.front and tuple(ids[: len(self.front)]) == self.front:
            return len(self.front)
        return int(len(ids) > 0 and self.bos is not None and int(ids[0]) == self.bos)


def load(tokenizer: "PreTrainedTokenizerBase") -> Special:
    """Ask the tokenizer. Raises ModelError where its EOS is no token of its own vocabulary."""
    added = tokenizer.added_tokens_decoder
    names = {token.content for token in added.values() if token.special} | set(tokenizer.all_special_tokens)
    eos = tokenizer.eos_token
    if eos is not None and list(tokenizer(eos, add_special_tokens=False).input_ids) != [tokenizer.eos_token_id]:
        raise ModelError(
            f"The tokenizer does not read its own EOS {eos!r} as one token; its files do not fit together."
        )
    return Special(
        front=_front(tokenizer),
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        eos_text=eos,
        ids=frozenset(tokenizer.all_special_ids) | {i for i, token in added.items() if token.special},
        pattern=_any_of(names),
        added=_any_of(names | {token.content for token in added.values() if token.content.strip()}),
    )


def strip_ends(text: str, ends: Sequence[str]) -> tuple[str, str, int]:
    """What stands before the end tokens that `text` ends with; the same with the first of them; how many there are.

    >>> strip_ends("Hi </s></s>", ["</s>"])
    ('Hi ', 'Hi </s>', 2)
    """
    bare, kept, count = text, text, 0
    while match := next((end for end in ends if bare.rstrip().endswith(end)), None):
        kept = bare.rstrip()
        bare = kept[: -len(match)]
        count += 1
    return bare, kept, count


def _front(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """What the tokenizer puts before a text, seen on the first of some texts that it knows."""
    for text in ("a", "0", ".", tokenizer.eos_token or ""):
        plain = list(tokenizer(text, add_special_tokens=False).input_ids)
        if plain:
            whole = list(tokenizer(text).input_ids)
            return tuple(whole[: next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)])
    return ()


def _any_of(names: set[str]) -> re.Pattern[str]:
    if not names:
        return _NOTHING
    # Longest first: of two names that begin alike, the tokenizer takes the longer.
    return re.compile("|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name))))
