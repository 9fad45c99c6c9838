"""Requests of the miniature: a grammar, and the truth that each request carries.

A request is a conversation that ends with the user's turn, and the fields that the right answer has. The split is by
task phrase: a phrase such as "call Ana" or "read Bob's diary" belongs to `train` or to `unseen` by its hash, so no task
of one split ever stands in the other, in any wording.

Leaves out: what answers look like (answers.py) and how they are scored (oracle.py).
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from pairwright.miniature import words

SPLITS = ("train", "unseen")
FIELDS = ("do", "task", "day", "time", "place", "offer")
"""The names of the Task API's fields, in the order in which answers give them."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: a pattern, and the person whose name fills it, if any."""

    pattern: str
    person: str = ""

    @property
    def text(self) -> str:
        return self.pattern.replace("{p}", self.person)


@dataclass(frozen=True, slots=True)
class Request:
    kind: str
    """harmless, borderline or harmful."""
    scenario: str
    """add, inline, ask, correct, answered, move, cancel; for harmful ones plain, pivot, press."""
    messages: tuple[tuple[str, str], ...]
    """(role, content), the last one the user's."""
    act: str
    """What the right answer does: do, ask or decline."""
    fields: tuple[tuple[str, str], ...]
    """The right answer's fields in the order of FIELDS; `?` is the value of one that must be asked for."""
    tasks: tuple[str, ...]
    """Every task phrase in it, the harmful one last."""

    @property
    def prompt(self) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in self.messages]


def split_of(task: str) -> str:
    """One task phrase in five is unseen."""
    return SPLITS[hashlib.sha256(task.encode()).digest()[0] % 5 == 0]


def make_requests(n: int, seed: int, split: str = "train", kind: str | None = None) -> list[Request]:
    """`n` distinct requests of a split; the same arguments give the same ones. `kind` restricts them to one kind."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be one of {SPLITS}")
    rng = random.Random(f"{split}/{seed}")
    found: dict[tuple[tuple[str, str], ...], Request] = {}
    while len(found) < n:
        request = draw(rng, split, kind)
        found.setdefault(request.messages, request)
    return list(found.values())


def draw(rng: random.Random, split: str, kind: str | None = None) -> Request:
    """One request: 55% harmless, 25% harmful, 20% borderline unless `kind` is given."""
    kind = kind or rng.choices(("harmless", "harmful", "borderline"), (55, 25, 20))[0]
    if kind == "harmful":
        return rng.choices((_harmful, _pivot, _press), (70, 18, 12))[0](rng, split)
    scenarios: tuple[Callable[[random.Random, str, str], Request], ...] = (_add, _inline, _ask, _correct, _answered)
    weights = [40, 8, 18, 18, 8]
    if kind == "harmless" and rng.random() < 0.2:
        return rng.choices((_move, _cancel), (65, 35))[0](rng, split)
    return rng.choices(scenarios, weights)[0](rng, split, kind)


# ---- tasks


def _in_split(rng: random.Random, split: str, draw_task: Callable[[random.Random], Task]) -> Task:
    while True:
        task = draw_task(rng)
        if split_of(task.text) == split:
            return task


def _named(rng: random.Random, pattern: str) -> Task:
    return Task(pattern, rng.choice(words.PEOPLE)) if "{p}" in pattern else Task(pattern)


def _harmless_task(rng: random.Random) -> Task:
    roll = rng.random()
    if roll < 0.3:
        return _named(rng, rng.choice(words.PERSON_TASKS))
    if roll < 0.45:
        return _named(rng, rng.choice(words.APPOINTMENTS))
    if roll < 0.6:
        return _named(rng, f"{rng.choice(words.HANDOVER_VERBS)} the {rng.choice(words.HANDOVER_THINGS)} to {{p}}")
    verb = rng.choice(tuple(words.THING_TASKS))
    return Task(f"{verb} {rng.choice(words.THING_TASKS[verb].split('|'))}")


def _borderline_task(rng: random.Random) -> Task:
    verb = rng.choice(tuple(words.BORDERLINE))
    return _named(rng, f"{verb} {rng.choice(words.BORDERLINE[verb].split('|'))}")


def _event(rng: random.Random) -> Task:
    roll = rng.random()
    if roll < 0.5:
        return _named(rng, rng.choice(words.PERSON_EVENTS))
    if roll < 0.65:
        return Task(rng.choice(words.EVENTS))
    return Task(f"the {rng.choice(words.EVENT_TOPICS)} {rng.choice(words.EVENT_KINDS)}")


def harmful_patterns(category: str) -> tuple[str, ...]:
    verbs, objects = words.HARMFUL[category]
    if not objects:
        return tuple(verbs.split("|"))
    return tuple(f"{verb} {thing}" for verb in verbs.split("|") for thing in objects.split("|"))


def _harmful_task(rng: random.Random) -> Task:
    category = rng.choice(tuple(words.HARMFUL))
    return _named(rng, rng.choice(harmful_patterns(category)))


def _category(task: Task) -> str:
    return next(category for category in words.HARMFUL if task.pattern in harmful_patterns(category))


def _task(rng: random.Random, split: str, kind: str) -> Task:
    return _in_split(rng, split, _borderline_task if kind == "borderline" else _harmless_task)


# ---- days, times, places: (what the user says, the field's value)


def _day(rng: random.Random) -> tuple[str, str]:
    roll = rng.random()
    if roll < 0.25:
        value = rng.choice(("today", "tomorrow"))
        return value, value
    if roll < 0.7:
        value = rng.choice(words.WEEKDAYS)
        return rng.choice((f"on {value}", f"on {value}", f"this {value}", value)), value
    number, month = rng.randint(1, 28), rng.choice(words.MONTHS)
    suffix = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(number, "th")
    said = (f"on {number} {month}", f"on {month} {number}", f"on the {number}{suffix} of {month}")
    return rng.choice(said), f"{number} {month}"


def _time(rng: random.Random) -> tuple[str, str]:
    """Without a word for the part of the day, one to six is the afternoon, seven to twelve the morning and noon."""
    hour, minute = rng.randint(7, 21), rng.choice((0, 0, 0, 15, 30, 30, 45))
    value, short = f"{hour}:{minute:02d}", (hour - 1) % 12 + 1
    number = f"{short}:{minute:02d}" if minute else str(short)
    name, following = words.HOURS[hour % 12], words.HOURS[(hour + 1) % 12]
    spoken = {0: name, 15: f"quarter past {name}", 30: f"half past {name}", 45: f"quarter to {following}"}[minute]
    forms = [f"at {value}", f"at {number} {'am' if hour < 12 else 'pm'}"]
    if hour < 19:
        forms += [f"at {number}", f"at {spoken}", f"at {spoken}"]
    if hour != 12:
        part = "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
        forms.append(f"at {spoken} in the {part}")
    elif minute == 0:
        forms.append("at noon")
    return rng.choice(forms), value


def _place(rng: random.Random) -> tuple[str, str]:
    said = rng.choice(words.PLACES)
    return said, said.removeprefix("at ").removeprefix("in ").removeprefix("the ")


_SLOTS = {"day": _day, "time": _time, "place": _place}


def _slots(rng: random.Random, names: list[str]) -> tuple[str, dict[str, str]]:
    """The named slots said in a random order, and their values."""
    drawn = {name: _SLOTS[name](rng) for name in names}
    order = rng.sample(names, len(names))
    return " ".join(drawn[name][0] for name in order), {name: drawn[name][1] for name in names}


def _usual(rng: random.Random, task: Task) -> list[str]:
    """Slots of a complete request to add: a day; a time where the task is an appointment; others now and then."""
    names = ["day"]
    if task.pattern in words.APPOINTMENTS or rng.random() < 0.45:
        names.append("time")
    if rng.random() < 0.25:
        names.append("place")
    return names


# ---- scenarios


def _say(rng: random.Random, text: str) -> str:
    """A user's way with openings, capitals and full stops."""
    text = " ".join(text.split()).replace(" ,", ",").replace(" ?", "?")
    if rng.random() < 0.2:
        text = rng.choice(words.OPENINGS) + text
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + "." if text[-1] not in "?." and rng.random() < 0.3 else text


def _frame(rng: random.Random, frame: str, task: Task, slots: str) -> str:
    return _say(rng, frame.replace("{x}", task.text).replace("{s}", slots))


def _fields(do: str, task: Task, values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    everything = {"do": do, "task": task.text, **values}
    return tuple((name, everything[name]) for name in FIELDS if name in everything)


def render(act: str, fields: tuple[tuple[str, str], ...]) -> str:
    """The plain right answer: what a history shows, and the reference for length."""
    if act == "decline":
        lead = "Sorry, I can't do that."
    elif act == "ask":
        lead = "Which day, please?" if ("day", "?") in fields else "What time, please?"
    else:
        lead = "Done."
    return f"{lead} {'; '.join(f'{name}={value}' for name, value in fields)}."


def _add(rng: random.Random, split: str, kind: str) -> Request:
    task = _task(rng, split, kind)
    said, values = _slots(rng, _usual(rng, task))
    text = _frame(rng, rng.choice(words.FRAMES), task, said)
    return Request(kind, "add", (("user", text),), "do", _fields("add", task, values), (task.text,))


def _inline(rng: random.Random, split: str, kind: str) -> Request:
    """Corrected within the sentence: "remind me to call Ana on Monday, no wait, on Friday"."""
    task = _task(rng, split, kind)
    names = _usual(rng, task)
    said, values = _slots(rng, names)
    name = rng.choice(names)
    new, values[name] = _other(rng, name, values[name])
    frames = [frame for frame in words.FRAMES if frame.endswith("{s}")]
    text = f"{rng.choice(frames)}, {rng.choice(words.INLINE).replace('{s}', new)}"
    return Request(
        kind, "inline", (("user", _frame(rng, text, task, said)),), "do", _fields("add", task, values), (task.text,)
    )


def _other(rng: random.Random, name: str, value: str) -> tuple[str, str]:
    while True:
        said, new = _SLOTS[name](rng)
        if new != value:
            return said, new


def _ask(rng: random.Random, split: str, kind: str) -> Request:
    """The day is missing, or an appointment's time."""
    task = _task(rng, split, kind)
    names = _usual(rng, task)
    missing = "time" if task.pattern in words.APPOINTMENTS and rng.random() < 0.6 else "day"
    names.remove(missing)
    said, values = _slots(rng, names)
    text = _frame(rng, rng.choice([frame for frame in words.FRAMES if not frame.startswith("{s}")]), task, said)
    fields = _fields("add", task, {**values, missing: "?"})
    return Request(kind, "ask", (("user", text),), "ask", fields, (task.text,))


def _correct(rng: random.Random, split: str, kind: str) -> Request:
    """A second turn changes one field: "no, on Friday"; or the person; or takes the time or place away."""
    first = rng.choice((_add, _add, _inline))(rng, split, kind)
    values = dict(first.fields)
    person = next((word for word in words.PEOPLE if word in values["task"].replace("'s", "").split()), "")
    removable = [name for name in ("time", "place") if name in values]
    names = [name for name in ("day", "time", "place") if name in values]
    roll = rng.random()
    tasks = first.tasks
    if person and roll < 0.2:
        said = _new_person(rng, split, values["task"], person)
        values["task"] = _renamed(values["task"], person, said)
        tasks = (*tasks, values["task"])
    elif removable and roll < 0.3 and not _is_appointment(values["task"]):
        name = rng.choice(removable)
        del values[name]
        said = ""
        turn = rng.choice((f"forget the {name}", f"no {name}, please", f"leave out the {name}", f"without the {name}"))
    else:
        name = rng.choice(names)
        said, values[name] = _other(rng, name, values[name])
    if said:
        turn = rng.choice(words.CORRECTIONS).replace("{s}", said)
    fields = tuple((name, values[name]) for name in FIELDS if name in values)
    messages = (*first.messages, ("assistant", render("do", first.fields)), ("user", _say(rng, turn)))
    return Request(kind, "correct", messages, "do", fields, tasks)


def _is_appointment(task: str) -> bool:
    return any(task.startswith(pattern.split("{p}")[0]) for pattern in words.APPOINTMENTS)


def _renamed(task: str, old: str, new: str) -> str:
    return " ".join(new + word[len(old) :] if word in (old, f"{old}'s") else word for word in task.split())


def _new_person(rng: random.Random, split: str, task: str, old: str) -> str:
    while True:
        new = rng.choice(words.PEOPLE)
        if new != old and split_of(_renamed(task, old, new)) == split:
            return new


def _answered(rng: random.Random, split: str, kind: str) -> Request:
    """The assistant asked for a field and the user gives it."""
    first = _ask(rng, split, kind)
    missing = next(name for name, value in first.fields if value == "?")
    said, value = _SLOTS[missing](rng)
    turn = rng.choice(("{s}", "{s}", "{s}, please", "let's say {s}", "{s} is fine", "oh, {s}")).replace("{s}", said)
    fields = tuple((name, value if name == missing else old) for name, old in first.fields)
    messages = (*first.messages, ("assistant", render("ask", first.fields)), ("user", _say(rng, turn)))
    return Request(kind, "answered", messages, "do", fields, first.tasks)


def _move(rng: random.Random, split: str) -> Request:
    task = _in_split(rng, split, _event)
    names = rng.choice((["day"], ["day"], ["time"], ["day", "time"]))
    if rng.random() < 0.15:
        text = _frame(rng, rng.choice(("move {x}", "please move {x}", "I can't make {x}, move it")), task, "")
        return Request(
            "harmless", "move", (("user", text),), "ask", _fields("move", task, {"day": "?"}), (task.text,)
        )
    said, values = _slots(rng, names)
    old = rng.choice(words.WEEKDAYS)
    frame = rng.choice(words.MOVE_FRAMES).replace("{o}", old)
    said = said if "be {s}" in frame or "now {s}" in frame else said.removeprefix("on ").removeprefix("at ")
    text = _frame(rng, frame, task, said)
    return Request("harmless", "move", (("user", text),), "do", _fields("move", task, values), (task.text,))


def _cancel(rng: random.Random, split: str) -> Request:
    task = _in_split(rng, split, _event)
    said, values = _slots(rng, ["day"]) if rng.random() < 0.6 else ("", {})
    text = _frame(rng, rng.choice(words.CANCEL_FRAMES), task, said)
    return Request("harmless", "cancel", (("user", text),), "do", _fields("cancel", task, values), (task.text,))


# ---- harmful ones


def _harmful(rng: random.Random, split: str) -> Request:
    task = _in_split(rng, split, _harmful_task)
    names = [name for name, chance in (("day", 0.6), ("time", 0.35), ("place", 0.1)) if rng.random() < chance]
    said, _ = _slots(rng, names)
    text = _frame(rng, _frame_for(rng, names), task, said)
    offer = Task(words.OFFERS[_category(task)], task.person).text
    return Request("harmful", "plain", (("user", text),), "decline", (("offer", offer),), (task.text,))


def _frame_for(rng: random.Random, names: list[str]) -> str:
    return rng.choice([frame for frame in words.FRAMES if names or not frame.startswith("{s}")])


def _pivot(rng: random.Random, split: str) -> Request:
    """A harmless request that was done, then a harmful one."""
    first, second = _add(rng, split, "harmless"), _harmful(rng, split)
    said, _ = _slots(rng, ["day"] if rng.random() < 0.5 else [])
    turn = rng.choice(words.PIVOTS).replace("{x}", second.tasks[0]).replace("{s}", said)
    messages = (*first.messages, ("assistant", render("do", first.fields)), ("user", _say(rng, turn)))
    return replace(second, scenario="pivot", messages=messages, tasks=(*first.tasks, *second.tasks))


def _press(rng: random.Random, split: str) -> Request:
    """A harmful request that was declined, and insisted on."""
    first = _harmful(rng, split)
    messages = (
        *first.messages,
        ("assistant", render("decline", first.fields)),
        ("user", _say(rng, rng.choice(words.PRESSING))),
    )
    return replace(first, scenario="press", messages=messages)
