"""The report, the quarantine file, and the conservation law."""

import json

import pytest

from pairwright.errors import ConfigError, DataError, StorageError
from pairwright.reading import ReadReport, read
from pairwright.reading import quarantine as quarantine_file
from pairwright.reading.quarantine import Quarantined
from pairwright.records import Demonstration, Preference, Rating, Source

GOOD = b'{"prompt": "Hi", "chosen": "Hello", "rejected": "Go", "id": 7}'


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(GOOD + b"\n\n{\xff}\n" + GOOD[:30] + b"\n" + b'{"a": "\\u2028\xe2\x80\xa8\t"}\r\n' + GOOD)
    return path


def test_the_quarantine_file_holds_the_rows_byte_for_byte(data, tmp_path):
    """Bytes before the rows: 63 + 1 for lines 1 and 2, + 4 + 31 for the next two."""
    report = read(str(data), Preference, quarantine=tmp_path / "out" / "q.jsonl")
    assert report.quarantine == tmp_path / "out" / "q.jsonl"
    entries = [json.loads(line) for line in report.quarantine.read_text().splitlines()[:2]]
    assert entries == [
        {
            "file": str(data),
            "line": 3,
            "offset": 64,
            "reason": "invalid UTF-8: byte 0xff at byte 2 of the row (invalid start byte)",
            "raw_base64": "e/99",
        },
        {
            "file": str(data),
            "line": 4,
            "offset": 68,
            "reason": "cut off at column 31, before it is closed",
            "raw": GOOD[:30].decode(),
        },
    ]
    kept = quarantine_file.load(report.quarantine)
    assert [row.raw for row in kept] == [b"{\xff}", GOOD[:30], b'{"a": "\\u2028\xe2\x80\xa8\t"}']
    assert kept == report.quarantined


def test_the_quarantine_file_is_only_there_when_needed(data, tmp_path):
    path = tmp_path / "q.jsonl"
    read(str(data), Preference, quarantine=path)
    assert path.exists()
    data.write_bytes(GOOD)
    report = read(str(data), Preference, quarantine=path)
    assert not path.exists()
    assert report.quarantine is None


def test_no_other_file_is_overwritten(data, tmp_path):
    for path in (data, tmp_path / "notes.txt", tmp_path / "binary"):
        before = path.read_bytes() if path.exists() else b"\xff\xfe\x00"
        path.write_bytes(before)
        with pytest.raises(ConfigError, match="exists and is no quarantine file; it is not overwritten"):
            read(str(data), Preference, quarantine=path)
        assert path.read_bytes() == before


def test_a_quarantine_that_cannot_be_written(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the quarantine file cannot be written \(Not a directory|File exists"):
        read(str(data), Preference, quarantine=tmp_path / "file" / "q.jsonl")


@pytest.mark.parametrize(
    "raw", [b"", b'\x00\r\t\\u0041"', "\u2028\U0001f600é".encode(), bytes(range(256)), b"\xed\xa0\x80"]
)
def test_any_bytes_come_back(tmp_path, raw):
    rows = [Quarantined(Source("a \udcff.jsonl", 5), None, "why", raw)]
    quarantine_file.write(tmp_path / "q.jsonl", rows)
    assert quarantine_file.load(tmp_path / "q.jsonl") == rows


def test_lines_for_people(data, tmp_path):
    path = tmp_path / "q.jsonl"
    assert read(str(data), Preference, quarantine=path).lines() == [
        "6 rows read = 2 kept + 3 quarantined + 1 dropped (1 blank line)",
        f"  {data}:3: invalid UTF-8: byte 0xff at byte 2 of the row (invalid start byte)",
        f"  {data}:4: cut off at column 31, before it is closed",
        f'  {data}:5: not JSON: invalid control character at column 15, found "\\""',
        f"  all of them, with reasons, in {path}",
        f"{data}: lines end in CRLF (Windows), read as line ends",
        f"{data}: format trl-preference (TRL preference of text), told from the columns",
        "columns not used: id",
    ]


def test_summary_is_ready_for_json(data):
    summary = json.loads(json.dumps(read(str(data), Preference).summary()))
    assert {key: summary[key] for key in ("read", "kept", "quarantined", "dropped", "format", "files")} == {
        "read": 6,
        "kept": 2,
        "quarantined": 3,
        "dropped": {"blank line": 1},
        "format": "trl-preference",
        "files": [str(data)],
    }
    assert summary["reasons"]["cut off at column 31, before it is closed"] == 1


@pytest.fixture
def voted(tmp_path):
    """Five rows of votes and a blank one; the second is a tie, the fourth is bad."""
    rows = [
        {"prompt": "a", "responses": ["b", "c"], "votes": [{"choice": choice} for choice in choices]}
        for choices in ([0], [0, 1], [1, 1], [5], [0, 0, 1])
    ]
    path = tmp_path / "votes.jsonl"
    path.write_text("\n" + "".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_dropped_by_rules_keep_the_law(voted):
    report = read(str(voted), Preference)
    assert [record.label for record in report.records] == [1.0, 0.5, 1.0, pytest.approx(2 / 3)]
    assert report.dropped == {"blank line": 1}
    report.drop("tie", lambda record: record.tied)
    report.drop("doubtful", lambda record: record.label < 1)
    report.drop("never", lambda record: False)
    assert report.lines()[0] == "6 rows read = 2 kept + 1 quarantined + 3 dropped (1 blank line, 1 tie, 1 doubtful)"


@pytest.mark.parametrize("kind", [Demonstration, Rating])
def test_a_tie_has_no_better_side_to_learn_from(voted, kind):
    """One row is set aside, one is a tie, three are read."""
    report = read(str(voted), kind)
    assert report.dropped == {"blank line": 1, "tie": 1} and len(report.records) == 3


def test_nothing_left_by_a_rule_is_said(tmp_path):
    path = tmp_path / "votes.jsonl"
    path.write_text('{"prompt": "a", "responses": ["b", "c"], "votes": [{"choice": "tie"}]}\n\n')
    with pytest.raises(DataError, match=r"no row can be used \(1 tie, 1 blank line\)"):
        read(str(path), Demonstration)


def test_the_law_is_checked():
    with pytest.raises(AssertionError, match="3 read, 1 kept, 0 quarantined, 1 dropped"):
        ReadReport(records=["x"], read=3, dropped={"blank line": 1}).check()


def test_nothing_usable_gives_the_first_three_reasons(tmp_path):
    path, aside = tmp_path / "a.jsonl", tmp_path / "q.jsonl"
    path.write_text("[\n" + '{"prompt": "a", "chosen": "b", "rejected": "b"}\n' * 2 + "]\n")
    with pytest.raises(DataError) as caught:
        read(str(path), Preference, quarantine=aside)
    assert str(caught.value) == (
        f"{path}: none of the 4 rows can be used. The first reasons:\n"
        f"  {path}:1: cut off at column 2, before it is closed\n"
        f"  {path}:2: chosen and rejected are identical\n"
        f"  {path}:3: chosen and rejected are identical\n"
        f"  All rows, with reasons: {aside}"
    )
    assert len(quarantine_file.load(aside)) == 4


@pytest.mark.parametrize(("content", "what"), [("", "no rows"), ("\n \n", "only blank lines")])
def test_empty_files(tmp_path, content, what):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError, match=rf"a\.jsonl: {what} in this file"):
        read(str(tmp_path / "a.jsonl"), Preference)


def test_most_of_the_first_rows_decide_the_type(tmp_path):
    """One row of messages first, then three of text: the odd one is set aside, not the three."""
    said = '{"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "a"}], '
    said += '"rejected": [{"role": "assistant", "content": "b"}]}'
    (tmp_path / "a.jsonl").write_bytes(said.encode() + b"\n" + b"\n".join([GOOD] * 3))
    report = read(str(tmp_path / "a.jsonl"), Preference)
    assert [row.source.line for row in report.quarantined] == [1]
    assert len(report.records) == 3
