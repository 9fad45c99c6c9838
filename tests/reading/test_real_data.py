"""Files as people have them. They are not part of this repository: the tests are skipped where they are absent."""

from collections import Counter
from pathlib import Path

import pytest

from pairwright.errors import FormatError
from pairwright.reading import read
from pairwright.records import Demonstration, Message, Preference, Ranking, Rating

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")


def test_hh_rlhf():
    """Four of 1,850 pairs hold an empty chosen answer. Two chosen sides part a turn early."""
    report = read(str(DATA / "hh-rlhf-harmless" / "pairs.jsonl.gz"), Preference)
    assert (report.format, report.read, len(report.records), report.dropped) == ("hh-rlhf", 1850, 1846, {})
    assert {row.source.line: row.reason for row in report.quarantined} == dict.fromkeys(
        (87, 517, 926, 1104), "'chosen' holds an empty assistant turn"
    )
    assert Counter((len(r.chosen), len(r.rejected)) for r in report.records) == {(1, 1): 1844, (2, 1): 2}
    assert {record.prompt[-1].role for record in report.records} == {"user"}
    first = report.records[0]
    assert first.prompt[:2] == (
        Message("user", "what are some pranks with a pen i can do?"),
        Message("assistant", "Are you looking for practical joke ideas?"),
    )
    assert first.chosen[0].content.startswith("No, sorry!  All of these involve a pen")


@pytest.mark.parametrize(
    ("name", "kind", "format", "kept"),
    [
        ("llamafactory-demos/dpo_en_demo.json", Preference, "sharegpt-preference", 300),
        ("llamafactory-demos/dpo_en_demo.json", Demonstration, "sharegpt-preference", 300),
        ("llamafactory-demos/v1_dpo_demo.jsonl", Preference, "messages-preference", 10),
        ("llamafactory-demos/v1_sft_demo.jsonl", Demonstration, "messages", 500),
        ("llamafactory-demos/kto_en_demo.json", Rating, "labelled-messages", 300),
        ("llamafactory-demos/identity.json", Demonstration, "alpaca", 91),
        ("fastchat-mtbench/data__dummy_conversation.json", Demonstration, "sharegpt", 500),
    ],
)
def test_files_of_other_families(name, kind, format, kept):
    report = read(str(DATA / name), kind)
    assert (report.format, len(report.records), report.quarantined) == (format, kept, [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("llamafactory-demos/kto_en_demo.json", "answers labelled good or bad"),
        ("gsm8k/train.jsonl", "the columns question, answer fit no format"),
        ("qa-feedback-prefs/dev_feedback.json", "holds qa-feedback, which is pairs or rankings"),
    ],
)
def test_files_that_are_neither(name, message):
    with pytest.raises(FormatError, match=message):
        read(str(DATA / name), Preference)


def test_rankings_of_four():
    """400 questions, four answers and six comparisons each; the ties were counted with a line of jq."""
    report = read(str(DATA / "qa-feedback-prefs/dev_feedback.json"), Ranking)
    assert (report.format, len(report.records), report.quarantined) == ("qa-feedback", 400, [])
    assert {(len(record.answers), len(record.comparisons)) for record in report.records} == {(4, 6)}
    first = report.records[0]
    found = [(c.better, c.worse, c.tied) for c in first.comparisons]  # preference is [0, 1, 2, 1, 0, 2]
    assert found == [(0, 1, True), (0, 2, False), (3, 0, False), (1, 2, False), (1, 3, True), (3, 2, False)]
    assert first.prompt[0].content.endswith("\n\nWhen does bloom by troye sivan come out?")
    assert sum(c.tied for record in report.records for c in record.comparisons) == 296
    assert not any("not used" in note and "prediction" in note for note in report.notes)
