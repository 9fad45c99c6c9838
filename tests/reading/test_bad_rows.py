"""Every kind of bad row, planted: set aside with its line, byte offset, bytes and its own reason; no good row is lost.

In a file of good rows {prompt, chosen, rejected}, all text. Each kind has its exact reason, worked out by hand.
"""

import gzip
import json

import pytest

from pairwright.reading import quarantine as quarantine_file
from pairwright.reading import read
from pairwright.records import Preference

U = '{"role": "user", "content": "Hi"}'
A = '{"role": "assistant", "content": "Hello"}'
B = '{"role": "assistant", "content": "Go away"}'


def trl(prompt='"Hi"', chosen='"Hello"', rejected='"Go away"', more=""):
    """The JSON text of a row, from the JSON texts of its columns."""
    return f'{{"prompt": {prompt}, "chosen": {chosen}, "rejected": {rejected}{more}}}'.encode()


def sides(chosen=A, rejected=B, prompt=U):
    """The same with messages."""
    return trl(f"[{prompt}]", f"[{chosen}]", f"[{rejected}]")


KINDS = {
    # bytes that are no text
    "invalid byte": (
        b'{"prompt": "H\xff"}',
        "invalid UTF-8: byte 0xff at byte 14 of the row (invalid start byte)",
    ),
    "Latin-1": (
        b'{"prompt": "caf\xe9", "chosen": "a", "rejected": "b"}',
        "invalid UTF-8: byte 0xe9 at byte 16 of the row (invalid continuation byte)",
    ),
    "character cut at the end": (
        b'{"prompt": "\xe2\x82',
        "invalid UTF-8: byte 0xe2 at byte 13 of the row (unexpected end of data)",
    ),
    "surrogate as bytes": (
        b'{"prompt": "\xed\xa0\xbd"}',
        "invalid UTF-8: byte 0xed at byte 13 of the row (invalid continuation byte)",
    ),
    # text that is no JSON
    "words": (b"chosen: yes", 'not JSON: expecting value at column 1, found "c"'),
    "zero bytes": (b"\x00\x00\x00", 'not JSON: expecting value at column 1, found "\\u0000"'),
    "single quotes": (
        b"{'prompt': 'Hi'}",
        'not JSON: expecting property name enclosed in double quotes at column 2, found "\'"',
    ),
    "no comma": (b'{"prompt": "Hi" "chosen": 1}', 'not JSON: expecting \',\' delimiter at column 17, found "\\""'),
    "no colon": (b'{"prompt" "Hi"}', 'not JSON: expecting \':\' delimiter at column 11, found "\\""'),
    "Python's None": (b'{"prompt": None}', 'not JSON: expecting value at column 12, found "N"'),
    "a comment": (b'{"prompt": "Hi"} // good', "not JSON: more text after the end of the value at column 18: // good"),
    "tab in a text": (b'{"prompt": "a\tb"}', 'not JSON: invalid control character at column 14, found "b"'),
    "unknown escape": (b'{"prompt": "\\d"}', 'not JSON: invalid \\escape at column 13, found "\\\\"'),
    "two objects": (
        b'{"prompt": "a"} {"prompt": "b"}',
        "two objects on one line, the second at column 17; one line holds one row",
    ),
    "two objects and a comma": (
        b'{"prompt": "a"},{"prompt": "b"}',
        "two objects on one line, the second at column 16; one line holds one row",
    ),
    "array's comma": (b'{"prompt": "a"},', "not JSON: more text after the end of the value at column 16: ,"),
    "cut in a text": (b'{"prompt": "Hi, I wo', "cut off at column 21, before it is closed"),
    "cut after a text": (b'{"prompt": "Hi"', "cut off at column 16, before it is closed"),
    "cut after a colon": (b'{"prompt":', "cut off at column 11, before it is closed"),
    "cut in a word": (b'{"prompt": tru', "cut off at column 15, before it is closed"),
    "cut in an escape": (b'{"prompt": "\\u00', "cut off at column 17, before it is closed"),
    "BOM inside the file": (
        b'\xef\xbb\xbf{"prompt": "Hi"}',
        "a byte order mark (U+FEFF) at column 1, inside the file; were files joined here?",
    ),
    # JSON that is no row
    "NaN": (trl(more=', "margin": NaN'), "NaN is not JSON; leave the column out, or write null"),
    "Infinity": (trl(more=', "margin": -Infinity'), "-Infinity is not JSON; leave the column out, or write null"),
    "number too large": (trl(more=', "margin": 1e999'), "the number 1e999 is too large, it would become infinity"),
    "integer too long": (trl(more=f', "id": {"9" * 5000}'), "an integer with too many digits"),
    "nested too deeply": (b'{"a":' + b"[" * 100_000, "lists or objects nested too deeply for a row of data"),
    "duplicate key": (
        trl(more=', "chosen": "Bye"'),
        'duplicate key "chosen": which value is meant is unknown',
    ),
    "duplicate key in a message": (
        sides(chosen='{"role": "assistant", "content": "a", "content": "b"}'),
        'duplicate key "content": which value is meant is unknown',
    ),
    "half a character": (
        trl(chosen='"good \\ud83d"'),
        "half a surrogate pair (\\ud83d) in column 'chosen': a character was cut in two",
    ),
    "a list": (
        b'["Hi", "Hello", "Go away"]',
        "the row is a list of 3, an object with columns is expected; a file that is one JSON array is named .json",
    ),
    "a text": (b'"Hi"', 'the row is text ("Hi"), an object with columns is expected'),
    "a number": (b"42", "the row is a number (42), an object with columns is expected"),
    "null": (b"null", "the row is null, an object with columns is expected"),
    "a truth value": (b"true", "the row is true (a truth value), an object with columns is expected"),
    # columns
    "no columns": (b"{}", "column 'chosen' is missing, text or messages expected"),
    "missing column": (
        b'{"prompt": "Hi", "chosen": "Hello"}',
        "column 'rejected' is missing, text or messages expected",
    ),
    "null for text": (trl(chosen="null"), "column 'chosen' is null, text or messages expected"),
    "number for text": (trl(chosen="4"), "column 'chosen' holds a number (4), text or a list of messages expected"),
    "truth value for text": (
        trl(rejected="false"),
        "column 'rejected' holds false (a truth value), text or a list of messages expected",
    ),
    "object for text": (
        trl(chosen=A),
        "column 'chosen' holds an object with role, content, text or a list of messages expected",
    ),
    "empty answer": (trl(chosen='""'), "column 'chosen' is empty"),
    "blank answer": (trl(rejected='" \\n\\u3000"'), "column 'rejected' is only white space (3 characters)"),
    "empty prompt": (trl(prompt='""'), "column 'prompt' is empty"),
    "identical": (trl(chosen='"Go away"'), "chosen and rejected are identical"),
    "no shared beginning": (
        b'{"chosen": "Yes", "rejected": "No"}',
        "chosen and rejected share no beginning, and there is no column 'prompt'",
    ),
    "one begins the other": (
        b'{"chosen": "Q: Hi A:", "rejected": "Q: Hi A: Go away"}',
        "chosen is the beginning of rejected: nothing is left for its answer; give a column 'prompt'",
    ),
    "mixed columns": (
        trl(chosen=f"[{A}]"),
        "the columns must all hold text or all messages; here they hold: "
        "'prompt' text, 'chosen' messages, 'rejected' text",
    ),
    "messages as Python prints them": (
        trl(chosen="\"[{'role': 'assistant', 'content': 'Hello'}]\""),
        "column 'chosen' holds messages as Python prints them, not as JSON; write it with json.dumps",
    ),
    "weight below zero": (trl(more=', "weight": -0.5'), "column 'weight' is -0.5; a weight is 0 or more"),
    "weight as text": (trl(more=', "weight": "high"'), "column 'weight' holds text (\"high\"), a number expected"),
    "margin as truth value": (
        trl(more=', "margin": true'),
        "column 'margin' holds true (a truth value), a number expected",
    ),
    "margin too large": (
        trl(more=f', "margin": 1{"0" * 400}'),
        f"column 'margin' holds a number (1{'0' * 31}...00000), too large for a number of the loss",
    ),
    "probability above 1": (
        trl(more=', "chosen_probability": 1.5'),
        "column 'chosen_probability' is 1.5; a probability lies between 0 and 1",
    ),
    "probability below 0": (
        trl(more=', "chosen_probability": -0.1'),
        "column 'chosen_probability' is -0.1; a probability lies between 0 and 1",
    ),
    "score as text": (
        trl(more=', "score_chosen": "good"'),
        "column 'score_chosen' holds text (\"good\"), a number expected",
    ),
    "score that is no number": (
        trl(more=', "score_rejected": Infinity'),
        "Infinity is not JSON; leave the column out, or write null",
    ),
    "tools as a number": (trl(more=', "tools": 3'), "column 'tools' holds a number (3), a list of objects expected"),
    "tools as broken text": (
        trl(more=', "tools": "[{"'),
        "column 'tools' is text that is no JSON (cut off at column 3, before it is closed)",
    ),
    "template arguments as a list": (
        trl(more=', "chat_template_kwargs": [1]'),
        "column 'chat_template_kwargs' holds a list of 1, an object expected",
    ),
    # messages
    "type changes": (sides(), "the type changes here: this row holds messages, the file's first rows hold text"),
    "empty list of answers": (sides(chosen=""), "column 'chosen' is an empty list of messages"),
    "empty list of prompts": (sides(prompt=""), "column 'prompt' is an empty list of messages"),
    "message is text": (
        sides(chosen='"Hello"'),
        "message 1 of 'chosen' is text (\"Hello\"), an object with role and content expected",
    ),
    "no role": (sides(chosen='{"content": "Hello"}'), "message 1 of 'chosen' has no role"),
    "role is null": (sides(chosen='{"role": null, "content": "a"}'), "message 1 of 'chosen' has null as role"),
    "role is a number": (
        sides(chosen='{"role": 1, "content": "a"}'),
        "message 1 of 'chosen': role is a number (1), text expected",
    ),
    "unknown role": (
        sides(chosen='{"role": "bot", "content": "a"}'),
        "message 1 of 'chosen': unknown role \"bot\"; known are system, developer, user, human, assistant, gpt, "
        "function_call, tool, observation",
    ),
    "no content": (sides(rejected='{"role": "assistant"}'), "message 1 of 'rejected' (assistant) has no content"),
    "content is null": (
        sides(prompt='{"role": "user", "content": null}'),
        "message 1 of 'prompt' (user) has null as content",
    ),
    "content is a number": (
        sides(prompt='{"role": "user", "content": 7}'),
        "message 1 of 'prompt' (user): content is a number (7), text expected",
    ),
    "an image": (
        sides(prompt='{"role": "user", "content": [{"type": "image_url", "image_url": "a.png"}]}'),
        "message 1 of 'prompt' (user): content has a part of type image_url; only text can be read",
    ),
    "empty assistant turn": (
        sides(chosen='{"role": "assistant", "content": " "}'),
        "'chosen' holds an empty assistant turn",
    ),
    "empty question": (sides(prompt='{"role": "user", "content": ""}'), "the last turn of 'prompt' is empty"),
    "answer by the user": (
        sides(chosen=f'{A}, {{"role": "user", "content": "Well?"}}'),
        "'chosen' ends with a turn of role user, not with the assistant's answer",
    ),
    "answer starts with the user": (
        sides(chosen=f'{{"role": "user", "content": "Well?"}}, {A}'),
        "the answer in 'chosen' starts with a turn of role user, not with the assistant's",
    ),
    "prompt by the assistant": (
        sides(prompt=f"{U}, {A}"),
        "'prompt' ends with a turn of role assistant; it must end with the user's turn or a tool's",
    ),
    "identical messages": (sides(chosen=A, rejected=A), "chosen and rejected are identical"),
    "different questions": (
        f'{{"chosen": [{U}, {A}], "rejected": [{U.replace("Hi", "Yo")}, {B}]}}'.encode(),
        "chosen and rejected share no prompt: they differ in the first user turn or before",
    ),
    "an answer of weight 0": (
        sides(chosen='{"role": "assistant", "content": "a", "weight": 0}'),
        "'chosen' holds an assistant turn of weight 0 that would be trained on",
    ),
    "an answer of weight 2": (
        sides(chosen='{"role": "assistant", "content": "a", "weight": 2}'),
        "message 1 of 'chosen': weight is a number (2); a message is trained on (1) or not (0)",
    ),
}

POSITIONS = 25


def good(number):
    return json.dumps({"prompt": f"Question {number}?", "chosen": f"Answer {number}.", "rejected": "No idea."}).encode()


def write(path, rows, end=b"\n", start=b"", last_end=True):
    """Writes the rows; returns their (line, offset)."""
    places, data = [], bytearray(start)
    for number, row in enumerate(rows, start=1):
        places.append((number, len(data)))
        data += row + (end if last_end or number < len(rows) else b"")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return places


def found(report):
    return [(row.source.line, row.offset, row.raw, row.reason) for row in report.quarantined]


STYLES = {
    "LF": ("a.jsonl", {}),
    "CRLF": ("b.jsonl", {"end": b"\r\n"}),
    "BOM": ("c.jsonl", {"start": b"\xef\xbb\xbf"}),
    "no last line end": ("d.jsonl", {"last_end": False}),
    "gz": ("e.jsonl.gz", {"end": b"\r\n", "last_end": False}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_first_in_the_middle_and_last(tmp_path, kind):
    bad, reason = KINDS[kind]
    for style, (name, how) in STYLES.items():
        # A byte order mark is no fault at the very start of a file, so that kind comes second.
        rows = [good(1) if kind == "BOM inside the file" else bad, bad, *map(good, range(3, 8)), bad, good(9), bad]
        places = write(tmp_path / name, rows, **how)
        report = read(str(tmp_path / name), Preference)
        at = [number for number, row in enumerate(rows) if row == bad]
        assert found(report) == [(*places[number], bad, reason) for number in at], style
        assert [record.source.line for record in report.records] == [n + 1 for n in range(10) if n not in at], style
        assert (report.read, report.dropped) == (10, {}), style
        report.check()


def test_every_kind_at_25_positions_of_a_long_file(tmp_path):
    """20,050 rows: line 1, line 20,001 and the last are bad, and each kind stands at 25 places between."""
    kinds = list(KINDS.values())
    total = 20_050
    step = (total - 2) // (len(kinds) * POSITIONS)
    planted = {2 + step * at: kinds[at % len(kinds)] for at in range(len(kinds) * POSITIONS)}
    planted |= {1: KINDS["cut in a text"], 20_001: KINDS["NaN"], total: KINDS["words"]}
    rows = [planted[line][0] if line in planted else good(line) for line in range(1, total + 1)]
    places = write(tmp_path / "long.jsonl", rows)
    report = read(str(tmp_path / "long.jsonl"), Preference, quarantine=tmp_path / "q.jsonl")
    assert found(report) == [(*places[line - 1], *planted[line]) for line in sorted(planted)]
    assert [record.source.line for record in report.records] == [n for n in range(1, total + 1) if n not in planted]
    assert report.records[0].chosen == f"Answer {report.records[0].source.line}."
    assert report.read == total
    assert quarantine_file.load(tmp_path / "q.jsonl") == report.quarantined


def test_the_kinds_differ():
    assert len(KINDS) >= 40
    reasons = [reason for _, reason in KINDS.values()]
    same = {reason for reason in reasons if reasons.count(reason) > 1}
    assert same == {"chosen and rejected are identical"}
