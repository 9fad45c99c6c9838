"""What is written in a format and read again is the same record; what a format cannot hold is refused with a reason."""

import dataclasses
import json

import pytest

from pairwright.reading import read
from pairwright.reading.recognition import FORMATS
from pairwright.reading.rows import RowError
from pairwright.reading.writing import WRITERS, pairs
from pairwright.records import Comparison, Demonstration, Message, Preference, Ranking, Rating, Source, Steps, Vote

HERE = Source("x", 1)


def user(text):
    return Message("user", text)


def says(text, **extra):
    return (Message("assistant", text, extra),)


TURNS = (user("Hi"), *says("Hello!"), user("Is it far? ü 🙂"))
SYSTEM = (Message("system", "Be brief."), user("Is it\nfar?"))
TOOLS = ({"type": "function", "function": {"name": "look"}},)
VOTES = (Vote(0, "ann", "says how far", (1, 0)), Vote(0, "bo", dimension="helpful", seconds=3.5), Vote(None, "cy"))

TEXT = Preference(
    "Q: far?\nA:", " Two miles.", " No idea.", HERE, 2.0, 0.5, label=0.75, score_chosen=4, score_rejected=1
)
PAIRS = [
    Preference((user("Far?"),), says("Two miles."), says("No."), HERE),
    Preference(TURNS, says("Two miles."), says("No."), HERE, 0.5, tools=TOOLS, template_kwargs={"think": True}),
    Preference(SYSTEM, says("Two."), (*says("What?"), user("I said far"), *says("No.")), HERE, margin=1.5, label=0.75),
    Preference((user("Go"),), says("", tool_calls=[{"id": "1"}]), says("No."), HERE, score_chosen=3, score_rejected=1),
]
RATED = Preference((user("Far?"),), says("Two."), says("No."), HERE, score_chosen=3.0, score_rejected=1.0)
VOTED = Preference((user("Far?"),), says("Two."), says("No."), HERE, label=0.875, votes=VOTES)
ORDERED = Ranking(
    (user("Far?"),),
    (says("b"), says("a"), says("c")),
    (Comparison(1, 0), Comparison(0, 2, 0.5), Comparison(1, 2)),
    HERE,
)
SCORED = Ranking(
    SYSTEM, (says("b"), says("a"), says("c")), (Comparison(1, 0), Comparison(0, 2), Comparison(1, 2)), HERE,
    scores=(2.0, 3.0, 1.0),
)  # fmt: skip
PLAIN_SCORED = dataclasses.replace(SCORED, prompt=(user("Far?"),))
RATINGS = [Rating(TURNS, says("Two."), True, HERE, 2.0), Rating("Far?", " No.", False, HERE)]
DEMONSTRATIONS = [
    Demonstration(SYSTEM, says("Two."), HERE, 2.0),
    Demonstration((user("Far?"),), (*says("Two."), user("And back?"), *says("Four.")), HERE),
]
EARLIER = Demonstration(TURNS, says("Two."), HERE)
STEPS = [
    Steps("2+2*2?", "First 2*2.\n", "It is 4.\n", "It is 8.\n", HERE),
    Steps((user("2+2?"),), "", "Add.", "No.", HERE),
]

TRIPS = {
    "trl-preference": (Preference, [TEXT], *([each] for each in PAIRS)),
    "openai-preference": (Preference, *([each] for each in PAIRS)),
    "hh-rlhf": (Preference, [PAIRS[0]], [dataclasses.replace(PAIRS[1], weight=1.0)]),
    "sharegpt-preference": (Preference, PAIRS[:2], [PAIRS[2]]),
    "messages-preference": (Preference, PAIRS[:2], [PAIRS[2]]),
    "alpaca-preference": (
        Preference,
        [dataclasses.replace(PAIRS[1], prompt=TURNS)],
        [dataclasses.replace(RATED, prompt=SYSTEM)],
    ),
    "annotated": (Ranking, [VOTED]),
    "completions": (Ranking, [RATED], [ORDERED], [SCORED], [PAIRS[0]]),
    "ultrafeedback": (Ranking, [RATED], [PLAIN_SCORED]),
    "vertex": (Ranking, [RATED], [SCORED]),
    "labelled": (Rating, [RATINGS[0]], [RATINGS[1]]),
    "prompt-completion": (Demonstration, DEMONSTRATIONS, [EARLIER], [Demonstration("", "Once.", HERE)]),
    "messages": (Demonstration, DEMONSTRATIONS, [EARLIER]),
    "sharegpt": (Demonstration, [DEMONSTRATIONS[1]]),
    "alpaca": (Demonstration, [DEMONSTRATIONS[0], EARLIER]),
    "steps": (Steps, [STEPS[0]], [STEPS[1]]),
    "step-dpo": (Steps, [STEPS[0]], [STEPS[1]]),
}
"""Writer -> the kind to read as, and files of records."""
CIRCLE = (Comparison(0, 1), Comparison(1, 2), Comparison(2, 0))
CASES = [(name, at) for name, (_, *files) in TRIPS.items() for at in range(len(files))]


def trip(name, records, tmp_path):
    kind = TRIPS[name][0]
    path = tmp_path / "written.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for record in records for row in WRITERS[name].rows(record)))
    report = read(str(path), kind)
    assert report.format == name and not report.quarantined
    return [dataclasses.replace(record, source=HERE) for record in report.records]


@pytest.mark.parametrize(("name", "at"), CASES)
def test_round_trip(name, at, tmp_path):
    records = TRIPS[name][1 + at]
    assert trip(name, records, tmp_path) == records


def test_every_format_is_written_but_those_that_are_said():
    assert {format.name for format in FORMATS} - WRITERS.keys() == {"qa-feedback", "labelled-messages", "text"}
    assert WRITERS.keys() == TRIPS.keys()


def test_text_becomes_messages():
    (row,) = WRITERS["openai-preference"].rows(Preference("Far?", "Two.", "No.", HERE))
    assert row["input"] == {"messages": [{"role": "user", "content": "Far?"}]}
    assert row["preferred_output"] == [{"role": "assistant", "content": "Two."}]


def test_a_ranking_makes_pairs_of_its_comparisons_but_ties():
    made = [(pair.chosen, pair.rejected) for pair in pairs(ORDERED)]
    assert made == [(says("a"), says("b")), (says("a"), says("c"))]


def test_a_pair_makes_two_labelled_answers():
    rows = list(WRITERS["labelled"].rows(PAIRS[0]))
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [("Two miles.", True), ("No.", False)]


@pytest.mark.parametrize(
    ("name", "record", "reason"),
    [
        ("hh-rlhf", PAIRS[2], "role system"),
        ("hh-rlhf", PAIRS[3], "tool_calls"),
        ("hh-rlhf", Preference((user("a\n\nHuman: b"),), says("c"), says("d"), HERE), "would part there"),
        ("alpaca-preference", PAIRS[2], "several turns"),
        ("ultrafeedback", PAIRS[0], "rated answers"),
        ("annotated", PAIRS[0], "no votes"),
        ("completions", VOTED, "chosen_probability"),
        ("completions", dataclasses.replace(ORDERED, comparisons=CIRCLE), "circle"),
        ("completions", dataclasses.replace(ORDERED, comparisons=(Comparison(0, 1),)), "missing"),
        ("vertex", PAIRS[3], "several turns|no place"),
        ("sharegpt", EARLIER, "not to be learned from"),
        ("openai-preference", Preference("", "a", "b", HERE), "no prompt"),
    ],
)  # fmt: skip
def test_refusals(name, record, reason):
    with pytest.raises(RowError, match=reason):
        list(WRITERS[name].rows(record))
