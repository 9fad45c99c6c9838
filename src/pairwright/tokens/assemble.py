"""Drafts of text -> token ids and masks: tokenising, the border between prompt and answer, length.

A text is always tokenised whole, prompt and answer together, as the tokenizer would read it anywhere. The prompt's
ids (tokenised by themselves, as generation sees them) must be a true prefix of that on every side; where the tokenizer
merges across the border, the border moves back to the last token on which all agree, and the shared token is part of
the answer. For a pair this costs nothing: what the answers share cancels in their difference.

Legend: T tokens of one sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pairwright.errors import ModelError
from pairwright.records import Demonstration, Record, Steps
from pairwright.tokens.rules import Unusable
from pairwright.tokens.sequences import TokenSequence
from pairwright.tokens.special import Special
from pairwright.tokens.turns import Draft, Side

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOO_LONG = ("dropped_answer_too_long", "dropped_prompt_too_long")


@dataclass(frozen=True, slots=True)
class Tokens:
    """A record that became token sequences."""

    sequences: tuple[TokenSequence, ...]
    prompt: int
    """Number of ids of the first sequence that generation would start from."""
    rules: frozenset[str]
    """Names of the rules that were applied."""


class Batch:
    """Texts tokenised in one call, each distinct one once, without the tokens that a tokenizer adds around a text."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> None:
        self.places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        self.encoding = (
            tokenizer(
                list(self.places),
                add_special_tokens=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            if texts
            else None
        )

    def ids(self, text: str) -> np.ndarray:
        """(T,) int64."""
        assert self.encoding is not None
        return np.array(self.encoding["input_ids"][self.places[text]], np.int64)

    def ends(self, text: str) -> np.ndarray:
        """(T,) int64: the number of characters of `text` up to each token's end.

        Raises ModelError for a tokenizer that does not know.
        """
        assert self.encoding is not None
        if self.encoding.encodings is None:
            raise ModelError("Conversations with several answers need a fast tokenizer (one with a tokenizer.json).")
        return np.array([end for _, end in self.encoding.encodings[self.places[text]].offsets], np.int64)


def assemble(record: Record, draft: Draft, batch: Batch, special: Special, max_length: int) -> Tokens:
    """Tokens of a draft. Raises Unusable where they are too long, empty or no pair."""
    rules = set(draft.rules)
    prompts = [special.with_front(batch.ids(side.prompt)) for side in draft.sides]
    wholes = [special.with_front(batch.ids(side.text)) for side in draft.sides]
    if any(len(ids) > len(batch.ids(side.text)) for ids, side in zip(wholes, draft.sides)):
        rules.add("bos_added")
    borders = [_common(prompt, ids) for prompt, ids in zip(prompts, wholes)]
    if len({side.prompt for side in draft.sides}) == 1:
        borders = [min(borders)] * len(borders)
    if any(border < len(prompt) for border, prompt in zip(borders, prompts)):
        rules.add("border_moved")
    masks = []
    for side, ids, border in zip(draft.sides, wholes, borders):
        mask, straddles = _mask(side, ids, border, batch)
        masks.append(mask)
        if straddles:
            rules.add("border_moved")
    if isinstance(record.prompt, str) and not isinstance(record, Steps):  # a cut question would be another one
        wholes, masks, borders = _cut_strings(record, wholes, masks, borders, special, max_length, rules)
    if max(map(len, wholes)) > max_length:
        raise Unusable(TOO_LONG[max(borders) >= max_length])
    if any(mask[0] for mask in masks):
        rules.add("first_token_unscored")
    for mask in masks:
        mask[0] = False
    if any(np.array_equal(one, other) for one, other in combinations(wholes, 2)):
        raise Unusable("dropped_identical_tokens")
    sequences = tuple(TokenSequence(ids, mask) for ids, mask in zip(wholes, masks))
    return Tokens(sequences, borders[0], frozenset(rules))


def _mask(side: Side, ids: np.ndarray, border: int, batch: Batch) -> tuple[np.ndarray, bool]:
    """(T,) bool, True on the answers' tokens; and whether a later answer shares its first token with what is before."""
    mask = np.zeros(len(ids), bool)
    straddles = False
    for start, stop in side.spans:
        # The text ends with its last answer, so only the others need the tokens' places in the text.
        last = stop == len(side.text)
        first = border if start <= len(side.prompt) else -1
        if first < 0 or not last:
            ends = batch.ends(side.text)
            shift = len(ids) - len(ends)
        if first < 0:
            # Ends, not starts: some tokenizers leave the white space before a word out of the word's place.
            first = int(np.searchsorted(ends, start, side="right"))
            straddles |= first > 0 and int(ends[first - 1]) < start
            first += shift
        beyond = len(ids) if last else int(np.searchsorted(ends, stop, side="left")) + 1 + shift
        if beyond - first < 1 + side.ended:  # nothing, or the end token alone
            raise Unusable("dropped_empty_answer")
        mask[first:beyond] = True
    return mask, straddles


def _cut_strings(
    record: Record,
    wholes: list[np.ndarray],
    masks: list[np.ndarray],
    borders: list[int],
    special: Special,
    max_length: int,
    rules: set[str],
) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Too long: the prompt's first tokens go, the same on all sides, after BOS; at least one token of it stays."""
    excess = max(map(len, wholes)) - max_length
    if excess <= 0:
        return wholes, masks, borders
    if isinstance(record, Demonstration) and record.prompt == "":
        rules.add("text_cut")
        rules.discard("eos_appended")  # it was the end that was cut
        return [ids[:max_length] for ids in wholes], [mask[:max_length] for mask in masks], borders
    head = special.head(wholes[0])
    if borders[0] - head - excess < 1:
        raise Unusable("dropped_answer_too_long")
    rules.add("prompt_cut")
    gone = np.arange(head, head + excess)
    return [np.delete(x, gone) for x in wholes], [np.delete(x, gone) for x in masks], [b - excess for b in borders]


def _common(a: np.ndarray, b: np.ndarray) -> int:
    """Length of the common prefix."""
    n = min(len(a), len(b))
    differs = np.flatnonzero(a[:n] != b[:n])
    return int(differs[0]) if len(differs) else n
