"""Task phrases of the miniature, and the split that each belongs to.

The split is by the phrase's hash, so that no task of one split ever stands in the other, in any wording.
"""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from pairwright.miniature import words

SPLITS = ("train", "unseen")


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: a pattern, and the person whose name fills it, if any."""

    pattern: str
    person: str = ""

    @property
    def text(self) -> str:
        return self.pattern.replace("{p}", self.person)


def split_of(task: str) -> str:
    """One task phrase in five is unseen."""
    return SPLITS[hashlib.sha256(task.encode()).digest()[0] % 5 == 0]


def in_split(rng: random.Random, split: str, draw_task: Callable[[random.Random], Task]) -> Task:
    while True:
        task = draw_task(rng)
        if split_of(task.text) == split:
            return task


def harmless_task(rng: random.Random) -> Task:
    roll = rng.random()
    if roll < 0.22:
        return _finished(rng, rng.choice(words.PERSON_TASKS))
    if roll < 0.36:
        return _finished(rng, rng.choice(words.APPOINTMENTS))
    if roll < 0.5:
        return _finished(rng, f"{rng.choice(words.HANDOVER_VERBS)} the {rng.choice(words.HANDOVER_THINGS)} to {{p}}")
    if roll < 0.75:
        return _finished(rng, f"{rng.choice(words.HANDLING_VERBS)} the {rng.choice(words.THINGS)}")
    verb = rng.choice(tuple(words.THING_TASKS))
    return _finished(rng, f"{verb} {rng.choice(words.THING_TASKS[verb].split('|'))}")


def borderline_task(rng: random.Random) -> Task:
    verb = rng.choice(tuple(words.BORDERLINE))
    return _finished(rng, f"{verb} {rng.choice(words.BORDERLINE[verb].split('|'))}")


def event(rng: random.Random) -> Task:
    roll = rng.random()
    if roll < 0.4:
        return _named(rng, rng.choice(words.PERSON_EVENTS))
    if roll < 0.55:
        return Task(_modified(rng, rng.choice(words.EVENTS)))
    return Task(_modified(rng, f"the {rng.choice(words.EVENT_TOPICS)} {rng.choice(words.EVENT_KINDS)}"))


def harmful_patterns(category: str) -> tuple[str, ...]:
    verbs, objects = words.HARMFUL[category]
    if not objects:
        return tuple(verbs.split("|"))
    return tuple(f"{verb} {thing}" for verb in verbs.split("|") for thing in objects.split("|"))


def harmful_task(rng: random.Random) -> Task:
    """Modified after the name alone, so that `is_harmful` knows it again."""
    category = rng.choice(tuple(words.HARMFUL))
    pattern = rng.choice(harmful_patterns(category))
    if rng.random() < 0.5:
        pattern = pattern.replace("{p}'s ", f"{{p}}'s {rng.choice(words.MODIFIERS)} ")
    return _named(rng, _ending(rng, pattern))


def task_of(rng: random.Random, split: str, kind: str) -> Task:
    return in_split(rng, split, borderline_task if kind == "borderline" else harmless_task)


def is_appointment(task: str) -> bool:
    """It needs a time as well as a day."""
    return any(task.startswith(pattern.split("{p}")[0]) for pattern in words.APPOINTMENTS)


def category_of(task: str) -> str | None:
    """The category of the harmful phrase that stands in it, whoever is meant; None where none does."""
    return next((category for category in words.HARMFUL if _phrases(category).search(task)), None)


@cache
def _phrases(category: str) -> re.Pattern[str]:
    escaped = (re.escape(pattern) for pattern in harmful_patterns(category))
    named = (each.replace(r"\{p\}'s\ ", r"\w+'s (?:\w+ )?").replace(r"\{p\}", r"\w+") for each in escaped)
    return re.compile("|".join(named))


def _finished(rng: random.Random, pattern: str) -> Task:
    return _named(rng, _ending(rng, _modified(rng, pattern)))


def _named(rng: random.Random, pattern: str) -> Task:
    return Task(pattern, rng.choice(words.PEOPLE)) if "{p}" in pattern else Task(pattern)


def _modified(rng: random.Random, pattern: str) -> str:
    """In half of the cases a modifier after the first article or name in the possessive."""
    parts = pattern.split()
    place = next((i for i, part in enumerate(parts[:-1]) if part in ("the", "a", "my", "{p}'s")), None)
    if place is None or rng.random() < 0.5:
        return pattern
    return " ".join([*parts[: place + 1], rng.choice(words.MODIFIERS), *parts[place + 1 :]])


def _ending(rng: random.Random, pattern: str) -> str:
    """One task names one person at most."""
    if rng.random() < 0.65:
        return pattern
    endings = [ending for ending in words.ENDINGS if "{p}" not in ending or "{p}" not in pattern]
    return f"{pattern} {rng.choice(endings)}"
