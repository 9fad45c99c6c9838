"""A look at the first examples before anything is trained on: BOS and end tokens are where they must be.

Templates and tokenizers come from anywhere, and a wrong one spoils a run without a sign. The message shows the text.
"""

from typing import TYPE_CHECKING

from pairwright.errors import DataError
from pairwright.tokens.sequences import Example, TokenSequence
from pairwright.tokens.special import Special
from pairwright.tokens.turn_weights import runs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIRST = 8
"""Examples looked at."""
_AROUND = 24
"""Tokens shown on either side of a fault."""


def look_at(
    example: Example, tokenizer: "PreTrainedTokenizerBase", special: Special, ends: frozenset[int], *, whole: bool
) -> None:
    """Raise DataError for no BOS or two, a BOS before an answer, an answer without an end token or with two.

    `ends`: ids of this run's end tokens. `whole`: False for a text that was cut, and so rightly has no end.
    """
    for sequence in example.sequences:
        fault = _bos_fault(sequence, special) or (_end_fault(sequence, special, ends) if whole else None)
        if fault is None:
            continue
        what, at = fault
        around = sequence.ids[max(0, at - _AROUND) : at + _AROUND].tolist()
        raise DataError(
            f"{example.source}: {what}. The text there, with its special tokens: "
            f"{tokenizer.decode(around, skip_special_tokens=False)!r}. "
            "Use another --chat-template, or mend the tokenizer's files."
        )


def _bos_fault(sequence: TokenSequence, special: Special) -> tuple[str, int] | None:
    ids = sequence.ids
    if special.front and ids[0] != special.front[0]:
        return "the sequence does not begin with the BOS that the tokenizer puts there", 0
    if special.bos is None or special.bos == special.eos:
        return None  # as in GPT-2, where the one token means both
    if list(ids[:2]) == [special.bos] * 2:
        return "the sequence begins with two BOS", 0
    for start, _ in runs(sequence):
        if start > 1 and ids[start - 1] == special.bos:
            return "BOS stands right before an answer", start
    return None


def _end_fault(sequence: TokenSequence, special: Special, ends: frozenset[int]) -> tuple[str, int] | None:
    for _, stop in runs(sequence):
        if int(sequence.ids[stop - 1]) not in special.ids | ends:
            return "an answer has no end token", stop
        if all(int(token) in ends for token in sequence.ids[stop - 2 : stop]):
            return "an answer ends with two end tokens", stop
    return None
