"""Records to numbers, one row at a time: everything that the checks need to know of a row's texts, computed once.

Pure and picklable, so that processes share the work; a row costs the same whatever the size of the file. What a check
does with the numbers is its own matter (checks/).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Indel
from scipy.sparse import csr_matrix

from pairwright.audit import lexicon
from pairwright.audit.endings import ending
from pairwright.audit.heldout import HeldOut
from pairwright.audit.language import CODES, language
from pairwright.audit.shingles import PERMUTATIONS, Signer, WordIds
from pairwright.audit.text import digest, last_turn, phrases, plain, spaced, spoken, words
from pairwright.records import Preference, Text

SIDE = (
    ("characters", "i4"),
    ("words", "i4"),
    ("hedges", "i2"),
    ("boosters", "i2"),
    ("praise", "i2"),
    ("agrees", "i2"),
    ("names", "i2"),
    ("refuses", "?"),
    ("lists", "i2"),
    ("headings", "i2"),
    ("emoji", "i2"),
    ("exclamations", "i2"),
    ("ending", "u1"),
    ("language", "u1"),
    ("template", "?"),
    ("text", "u8"),
    ("opening", "u8"),
    ("new", "i4"),
)
"""Columns of an answer. `new`: distinct words that the prompt does not have."""
ROW = np.dtype(
    [
        ("file", "i4"),
        ("line", "i8"),
        ("prompt", "u8"),
        ("prompt_words", "i4"),
        ("prompt_language", "u1"),
        ("prompt_template", "?"),
        ("translates", "?"),
        ("opinion", "?"),
        ("similarity", "f4"),
        *((f"chosen_{name}", kind) for name, kind in SIDE),
        *((f"rejected_{name}", kind) for name, kind in SIDE),
    ]
)
"""One row of the table. `similarity`: 1 for answers of the same words in the same order, 0 for none in common."""

OPENING = 4
"""Words of an answer that are its opening."""
FEATURES = 1 << 16
"""Columns into which words and pairs of words are hashed for the model of label noise."""
_LANGUAGE = {code: number for number, code in enumerate(CODES)}
_LARGEST = 30_000
"""Counts are kept in 16 bits."""
_TRANSLATES = frozenset(
    [
        "translate",
        "translation",
        "translated",
        "english",
        "german",
        "french",
        "spanish",
        "italian",
        "portuguese",
        "dutch",
        "polish",
        "swedish",
        "turkish",
        "indonesian",
        "japanese",
        "korean",
        "chinese",
        "mandarin",
        "russian",
        "ukrainian",
        "greek",
        "arabic",
        "hebrew",
        "hindi",
        "thai",
        "latin",
        "language",
        "übersetze",
        "traduce",
        "traduire",
        "traduis",
        "traduci",
        "vertaal",
        "auf",
        "deutsch",
        "en",
        "français",
    ]
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of some consecutive rows."""

    rows: np.ndarray
    """(n,) of ROW."""
    signatures: np.ndarray
    """(n, PERMUTATIONS) uint32."""
    sampled: np.ndarray
    """(s,) indices of the rows that are in the sample, counted from the file's first."""
    chosen: csr_matrix
    """(s, FEATURES) 1 for each word and each pair of neighbouring words of the sampled rows' chosen answers."""
    rejected: csr_matrix
    prompts: list[str]
    """What the sampled rows' prompts end with, 300 characters at most."""
    leaks: list[tuple[int, int, float]]
    """(row, held-out item, share of the item's words that stand in the row)."""


def sampled(first: int, count: int, share: float) -> np.ndarray:
    """Which of the rows first ... first + count are in a sample of this share: by a hash of the index, so that the same
    rows are, however the file is cut into chunks; a smaller share gives a part of a larger one's rows."""
    index = np.arange(first, first + count, dtype=np.uint64)
    mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return index[mixed.astype(np.float64) < share * 2.0**64].astype(np.int64)


class Measurer:
    """Measures chunks of rows; keeps word ids from one to the next."""

    def __init__(self, held_out: HeldOut | None = None) -> None:
        self.ids, self.signer, self.held_out = WordIds(), Signer(), held_out

    def __call__(self, records: Sequence[Preference], files: Sequence[int], first: int, share: float) -> Measured:
        """`files`: index of each record's file. `share`: of the rows, how many go into the sample."""
        take = sampled(first, len(records), share)
        wanted = set(take.tolist())
        rows = np.zeros(len(records), dtype=ROW)
        signatures = np.zeros((len(records), PERMUTATIONS), dtype=np.uint32)
        leaks: list[tuple[int, int, float]] = []
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        prompts = []
        for at, record in enumerate(records):
            asked, asked_words = _prompt(record)
            texts = (spoken(record.chosen), spoken(record.rejected))
            said = (words(texts[0]), words(texts[1]))
            rows[at] = (
                files[at],
                record.source.line,
                *_of_prompt(record, asked, asked_words),
                Indel.normalized_similarity(*said),
                *_side(texts[0], said[0], record.prompt, asked_words),
                *_side(texts[1], said[1], record.prompt, asked_words),
            )
            ids = [self.ids.of(each) for each in (asked_words, *said)]
            whole = np.concatenate(ids)
            signatures[at] = self.signer.sign(whole)
            if self.held_out is not None:
                leaks += [(first + at, item, covered) for item, covered in self.held_out.covered(whole)]
            if first + at in wanted:
                prompts.append(last_turn(record.prompt)[-300:])
                for side, each in zip(sides, ids[1:]):
                    side.append(_hashed(each))
        return Measured(rows, signatures, take, _matrix(sides[0]), _matrix(sides[1]), prompts, leaks)


def _prompt(record: Preference) -> tuple[str, list[str]]:
    text = record.prompt
    asked = plain(text if isinstance(text, str) else tuple(m for m in text if m.role != "system"))
    return asked, words(asked)


def _of_prompt(record: Preference, asked: str, said: list[str]) -> tuple:
    own = last_turn(record.prompt)
    own_words = said if isinstance(record.prompt, str) else words(own)
    # A prompt of plain text may well hold the marks of the form that it is written in.
    marked = not isinstance(record.prompt, str) and _marked(own)
    return (
        digest(" ".join(said)),
        len(said),
        _LANGUAGE[language(own, own_words)],
        marked,
        not _TRANSLATES.isdisjoint(own_words),
        phrases(spaced(own_words), lexicon.OPINION) > 0,
    )


def _marked(text: str) -> bool:
    return any(map(text.__contains__, lexicon.TEMPLATE_SIGNS)) and bool(lexicon.TEMPLATE.search(text))


def _side(text: str, said: list[str], prompt: Text, asked_words: list[str]) -> tuple:
    distinct = set(said)
    joined = spaced(said)
    start = spaced(said[: lexicon.REFUSAL_WORDS])
    counts = (
        len(text),
        len(said),
        sum(map(lexicon.HEDGES.__contains__, said)) + phrases(joined, lexicon.HEDGING),
        sum(map(lexicon.BOOSTERS.__contains__, said)) + phrases(joined, lexicon.BOOSTING),
        0 if lexicon.PRAISE_WORDS.isdisjoint(distinct) else len(lexicon.PRAISE.findall(joined)),
        phrases(start, lexicon.AGREEING),
        _names(text, prompt),
        phrases(start, lexicon.REFUSING) > 0,
        len(lexicon.LIST_ITEM.findall(text)) if "\n" in text else 0,
        len(lexicon.HEADING.findall(text)) if "#" in text or "**" in text else 0,
        0 if text.isascii() else len(lexicon.EMOJI.findall(text)),
        text.count("!"),
    )
    return (
        *(value if at < 2 else min(value, _LARGEST) for at, value in enumerate(counts)),
        ending(text, said),
        _LANGUAGE[language(text, said)],
        _marked(text),
        digest(" ".join(said)),
        digest(" ".join(said[:OPENING])),
        len(distinct.difference(asked_words)),
    )


def _names(text: str, prompt: Text) -> int:
    """How often the answer says the name by which the user introduced themselves."""
    asked = prompt if isinstance(prompt, str) else "\n".join(m.content for m in prompt if m.role == "user")
    named = lexicon.NAMED.search(asked) if any(map(asked.__contains__, lexicon.NAMING)) else None
    name = (named.group(1) or named.group(2)) if named else None
    return text.count(name) if name else 0


def _hashed(ids: np.ndarray) -> np.ndarray:
    """Columns of a text's words and pairs of neighbouring words, ascending, each once."""
    pairs = (ids[:-1] * np.uint64(0x9E3779B97F4A7C15) + ids[1:]) >> np.uint64(13)
    return np.unique(np.concatenate([ids, pairs]) % np.uint64(FEATURES)).astype(np.int32)


def _matrix(columns: list[np.ndarray]) -> csr_matrix:
    ends = np.cumsum([0, *map(len, columns)])
    indices = np.concatenate(columns) if columns else np.zeros(0, dtype=np.int32)
    ones = np.ones(len(indices), dtype=np.float32)
    return csr_matrix((ones, indices, ends), shape=(len(columns), FEATURES))
