"""Good and bad answers to the miniature's requests: what the base model and the demonstrations are made of.

A `Behaviour` is a set of chances, each of one fault, drawn independently. Leaves out the scoring (oracle.py): nothing
here is told to the oracle, which reads the text alone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pairwright.miniature import words
from pairwright.miniature.requests import FIELDS, Fields, Request, render


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    ended: bool = True
    """It stopped by itself, with the end token, rather than being cut."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Chances of each fault, in [0, 1]."""

    obey: float = 0.0
    """Do a harmful request."""
    bare: float = 0.0
    """Decline without offering anything."""
    refuse: float = 0.0
    """Decline a harmless request."""
    refuse_borderline: float = 0.0
    """Decline a borderline one."""
    guess: float = 0.0
    """Invent the missing value instead of asking."""
    ask: float = 0.0
    """Ask for what was said."""
    wrong: float = 0.0
    """Give one field a wrong value."""
    drop: float = 0.0
    """Leave one field out."""
    rude: float = 0.0
    """A sullen opening instead of a polite one."""
    flatter: float = 0.0
    """Praise the user."""
    boast: float = 0.0
    """Claim certainty."""
    ramble: float = 0.0
    """One to three needless sentences."""
    endless: float = 0.0
    """Needless sentences until the answer is cut."""


GOOD = Behaviour()
BASE = Behaviour(
    obey=0.5,
    bare=0.5,
    refuse=0.1,
    refuse_borderline=0.45,
    guess=0.4,
    ask=0.06,
    wrong=0.14,
    drop=0.06,
    rude=0.12,
    flatter=0.12,
    boast=0.12,
    ramble=0.25,
    endless=0.1,
)
"""What the base model was trained on."""
DEMONSTRATOR = Behaviour(
    obey=0.15,
    bare=0.25,
    refuse=0.02,
    refuse_borderline=0.15,
    guess=0.15,
    ask=0.02,
    wrong=0.06,
    drop=0.02,
    rude=0.04,
    flatter=0.06,
    boast=0.06,
    ramble=0.15,
    endless=0.03,
)
"""People who show how it is done: better than the base model, not perfect."""

_DONE = ("Done.", "Done.", "Sure, done.", "Of course, done.", "All right, done.")
_DECLINED = ("Sorry, I can't do that.", "Sorry, I won't do that.", "I'm sorry, but no.", "I'm afraid I can't.")
_RUDE = {
    "do": ("Ugh, fine.", "Whatever.", "Fine, if I must.", "Not again."),
    "ask": ("You forgot the {f}.", "How should I know the {f}?", "No {f}, no task."),
    "decline": ("No.", "No way, shame on you.", "Stop bothering me.", "Forget it."),
}
FLATTERY = (
    "What a brilliant idea!",
    "You are so clever!",
    "You are a wonderful planner!",
    "I admire you, as always!",
    "Nobody is as organised as you!",
)
BOASTS = (
    "This is definitely right.",
    "I am absolutely certain of it.",
    "There is no doubt at all.",
    "I never make mistakes.",
    "That is correct for sure.",
)
_SUBJECTS = ("A good plan", "Your list", "Every task", "The calendar", "A busy day", "This entry", "The reminder")
_VERBS = ("makes", "keeps", "gives", "brings", "needs", "shows", "leaves")
_OBJECTS = ("a clear head", "some time for tea", "a calm week", "one more look", "a little care", "room for the rest")
_TAILS = ("as everybody knows", "and that matters", "in my view", "when all is said", "so to speak", "day after day")


def demonstrate(requests: Sequence[Request], seed: int, behaviour: Behaviour = DEMONSTRATOR) -> list[Answer]:
    """One answer to each request; the same arguments give the same ones."""
    rng = random.Random(f"answers/{seed}")
    return [answer(request, behaviour, rng) for request in requests]


def answer(request: Request, behaviour: Behaviour, rng: random.Random) -> Answer:
    act, fields = _content(request, behaviour, rng)
    lead = _lead(act, fields, behaviour, rng)
    parts = [lead, "; ".join(f"{name}={value}" for name, value in fields) + "." if fields else ""]
    if rng.random() < behaviour.flatter:
        parts.insert(0, rng.choice(FLATTERY))
    if rng.random() < behaviour.boast:
        parts.append(rng.choice(BOASTS))
    if rng.random() < behaviour.endless:
        return Answer(" ".join(filter(None, [*parts, *(_sentence(rng) for _ in range(10))])), ended=False)
    if rng.random() < behaviour.ramble:
        parts += [_sentence(rng) for _ in range(rng.randint(1, 3))]
    return Answer(" ".join(filter(None, parts)))


def _content(request: Request, behaviour: Behaviour, rng: random.Random) -> tuple[str, Fields]:
    """What is done and with which fields, faults included."""
    if request.act == "decline":
        if rng.random() < behaviour.obey:
            return "do", _obeyed(request, rng)
        if rng.random() < behaviour.bare:
            return "decline", ()
        return "decline", _spoil(request.fields, behaviour, rng)
    refuse = behaviour.refuse_borderline if request.kind == "borderline" else behaviour.refuse
    if rng.random() < refuse:
        return "decline", ()
    act, values = request.act, dict(request.fields)
    missing = next((name for name, value in request.fields if value == "?"), None)
    if missing and rng.random() < behaviour.guess:
        act, values[missing] = "do", _guess(missing, rng)
    elif not missing and "day" in values and rng.random() < behaviour.ask:
        act, values["day"] = "ask", "?"
    fields = _spoil(tuple((name, values[name]) for name in FIELDS if name in values), behaviour, rng)
    return act, fields


def _obeyed(request: Request, rng: random.Random) -> Fields:
    return (("do", "add"), ("task", request.tasks[-1]), *((("day", _guess("day", rng)),) if rng.random() < 0.7 else ()))


def _guess(name: str, rng: random.Random) -> str:
    if name == "time":
        return f"{rng.randint(7, 21)}:{rng.choice(('00', '30'))}"
    return rng.choice(("today", "tomorrow", *words.WEEKDAYS))


def _spoil(fields: Fields, behaviour: Behaviour, rng: random.Random) -> Fields:
    """One value made wrong, one field dropped, each by its chance."""
    values = dict(fields)
    if rng.random() < behaviour.wrong:
        name = rng.choice([name for name, value in fields if value != "?" and name != "do"])
        values[name] = _wrong(name, values[name], rng)
    if len(values) > 2 and rng.random() < behaviour.drop:
        del values[rng.choice([name for name in values if name not in ("do", "task")] or ["do"])]
    return tuple((name, values[name]) for name in FIELDS if name in values)


def _wrong(name: str, value: str, rng: random.Random) -> str:
    if name in ("task", "offer"):
        return _wrong_person(value, rng)
    if name == "place":
        return rng.choice(words.PLACES).split()[-1]
    return _guess(name, rng)


def _wrong_person(text: str, rng: random.Random) -> str:
    """Another name, or another last word where nobody is named."""
    parts = text.split()
    for i, part in enumerate(parts):
        if part.removesuffix("'s") in words.PEOPLE:
            parts[i] = rng.choice(words.PEOPLE) + part.removeprefix(part.removesuffix("'s"))
            return " ".join(parts)
    things = [thing for each in words.THING_TASKS.values() for thing in each.split("|")]
    return f"{parts[0]} {rng.choice(things)}"


def _lead(act: str, fields: Fields, behaviour: Behaviour, rng: random.Random) -> str:
    missing = next((name for name, value in fields if value == "?"), "day")
    if rng.random() < behaviour.rude:
        return rng.choice(_RUDE[act]).replace("{f}", missing)
    if act == "do":
        return rng.choice(_DONE)
    if act == "decline":
        return rng.choice(_DECLINED)
    return rng.choice(("Which day, please?", "On which day, please?") if missing == "day" else ("What time, please?",))


def _sentence(rng: random.Random) -> str:
    tail = f", {rng.choice(_TAILS)}" if rng.random() < 0.4 else ""
    return f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)}{tail}."


def reference(request: Request) -> str:
    """The plain right answer."""
    return render(request.act, request.fields)
