"""Clean preference data made of a small vocabulary, and each check's defect planted into it.

Clean: both sides of a pair are drawn alike, every row is its own, every sentence ends. A plant returns the records, and
what else the audit is given (held_out, votes), and the rows that it spoilt.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from pairwright.audit.votes import Item
from pairwright.records import Message, Preference, Source, Vote

NOUNS = [
    "river",
    "garden",
    "window",
    "letter",
    "kitchen",
    "station",
    "market",
    "bridge",
    "mountain",
    "engine",
    "teacher",
    "doctor",
    "village",
    "island",
    "harbour",
    "forest",
    "library",
    "museum",
    "ticket",
    "recipe",
    "hammer",
    "blanket",
    "candle",
    "mirror",
    "basket",
    "pillow",
    "saddle",
    "lantern",
    "anchor",
    "compass",
]
VERBS = [
    "opens",
    "closes",
    "carries",
    "follows",
    "watches",
    "mends",
    "paints",
    "builds",
    "finds",
    "leaves",
    "keeps",
    "brings",
    "holds",
    "turns",
    "lifts",
    "cleans",
]
ADJECTIVES = [
    "old",
    "quiet",
    "green",
    "heavy",
    "narrow",
    "bright",
    "broken",
    "wooden",
    "distant",
    "gentle",
    "silver",
    "hollow",
    "early",
    "empty",
    "round",
]
LINKS = ("and is in", "but not for", "when near", "which was by", "or so by", "if not at", "as if on", "while in")


def sentence(rng: random.Random, words: int = 0) -> str:
    """`The old river carries the letter to the harbour.`, twelve words with their own nouns."""
    parts = [f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} {rng.choice(VERBS)} the {rng.choice(NOUNS)}"]
    parts.append(f"{rng.choice(LINKS)} the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}")
    text = " ".join(parts)
    return text[0].upper() + text[1:] + "."


def answer(rng: random.Random) -> str:
    return " ".join(sentence(rng) for _ in range(rng.randint(2, 4)))


def pair(prompt: str, chosen: str, rejected: str, line: int, file: str = "clean.jsonl") -> Preference:
    user, said = (Message("user", prompt),), [(Message("assistant", text),) for text in (chosen, rejected)]
    return Preference(user, said[0], said[1], Source(file, line))


def clean(count: int = 600, seed: int = 0, file: str = "clean.jsonl") -> list[Preference]:
    rng = random.Random(f"clean/{seed}")
    return [
        pair(f"What of this? {sentence(rng)} {sentence(rng)}", answer(rng), answer(rng), line + 1, file)
        for line in range(count)
    ]


def spoilt(rows: list[Preference], share: float, change: Any, seed: int = 1) -> tuple[list[Preference], list[int]]:
    """`change(prompt, chosen, rejected, rng) -> the same three`, done to a share of the rows."""
    rng = random.Random(f"spoil/{seed}")
    at = sorted(rng.sample(range(len(rows)), round(share * len(rows))))
    rows = list(rows)
    for row in at:
        prompt, chosen, rejected = (
            text[-1].content for text in (rows[row].prompt, rows[row].chosen, rows[row].rejected)
        )
        rows[row] = pair(*change(prompt, chosen, rejected, rng), rows[row].source.line, rows[row].source.file)
    return rows, at


def appended(rows: list[Preference], share: float, change: Any) -> tuple[list[Preference], list[int]]:
    """A share of the rows once more at the end, changed."""
    again, at = spoilt(rows, share, change)
    more = [replace(again[row], source=Source(rows[0].source.file, len(rows) + 1 + n)) for n, row in enumerate(at)]
    return [*rows, *more], list(range(len(rows), len(rows) + len(more)))


@dataclass
class Planted:
    records: list[Preference]
    spoilt: list[int] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)


def votes(records: list[Preference], choose: Any, seed: int = 0) -> list[Item]:
    """Three votes on each record; choose(annotator, shown, rng) -> Vote's fields."""
    rng = random.Random(f"votes/{seed}")
    items = []
    for record in records:
        cast = []
        for annotator in ("ann", "bo", "cy"):
            shown = rng.choice(((0, 1), (1, 0)))
            cast.append(Vote(annotator=annotator, shown=shown, **choose(annotator, shown, rng)))
        items.append(Item(record.source, tuple(cast)))
    return items


def agreeing(annotator: str, shown: tuple[int, ...], rng: random.Random) -> dict[str, Any]:
    """Nine of ten votes are for the first response, wherever it was shown."""
    return {"choice": int(rng.random() < 0.05), "seconds": rng.uniform(8, 12)}
