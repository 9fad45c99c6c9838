"""docs/data-formats.md is true: its examples are read as the format they stand under, its bad rows give its reasons."""

import re
from pathlib import Path

import pytest

from pairwright.reading import read
from pairwright.reading.recognition import FORMATS
from pairwright.records import Preference

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data-formats.md").read_text(encoding="utf-8")
GOOD = '{"prompt": "Question?", "chosen": "Yes.", "rejected": "No."}\n'
SECTIONS = dict(re.findall(r"^### `([a-z-]+)`\n(.*?)(?=^##|\Z)", PAGE, flags=re.M | re.S))
EXAMPLES = [
    (name, example) for name, text in SECTIONS.items() for example in re.findall(r"```json\n(.*?)```", text, flags=re.S)
]
REASONS = re.findall(r"^\| `(.*?)` \| ([^|]*) \|$", PAGE.partition("## Bad rows")[2].partition("\n## ")[0], flags=re.M)


def test_every_format_has_a_section_with_an_example():
    assert set(SECTIONS) == {format.name for format in FORMATS}
    assert {name for name, _ in EXAMPLES} == set(SECTIONS)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_are_read_as_the_format_they_stand_under(tmp_path, name, example):
    (tmp_path / "a.jsonl").write_text(example, encoding="utf-8")
    kind = next(format.kind for format in FORMATS if format.name == name)
    report = read(str(tmp_path / "a.jsonl"), kind)
    assert (report.format, len(report.records), report.quarantined) == (name, 1, [])
    assert not any("not used" in note for note in report.notes)


def test_the_example_without_a_prompt(tmp_path):
    example = next(example for _, example in EXAMPLES if "2+2" in example)
    (tmp_path / "a.jsonl").write_text(example)
    assert read(str(tmp_path / "a.jsonl"), Preference).records[0].prompt == "Q: 2+2? A: It is"


@pytest.mark.parametrize(("row", "reason"), REASONS)
def test_bad_rows_give_the_reasons_on_the_page(tmp_path, row, reason):
    (tmp_path / "a.jsonl").write_text(GOOD * 3 + row)
    report = read(str(tmp_path / "a.jsonl"), Preference)
    assert [(aside.source.line, aside.reason) for aside in report.quarantined] == [(4, reason)]


def test_reasons_were_found():
    assert len(REASONS) == 19


def test_the_quarantine_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = b'{"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}\n'
    Path("pairs.jsonl").write_bytes(good + good + b'{\xff}\n{"prompt": "\n')
    read("pairs.jsonl", Preference, quarantine=Path("q.jsonl"))
    assert Path("q.jsonl").read_text() == re.search(r"```quarantine\n(.*?)```", PAGE, flags=re.S)[1]


def test_the_python_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("pairs.jsonl").write_text(GOOD)
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, flags=re.S)[1], names)
    assert names["first"].chosen == "Yes."
    assert capsys.readouterr().out.startswith("1 rows read = 1 kept + 0 quarantined + 0 dropped\n")
