"""Which format a file is told to have, what an ambiguous or wrong file is answered, and what the report says."""

import json

import pytest

from pairwright.errors import FormatError
from pairwright.reading import read
from pairwright.reading.recognition import FORMATS, recognise
from pairwright.records import Demonstration, Message, Preference, Rating

PAIR = {"chosen": "b", "rejected": "c"}
HUMAN = "\n\nHuman: Hi\n\nAssistant: "
SAID = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def write(tmp_path, rows, name="a.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("row", "kind", "name"),
    [
        ({"prompt": "a", **PAIR}, Preference, "trl-preference"),
        ({"chosen": "a b", "rejected": "a c"}, Preference, "trl-preference"),
        ({"chosen": HUMAN + "Yes", "rejected": HUMAN + "No"}, Preference, "hh-rlhf"),
        ({"prompt": "a", "chosen": HUMAN, "rejected": HUMAN}, Preference, "trl-preference"),
        ({"input": {}, "preferred_output": [], "non_preferred_output": []}, Preference, "openai-preference"),
        ({"conversations": [], "chosen": {}, "rejected": {}}, Preference, "sharegpt-preference"),
        ({"chosen_messages": [], "rejected_messages": []}, Preference, "messages-preference"),
        ({"instruction": "a", "input": "", **PAIR}, Preference, "alpaca-preference"),
        ({"prompt": "a", "responses": [], "votes": []}, Preference, "annotated"),
        ({"prompt": "a", "completion": "b", "label": False}, Rating, "labelled"),
        ({"prompt": "a", "completion": "b", "label": "1"}, Rating, "labelled"),
        ({"messages": SAID, "label": 1.0}, Rating, "labelled-messages"),
        ({"prompt": "a", **PAIR}, Rating, "trl-preference"),
        ({"prompt": "a", "completion": "b"}, Demonstration, "prompt-completion"),
        ({"messages": []}, Demonstration, "messages"),
        ({"text": "a"}, Demonstration, "text"),
        ({"conversations": []}, Demonstration, "sharegpt"),
        ({"instruction": "a", "output": "b"}, Demonstration, "alpaca"),
        ({"prompt": "a", **PAIR}, Demonstration, "trl-preference"),
    ],
)
def test_told_from_columns(row, kind, name):
    assert recognise("a.jsonl", [row] * 5, kind).name == name


def test_a_few_odd_rows_do_not_change_the_format():
    rows = [{"prompt": "a", **PAIR}] * 19 + [{"messages": []}]
    assert recognise("a.jsonl", rows, Demonstration).name == "trl-preference"


@pytest.mark.parametrize(
    ("rows", "kind", "candidates"),
    [
        ([{"prompt": "a", "completion": "b", "text": "c"}], Demonstration, "prompt-completion, text"),
        ([{"prompt": "a", **PAIR, "messages": []}], Demonstration, "trl-preference, messages"),
        ([{"prompt": "a", **PAIR, "conversations": []}], Preference, "trl-preference, sharegpt-preference"),
        (
            [{"chosen": "a b", "rejected": "a c"}, {"chosen": HUMAN + "Yes", "rejected": HUMAN + "No"}],
            Preference,
            "trl-preference, hh-rlhf",
        ),
    ],
)
def test_ambiguity_names_the_candidates(rows, kind, candidates):
    with pytest.raises(FormatError, match=rf"fit more than one format: {candidates}\. Choose one with --format NAME"):
        recognise("a.jsonl", rows, kind)


LABELLED = {"prompt": "a", "completion": "b", "label": False}


@pytest.mark.parametrize(
    ("row", "kind", "said", "holds"),
    [
        ({"messages": SAID}, Preference, "messages, which is demonstrations, not pairs of a chosen", Demonstration),
        ({"messages": SAID}, Rating, "messages, which is demonstrations, not answers labelled", Demonstration),
        (LABELLED, Preference, "labelled, which is answers labelled good or bad, not pairs of", Rating),
        # Above all, answers labelled bad are not taken for demonstrations.
        (LABELLED, Demonstration, "labelled, which is answers labelled good or bad, not demonstrations", Rating),
        ({"messages": SAID, "label": 1}, Demonstration, "labelled-messages, which is answers labelled", Rating),
    ],
)
def test_data_of_another_kind(tmp_path, row, kind, said, holds):
    with pytest.raises(FormatError, match=rf"a\.jsonl: holds {said}") as caught:
        read(write(tmp_path, [row]), kind)
    assert caught.value.holds == (holds,)
    name = said.partition(",")[0]
    with pytest.raises(FormatError, match=f"format '{name}' holds {said.partition('which is ')[2]}"):
        read(write(tmp_path, [row]), kind, format=name)


@pytest.mark.parametrize("kind", [Preference, Demonstration, Rating])
@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"question": "a", "answer": "b", "label": False}, "labels of answers in columns that are not known"),
        ({"prompt": "a", "completions": ["b", "c"]}, "completions without scores or a ranking"),
        ({"prompt": "a", "steps": ["b"]}, "steps without a preference"),
        ({"file": "a", "line": 1, "offset": 0, "reason": "b", "raw": "c"}, "Pairwright's own quarantine file"),
    ],
)
def test_other_known_kinds_are_named(row, what, kind):
    with pytest.raises(FormatError, match=f"holds {what}"):
        recognise("a.jsonl", [row], kind)


def test_unknown_columns_are_shown_with_what_would_fit():
    with pytest.raises(FormatError) as caught:
        recognise("a.jsonl", [{"question": "a", "answer": "b"}], Preference)
    assert str(caught.value) == (
        "a.jsonl: the columns question, answer fit no format.\n"
        "A row of preferences has\n"
        "    trl-preference: chosen, rejected\n"
        "    hh-rlhf: chosen, rejected\n"
        "    openai-preference: input, preferred_output, non_preferred_output\n"
        "    sharegpt-preference: conversations, chosen, rejected\n"
        "    messages-preference: chosen_messages, rejected_messages\n"
        "    alpaca-preference: instruction, chosen, rejected\n"
        "    annotated: prompt, responses, votes\n"
        "    vertex: contents, completions\n"
        "a ranking of answers\n"
        "    completions: prompt, completions\n"
        "    ultrafeedback: instruction, completions\n"
        "    qa-feedback: question, prediction 1, prediction 2, preference\n"
        "steps\n"
        "    steps: prompt, steps, chosen, rejected\n"
        "    step-dpo: prompt, initial_reason_steps, chosen, rejected\n"
        "a labelled answer\n"
        "    labelled: prompt, completion, label\n"
        "    labelled-messages: messages, label\n"
        "and a row of demonstrations\n"
        "    prompt-completion: prompt, completion\n"
        "    messages: messages\n"
        "    text: text\n"
        "    sharegpt: conversations\n"
        "    alpaca: instruction, output\n"
        "Rename the columns; docs/data-formats.md has an example of each."
    )


def test_forcing_a_format(tmp_path):
    path = write(tmp_path, [{"prompt": "a", "completion": "b", "text": "c"}])
    assert read(path, Demonstration, format="text").records[0].completion == "c"
    assert read(path, Demonstration, format="prompt-completion").records[0].completion == "b"
    with pytest.raises(FormatError, match=r"format 'trl' is unknown\. Known: trl-preference, hh-rlhf"):
        read(path, Demonstration, format="trl")


def test_sft_on_the_chosen_side_is_said(tmp_path):
    path = write(tmp_path, [{"chosen": HUMAN + "Yes", "rejected": HUMAN + "No", "margin": 1, "weight": 0.5}])
    report = read(path, Demonstration)
    (record,) = report.records
    assert record == Demonstration((Message("user", "Hi"),), (Message("assistant", "Yes"),), record.source, 0.5)
    assert report.notes == [
        f"{path}: format hh-rlhf (HH-RLHF transcripts), told from the columns; "
        "the chosen side is learned from, the rejected one is not used",
        "columns not used: margin",
    ]


def test_the_likelier_answer_is_imitated_and_labelled_good(tmp_path):
    row = {"prompt": "Hi", "chosen": "a", "rejected": "b", "chosen_probability": 0.0}
    path = write(tmp_path, [row, row | {"chosen_probability": 0.7}])
    assert [record.completion for record in read(path, Demonstration).records] == ["b", "a"]
    assert [(pair.chosen, pair.rejected) for pair in read(path, Rating).records] == [("b", "a"), ("a", "b")]
    assert [pair.chosen for pair in read(path, Preference).records] == ["a", "a"]  # whose loss weighs both orders


def test_a_pair_may_have_a_column_named_steps(tmp_path):
    path = write(tmp_path, [{"prompt": "Hi", "chosen": "a", "rejected": "b", "steps": 3}])
    assert len(read(path, Preference).records) == 1


def test_columns_that_nobody_reads_are_said(tmp_path):
    rows = [{"prompt": "a", **PAIR, "id": 1}, {"prompt": "d", **PAIR, "source": "x", "margin": 1}]
    assert read(write(tmp_path, rows), Preference).notes[-1] == "columns not used: id, source"
    row = {
        "input": {"messages": SAID[:1], "parallel_tool_calls": True},
        "preferred_output": SAID[1:],
        "non_preferred_output": [{"role": "assistant", "content": "Go"}],
    }
    assert read(write(tmp_path, [row]), Preference).notes[-1] == "columns not used: input.parallel_tool_calls"


def test_pairs_read_for_labels_stay_pairs_and_that_is_said(tmp_path):
    path = write(tmp_path, [{"prompt": "a", **PAIR, "chosen_probability": 0.6}])
    report = read(path, Rating)
    assert report.records == [Preference("a", "b", "c", report.records[0].source, label=0.6)]
    assert report.notes == [
        f"{path}: format trl-preference (TRL preference of text), told from the columns; "
        "each pair makes two labelled answers, the chosen one good and the rejected one bad",
        "columns not used: chosen_probability",
    ]


def test_columns_of_pairs_are_read(tmp_path):
    more = {"chosen_probability": 0.75, "score_chosen": 8, "score_rejected": 2.5}
    report = read(write(tmp_path, [{"prompt": "a", **PAIR, **more}]), Preference)
    (record,) = report.records
    assert (record.label, record.score_chosen, record.score_rejected) == (0.75, 8.0, 2.5)
    assert "not used" not in report.notes[-1]


def test_what_votes_say_besides_is_named(tmp_path):
    vote = {"annotator": "ann", "choice": 0, "reason": "shorter", "shown_order": [1, 0], "seconds": 3, "mood": "good"}
    report = read(write(tmp_path, [{"prompt": "a", "responses": ["b", "c"], "votes": [vote]}]), Preference)
    assert report.notes[-1] == "columns not used: votes.mood"


def test_names_are_unique():
    assert len({format.name for format in FORMATS}) == len(FORMATS)
