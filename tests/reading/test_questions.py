"""Prompts alone, with every row accounted for."""

import json

import pytest

from pairwright.errors import DataError
from pairwright.reading.questions import read_questions
from pairwright.records import Message


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def test_prompts_keep_their_other_columns(tmp_path):
    path = write(
        tmp_path / "prompts.jsonl",
        [
            {"prompt": "2 + 2?", "solution": "4", "level": 1},
            {"prompt": [{"role": "user", "content": "3 + 3?"}], "solution": "6"},
        ],
    )
    report = read_questions(path)
    assert report.format == "prompts"
    first, second = report.records
    assert (first.record.prompt, first.record.completion, dict(first.columns)) == (
        "2 + 2?",
        "",
        {"solution": "4", "level": 1},
    )
    assert second.record.prompt == (Message("user", "3 + 3?"),) and second.record.completion == ()
    assert str(second.source).endswith("prompts.jsonl:2")


def test_preferences_give_their_prompts(tmp_path):
    row = {
        "chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        "rejected": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no"}],
    }
    (found,) = read_questions(write(tmp_path / "pairs.jsonl", [row])).records
    assert found.record.prompt == (Message("user", "hi"),) and found.record.completion == ()
    assert not found.columns
    (with_prompt,) = read_questions(
        write(tmp_path / "other.jsonl", [{"prompt": "hi", "chosen": " a", "rejected": " b"}])
    ).records
    assert with_prompt.record.completion == "" and dict(with_prompt.columns) == {"chosen": " a", "rejected": " b"}


def test_every_row_is_accounted_for(tmp_path):
    rows = [
        {"prompt": "good?"},
        "",
        "{",
        {"prompt": "  "},
        {"prompt": [{"role": "assistant", "content": "x"}]},
        {"a": 1},
    ]
    aside = tmp_path / "aside.jsonl"
    report = read_questions(write(tmp_path / "prompts.jsonl", rows), quarantine=aside)
    assert (report.read, len(report.records), report.dropped) == (6, 1, {"blank line": 1})
    assert [row.source.line for row in report.quarantined] == [3, 4, 5, 6]
    assert "ends with a turn of role assistant" in report.quarantined[2].reason
    assert len(aside.read_text().splitlines()) == 4


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none of the 2 rows can be used"):
        read_questions(write(tmp_path / "prompts.jsonl", [{"prompt": " "}, {"prompt": ""}]))
