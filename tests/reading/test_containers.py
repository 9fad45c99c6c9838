"""Every kind of file, folders, and the hub (stood in for by a function; nothing here needs a network)."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.errors import DataError, FormatError
from pairwright.reading import read
from pairwright.records import Demonstration, Message, Preference

ROW = {"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}
LINE = json.dumps(ROW)
SAID = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
HI, HELLO = Message("user", "Hi"), Message("assistant", "Hello")


def put(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def set_aside(report):
    return [(row.source.line, row.offset, row.raw, row.reason) for row in report.quarantined]


# .json


def test_an_array_over_many_lines(tmp_path):
    """`line` is the row of the array; bytes and offset are those of the object itself, indentation included."""
    bad = b'{\n  "prompt": "\xff",\n  "chosen": NaN\n }'
    twice = b'{"prompt": "a", "prompt": "b"}'
    path = put(
        tmp_path,
        "a.json",
        b"\n[ " + LINE.encode() + b",\n " + bad + b" , 7,\n" + twice + b"\n, " + LINE.encode() + b"]\n",
    )
    report = read(path, Preference)
    assert [record.source.line for record in report.records] == [1, 5]
    assert set_aside(report) == [
        (2, 59, bad, "invalid UTF-8: byte 0xff at byte 16 of the row (invalid start byte)"),
        (3, 99, b"7", "the row is a number (7), an object with columns is expected"),
        (4, 102, twice, 'duplicate key "prompt": which value is meant is unknown'),
    ]


def test_json_lines_under_the_name_json(tmp_path):
    report = read(put(tmp_path, "a.json", f"{LINE}\n{LINE[:20]}\n{LINE}"), Preference)
    assert ([record.source.line for record in report.records], len(report.quarantined)) == ([1, 3], 1)
    assert any("holds no array, read as JSON lines" in note for note in report.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[{LINE},\n{LINE}", r"breaks at row 2 \(line 2, column 54\): the reader ends where it must not"),
        (f"[{LINE},\n{LINE[:30]}]", r"breaks at row 2 \(line 2, column 28\)"),
        (f"[{LINE}\n{LINE}]", r"breaks at row 1 \(line 2, column 1\): the reader finds .* where it must not"),
        (f"[{LINE}] {LINE}", r"breaks at row 1 \(line 1, column 57\)"),
        ("[" * 100_000, "breaks at row 1"),
        (json.dumps({"data": [ROW]}, indent=1), "starts with an object that runs over several lines"),
    ],
)
def test_a_broken_array_says_where(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(put(tmp_path, "a.json", text), Preference)


# .csv


def test_csv_lines_offsets_and_bytes(tmp_path):
    r"""Row 2 runs over lines 3 and 4; line 5 is blank; lines 6, 7 and 8 are bad.

    Bytes: header 22 with its line end, "Hi,Hello,Go" 13, row 2 15 + 13, blank 2, "a,b" 5: offsets 22, 35, 63, 65, 70.
    """
    text = b'prompt,chosen,rejected\r\nHi,Hello,Go\r\n"Two\r\nlines","a, ""b""",c\r\n\r\n'
    text += b'a,b\r\nX\xff,b,c\r\nd,"e"f,g\r\nh,i,j'
    report = read(put(tmp_path, "a.csv", text), Preference)
    assert [(r.source.line, r.prompt, r.chosen) for r in report.records] == [
        (2, "Hi", "Hello"),
        (3, "Two\r\nlines", 'a, "b"'),
        (9, "h", "i"),
    ]
    assert report.dropped == {"blank line": 1}
    assert [(line, text[at : at + len(raw)] == raw, raw, reason) for line, at, raw, reason in set_aside(report)] == [
        (6, True, b"a,b", "2 cells, the header has 3; is a comma or a quote missing?"),
        (7, True, b"X\xff,b,c", "invalid UTF-8: byte 0xff at byte 2 of the row (invalid start byte)"),
        (8, True, b'd,"e"f,g', "not CSV: ',' expected after '\"'"),
    ]
    report.check()


def test_csv_cells_with_json_numbers_and_nothing(tmp_path):
    cell = json.dumps(SAID).replace('"', '""')
    text = f'messages,weight,tools\n"{cell}",0.5,\n"{cell}",,\n"{cell}",much,\n"[{{""role"": 1",1,\n'
    report = read(put(tmp_path, "a.csv", text), Demonstration)
    assert [(r.prompt, r.completion, r.weight, r.tools) for r in report.records] == [
        ((HI,), (HELLO,), 0.5, None),
        ((HI,), (HELLO,), 1.0, None),
    ]
    assert [row.reason for row in report.quarantined] == [
        "column 'weight' holds text (\"much\"), a number expected",
        'column \'messages\' holds text ("[{\\"role\\": 1"), a list of messages expected',
    ]


def test_csv_text_that_looks_like_json_stays_text(tmp_path):
    report = read(put(tmp_path, "a.csv", 'prompt,chosen,rejected\nlist?,[1],"[""a""]"\n'), Preference)
    assert (report.records[0].chosen, report.records[0].rejected) == ("[1]", '["a"]')


def test_csv_cells_longer_than_the_csv_modules_own_limit(tmp_path):
    report = read(put(tmp_path, "a.csv", f"prompt,chosen,rejected\nHi,{'long ' * 60_000},short\n"), Preference)
    assert len(report.records[0].chosen) == 300_000


def test_csv_quote_that_is_never_closed(tmp_path):
    report = read(put(tmp_path, "a.csv", 'prompt,chosen,rejected\nHi,Hello,Go\na,"b,c\nd,e,f\n'), Preference)
    assert set_aside(report) == [(3, 35, b'a,"b,c\nd,e,f', "not CSV: unexpected end of data")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt;chosen;rejected\na;b;c\n", "the header is separated by ';'. Write the file with commas"),
        ("prompt,chosen,chosen\na,b,c\n", "two columns are named 'chosen'"),
        ("\nprompt,chosen\n", "line 1 is no header"),
        ("", "no rows in this file"),
        ("prompt,chosen,rejected\n", "no rows in this file"),
    ],
)
def test_csv_headers_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(put(tmp_path, "a.csv", text), Preference)


# .parquet


def test_parquet(tmp_path):
    """Arrow gives every message the keys of all messages, with null: these come off again."""
    tool = [{"role": "tool", "content": "12:00", "name": "clock"}]
    rows = [
        {"prompt": SAID[:1], "chosen": SAID[1:], "rejected": [{"role": "assistant", "content": "Go"}], "margin": 1.5},
        {"prompt": SAID[:1] + tool, "chosen": SAID[1:], "rejected": [], "margin": None},
        {"prompt": SAID[:1] + tool, "chosen": SAID[1:], "rejected": None, "margin": float("nan")},
        {"prompt": SAID[:1] + tool, "chosen": SAID[1:], "rejected": rejected(), "margin": float("nan")},
        {"prompt": SAID[:1] + tool, "chosen": SAID[1:], "rejected": rejected(), "margin": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    report = read(str(tmp_path / "a.parquet"), Preference)
    assert [(r.source.line, r.prompt, r.margin) for r in report.records] == [
        (1, (HI,), 1.5),
        (5, (HI, Message("tool", "12:00", {"name": "clock"})), None),
    ]
    assert [(line, at, reason) for line, at, _, reason in set_aside(report)] == [
        (2, None, "column 'rejected' is an empty list of messages"),
        (3, None, "column 'rejected' is null, text or messages expected"),
        (4, None, "column 'margin' is nan, a finite number expected"),
    ]
    assert json.loads(report.quarantined[0].raw)["rejected"] == []


def test_tool_schemas_of_different_shape_in_parquet_keep_only_their_own_keys(tmp_path):
    tools = [{"name": "clock", "zone": {"type": "string"}}, {"name": "dice", "sides": {"type": "integer", "min": 2}}]
    pq.write_table(pa.Table.from_pylist([{**ROW, "tools": tools}]), tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet"), Preference).records[0].tools == tuple(tools)


def rejected():
    return [{"role": "assistant", "content": "Go"}]


def test_a_file_that_is_no_parquet(tmp_path):
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        read(put(tmp_path, "a.parquet", "PAR1 nothing"), Preference)


# folders


def test_a_folder(tmp_path):
    put(tmp_path, "b.jsonl", f"{LINE}\n{{\n")
    put(tmp_path, "a.csv", "prompt,completion\n1,2\n")
    put(tmp_path, "c.jsonl", "")
    put(tmp_path, "README.md", "# data")
    put(tmp_path, "q.jsonl", '{"file": "x", "line": 1, "offset": 0, "reason": "y", "raw": "z"}\n')
    (tmp_path / "more").mkdir()
    report = read(str(tmp_path), Demonstration, quarantine=tmp_path / "q.jsonl")
    assert report.files == [str(tmp_path / name) for name in ("a.csv", "b.jsonl", "c.jsonl")]
    assert [str(record.source) for record in report.records] == [f"{tmp_path}/a.csv:2", f"{tmp_path}/b.jsonl:1"]
    assert report.format == "prompt-completion, trl-preference"
    assert f"{tmp_path}: not read, type unknown: README.md, more/" in report.notes
    assert f"{tmp_path / 'q.jsonl'}: the quarantine file, not read as data" in report.notes
    assert f"{tmp_path / 'c.jsonl'}: empty" in report.notes
    assert [str(row.source) for row in report.quarantined] == [f"{tmp_path}/b.jsonl:2"]


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"no file of a known type \(.jsonl, .jsonl.gz, .json, .csv, .parquet\)"):
        read(str(tmp_path), Preference)
    put(tmp_path, "a.jsonl", '{"question": "a"}\n')
    with pytest.raises(FormatError, match=r"a\.jsonl: the columns question fit no format"):
        read(str(tmp_path), Preference)
    datasets.Dataset.from_list([ROW]).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="a data set saved by save_to_disk"):
        read(str(tmp_path / "saved"), Preference)


# any bytes

PIECES = [
    LINE,
    "prompt,chosen,rejected\n",
    "Hi,Hello,Go\n",
    '"',
    "[",
    "]",
    ",",
    "\n",
    "\r\n",
    "{}",
    "\ufeff",
    "\x00",
    "1e999",
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(PIECES).map(str.encode), st.binary(max_size=6)), max_size=12))
def test_any_bytes_are_accounted_for_or_refused_by_name(tmp_path_factory, name, parts):
    path = tmp_path_factory.getbasetemp() / name
    data = b"".join(parts)
    path.write_bytes(data)
    try:
        report = read(str(path), Preference, format="trl-preference")
    except DataError:
        return
    report.check()
    assert all(data[row.offset : row.offset + len(row.raw)] == row.raw for row in report.quarantined)


# paths and hub ids


def test_paths_that_lead_nowhere(tmp_path):
    put(tmp_path, "pairs.jsonl", LINE)
    with pytest.raises(DataError) as caught:
        read(str(tmp_path / "pair.jsonl"), Preference)
    assert str(caught.value) == (f"{tmp_path}/pair.jsonl: no such file or folder. Did you mean {tmp_path}/pairs.jsonl?")
    with pytest.raises(DataError, match=f"There is no folder {tmp_path}/no either"):
        read(str(tmp_path / "no" / "pairs.jsonl"), Preference)
    with pytest.raises(DataError, match=r"no such file or folder\..*named OWNER/NAME"):
        read("pairs-of-nobody", Preference)
    with pytest.raises(DataError, match=r"a\.txt: unknown type of file\. Known: \.jsonl, \.jsonl\.gz"):
        read(put(tmp_path, "a.txt", LINE), Preference)


def test_a_hub_data_set(monkeypatch):
    asked = []

    def load_dataset(name, split):
        asked.append((name, split))
        return datasets.Dataset.from_list([ROW, {**ROW, "chosen": None}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    report = read("somebody/pairs", Preference, split="test")
    assert asked == [("somebody/pairs", "test")]
    assert [str(record.source) for record in report.records] == ["somebody/pairs:1"]
    assert set_aside(report) == [
        (
            2,
            None,
            b'{"prompt": "Hi", "chosen": null, "rejected": "Go"}',
            "column 'chosen' is null, text or messages expected",
        )
    ]
    assert report.files == ["somebody/pairs"]


def test_a_hub_that_cannot_be_reached(monkeypatch):
    def load_dataset(name, split):
        raise ConnectionError("Couldn't reach the hub\nlong story")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError) as caught:
        read("somebody/pairs", Preference)
    assert str(caught.value) == (
        "somebody/pairs: no such file or folder here, and as a data set of the hub (split 'train') it cannot be "
        "loaded: Couldn't reach the hub. Check the name, the split and the connection, or download it and give the "
        "file. There is no folder somebody either."
    )


@pytest.mark.parametrize("path", ["data/pairs.jsonl", "./pairs", "a/b/c", "../pairs"])
def test_missing_paths_are_not_looked_up_on_the_hub(monkeypatch, path):
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: pytest.fail("asked the hub"))
    with pytest.raises(DataError, match="no such file or folder"):
        read(path, Preference)
