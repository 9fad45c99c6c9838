"""The JSON-lines reader against any bytes: exact lines, offsets and bytes; nothing lost, nothing read twice."""

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.errors import DataError
from pairwright.reading import read
from pairwright.reading.jsonl import read_jsonl
from pairwright.reading.rows import BLANK
from pairwright.records import Preference

GOOD = b'{"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}'
ENDS = (b"\n", b"\r\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jsonl")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.just(GOOD),
                st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b" ")),
                st.text(max_size=20).map(
                    lambda text: json.dumps({"prompt": text, "chosen": "a", "rejected": "b"}).encode()
                ),
                st.integers(0, len(GOOD)).map(lambda at: GOOD[:at]),
                st.sampled_from([b"", b" \t", b"{}", b"[]", b"null", b"\xef\xbb\xbf", b'"\\ud800"', b"{}{}"]),
            ),
            st.sampled_from(ENDS),
        ),
        max_size=30,
    ),
    st.booleans(),
    st.booleans(),
)
def test_any_lines_are_accounted_for(folder, lines, bom, last_end):
    """The file is made here, so lines, offsets and bytes are compared with what it is made of."""
    lines = [(GOOD, b"\n"), *lines]  # a first good row, so that random bytes are no UTF-16 or gzip file
    if not last_end:
        lines[-1] = (lines[-1][0], b"")
        if not lines[-1][0]:
            lines.pop()
    data = b"\xef\xbb\xbf" if bom else b""
    expected = []
    for number, (body, end) in enumerate(lines, start=1):
        # A carriage return that ends a line belongs to the line end, whoever wrote it.
        expected.append((number, len(data), body[:-1] if end == b"\n" and body.endswith(b"\r") else body))
        data += body + end
    path = folder / "any.jsonl"
    path.write_bytes(data)
    assert [(row.line, row.offset, row.raw) for row in read_jsonl(path, [])] == expected
    assert all((row.value is None) == bool(row.reason) for row in read_jsonl(path, []))

    report = read(str(path), Preference)
    report.check()
    assert report.read == len(expected)
    lines_met = [record.source.line for record in report.records] + [row.source.line for row in report.quarantined]
    assert len(set(lines_met)) == len(lines_met)
    blank = [number for number, _, body in expected if not body.strip(b" \t\r")]
    assert report.dropped == ({BLANK: len(blank)} if blank else {})
    assert sorted(lines_met + blank) == list(range(1, len(expected) + 1))
    assert all(row.raw == data[row.offset : row.offset + len(row.raw)] for row in report.quarantined)


def test_blank_lines_keep_the_numbers_physical(tmp_path):
    """Lines 2, 4 and 5 are blank; the good rows are on 1, 3 and 6."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\n\n" + GOOD + b"\n  \t\n\r\n" + GOOD + b"\n")
    report = read(str(path), Preference)
    assert [record.source.line for record in report.records] == [1, 3, 6]
    assert report.dropped == {"blank line": 3}
    assert report.lines()[0] == "6 rows read = 3 kept + 0 quarantined + 3 dropped (3 blank line)"


def test_line_separators_inside_a_text_end_no_line(tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"prompt": "a\u2028b\u2029c\x85d\x0be", "chosen": "f", "rejected": "g"}
    path.write_bytes(json.dumps(row, ensure_ascii=False).replace("\x0b", "\\u000b").encode() + b"\n" + GOOD)
    report = read(str(path), Preference)
    assert [record.prompt for record in report.records] == ["a\u2028b\u2029c\x85d\x0be", "Hi"]


def test_byte_order_mark_and_crlf_are_said(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n" + GOOD)
    report = read(str(path), Preference)
    assert [record.source.line for record in report.records] == [1, 2]
    assert set(report.notes) >= {
        f"{path}: byte order mark at the start skipped",
        f"{path}: lines end in CRLF (Windows), read as line ends",
    }


def test_a_line_over_the_limit_is_set_aside_in_bounded_memory(tmp_path):
    """Limit 1,000: line 2 holds exactly 1,000 bytes and is parsed; line 3, of 30 MB, is not kept in memory."""
    exact = b'{"a": "' + b"x" * 991 + b'"}'
    assert len(exact) == 1000
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\r\n" + exact + b"\r\n" + b"y" * 30_000_000 + b"\n" + GOOD)
    tracemalloc.start()
    rows = list(read_jsonl(path, [], max_row=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000
    assert [(row.line, row.offset) for row in rows] == [(1, 0), (2, 55), (3, 1057), (4, 30_001_058)]
    assert rows[1].value == {"a": "x" * 991}
    assert rows[2].raw == b"y" * 1002
    assert rows[2].reason.startswith("the line is 30,000,001 bytes long, over the limit of 1,000; only its first 1,002")
    assert rows[3].value == json.loads(GOOD)


def test_reading_streams(tmp_path):
    """50 MB of rows pass through with less than 6 MB in memory."""
    path = tmp_path / "a.jsonl"
    row = json.dumps({"text": "x" * 100_000}).encode() + b"\n"
    with path.open("wb") as file:
        file.writelines(row for _ in range(500))
    tracemalloc.start()
    assert sum(1 for _ in read_jsonl(path, [])) == 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


def test_a_gzip_file_that_breaks_off_names_the_last_line(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    rows = b"".join(
        json.dumps({"text": f"{number} {hash(number * 7919) % 10**9}"}).encode() + b"\n" for number in range(9000)
    )
    whole = gzip.compress(rows)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: cannot be read past line \d{4} \(Compressed file ended"):
        list(read_jsonl(path, []))
    path.write_bytes(whole[:-8] + b"\0" * 8)
    with pytest.raises(DataError, match=r"cannot be read past line \d+ \(CRC check failed"):
        list(read_jsonl(path, []))


def test_files_that_are_no_lines_of_utf8(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(GOOD))
    with pytest.raises(DataError, match=r"is gzip data, but its name does not end in \.gz\. Rename it\."):
        read(str(tmp_path / "a.jsonl"), Preference)
    (tmp_path / "a.jsonl.gz").write_bytes(GOOD)
    with pytest.raises(DataError, match=r"is no gzip data, but its name ends in \.gz\. Rename it\."):
        read(str(tmp_path / "a.jsonl.gz"), Preference)
    (tmp_path / "b.jsonl").write_bytes(GOOD.decode().encode("utf-16"))
    with pytest.raises(DataError, match=r"this file is UTF-16\. Convert it: iconv"):
        read(str(tmp_path / "b.jsonl"), Preference)
