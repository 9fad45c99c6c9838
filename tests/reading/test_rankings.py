"""Several answers to one prompt: every shape, by hand; what cannot be used, with its reason."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairwright.reading import rankings, read
from pairwright.reading.rows import RowError
from pairwright.reading.votes import compare, weighed
from pairwright.records import Comparison, Demonstration, Message, Preference, Ranking, Source, Vote

HERE = Source("made.jsonl", 3)


def says(role, content):
    return {"role": role, "content": content}


def user(content):
    return Message("user", content)


def bot(content):
    return Message("assistant", content)


# Scores and rankings


def test_scores_compare_all_pairs():
    row = {"prompt": "a", "completions": ["b", "c", "d"], "scores": [2, 3.5, 2], "weight": 0.5}
    assert rankings.completions(row, HERE) == Ranking(
        "a",
        ("b", "c", "d"),
        (Comparison(1, 0), Comparison(0, 2, 0.5), Comparison(1, 2)),
        HERE,
        weight=0.5,
        scores=(2.0, 3.5, 2.0),
    )


@pytest.mark.parametrize(
    ("order", "comparisons"),
    [
        ([2, 0, 1], ((0, 1, None), (2, 0, None), (2, 1, None))),
        ([[2, 0], 1], ((0, 1, None), (0, 2, 0.5), (2, 1, None))),
        ([[0, 1, 2]], ((0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.5))),
    ],
)
def test_a_ranking_is_indices_best_first(order, comparisons):
    record = rankings.completions({"prompt": "a", "completions": ["b", "c", "d"], "ranking": order}, HERE)
    assert record.comparisons == tuple(Comparison(*c) for c in comparisons) and record.scores is None


def test_two_completions_are_a_pair():
    """The better one first, with its score."""
    row = {"prompt": "a", "completions": ["b", "c"], "scores": [1, 4], "margin": 3}
    expected = Preference("a", "c", "b", HERE, margin=3.0, score_chosen=4.0, score_rejected=1.0)
    assert rankings.completions(row, HERE) == expected and not expected.tied
    assert rankings.completions({**row, "scores": [4, 4]}, HERE).tied


def test_completions_of_messages():
    said = [says("user", "Hi")]
    row = {
        "prompt": said,
        "completions": [[says("assistant", "b")], [*said, says("assistant", "c")], [says("assistant", "d")]],
        "ranking": [0, 1, 2],
    }
    record = rankings.completions(row, HERE)
    assert record.prompt == (user("Hi"),) and record.answers == ((bot("b"),), (bot("c"),), (bot("d"),))


# A score is the overall one; without it the mean of its ratings. 2: by hand the mean of 1, 2, 3.
@pytest.mark.parametrize(
    ("item", "score"),
    [
        ({"overall_score": 7.5, "annotations": {"honesty": {"Rating": "1"}}}, 7.5),
        ({"ratings": {"helpful": 1, "honest": 2, "true": 3}}, 2.0),
        ({"ratings": [1, 2, 3]}, 2.0),
        ({"ratings": "4"}, 4.0),
        ({"annotations": {"a": {"Rating": "1", "Rationale": "x"}, "b": {"Rating": "2"}, "c": {"Rating": 3}}}, 2.0),
    ],
)
def test_ultrafeedback(item, score):
    other = {"response": "c", "overall_score": 1.5}
    row = {"instruction": "a", "completions": [{"model": "m", "response": "b", **item}, other]}
    record = rankings.ultrafeedback(row, HERE)
    assert (record.prompt, record.chosen, record.rejected) == ((user("a"),), (bot("b"),), (bot("c"),))
    assert (record.score_chosen, record.score_rejected) == (score, 1.5)


def parts(*texts):
    return {"parts": [{"text": text} for text in texts]}


def test_vertex():
    row = {
        "system_instruction": parts("Be brief."),
        "contents": [{"role": "user", **parts("Favourite fruit?", " Mine.")}],
        "completions": [
            {"score": 0.0, "completion": {"role": "model", **parts("Who knows?")}},
            {"score": 1.0, "completion": {"role": "model", **parts("Apple!")}},
        ],
    }
    record = rankings.vertex(row, HERE)
    assert record.prompt == (Message("system", "Be brief."), user("Favourite fruit? Mine."))
    assert (record.chosen, record.rejected) == ((bot("Apple!"),), (bot("Who knows?"),))


def test_qa_feedback():
    """Three predictions: the first beats the second, ties with the third, and the third beats the second."""
    row = {
        "question": "q?",
        "passages": [["Title", "One.", "Two."], ["Other", "Three."]],
        "prediction 1": "b",
        "prediction 2": "c",
        "prediction 3": "d",
        "preference": [1, 0, 2],
    }
    record = rankings.qa_feedback(row, HERE)
    assert record.prompt == (user("Title: One. Two.\n\nOther: Three.\n\nq?"),)
    assert record.comparisons == (Comparison(0, 1), Comparison(0, 2, 0.5), Comparison(2, 1))
    assert record.best == (0, 2)


TWO = {"prompt": "a", "completions": ["b", "c"]}


@pytest.mark.parametrize(
    ("read_row", "row", "reason"),
    [
        (
            rankings.completions,
            TWO | {"completions": ["b"], "scores": [1]},
            "column 'completions' holds a list of 1, a",
        ),
        (
            rankings.completions,
            TWO | {"scores": [1]},
            "column 'scores' holds a list of 1, a list of 2 numbers expected",
        ),
        (rankings.completions, TWO | {"scores": [1, "x"]}, 'item 2 of .scores.: score is text \\("x"\\), a number'),
        (rankings.completions, TWO | {"scores": [1, None]}, "item 2 of 'scores' has null as score"),
        (rankings.completions, TWO | {"ranking": [1, 2]}, r".*\[1, 2\], each index from 0 to 1 once, .*start at 0$"),
        (rankings.completions, TWO | {"ranking": [0]}, r"column 'ranking' holds \[0\], each index from 0 to 1 once"),
        (rankings.completions, TWO | {"ranking": [0, 0]}, r"column 'ranking' holds \[0, 0\], each index"),
        (rankings.completions, TWO | {"ranking": "b"}, r"column 'ranking' holds text \(\"b\"\), each index"),
        (
            rankings.completions,
            TWO | {"completions": ["b", "b"], "scores": [1, 2]},
            "completions 1 and 2 are identical",
        ),
        (
            rankings.completions,
            TWO | {"completions": ["b", " "], "scores": [1, 2]},
            "column 'completions' is only white",
        ),
        (
            rankings.completions,
            TWO | {"completions": ["b", [says("assistant", "c")]], "scores": [1, 2]},
            "'prompt' holds text and 'completions' holds messages",
        ),
        (
            rankings.ultrafeedback,
            {"instruction": "a", "completions": [{"response": "b", "overall_score": 1}, {"response": "c"}]},
            "item 2 of 'completions' has no rating",
        ),
        (
            rankings.ultrafeedback,
            {"instruction": "a", "completions": [{"response": "b", "overall_score": 1}, {"overall_score": 1}]},
            "item 2 of 'completions' has no response",
        ),
        (
            rankings.ultrafeedback,
            {"instruction": "a", "completions": [{"response": "b", "ratings": {"x": "N/A"}}, {"response": "c"}]},
            r"item 1 of 'completions': r is text \(\"N/A\"\), a number expected",
        ),
        (
            rankings.vertex,
            {"contents": [{"role": "user", "parts": [{"fileData": {}}]}], "completions": []},
            "content 1 of 'contents' has a part an object with fileData; only text can be read",
        ),
        (
            rankings.vertex,
            {"contents": [{"role": "user", **parts("a")}], "completions": [{"score": 1}, {"score": 0}]},
            "item 1 of 'completions' has no completion",
        ),
        (
            rankings.qa_feedback,
            {"question": "a", "prediction 1": "b", "prediction 2": "c", "preference": [3]},
            "column 'preference' holds a list of 1, a list of 1 numbers 0, 1 or 2 expected",
        ),
    ],
)
def test_rows_that_cannot_be_used(read_row, row, reason):
    with pytest.raises(RowError, match=f"^{reason}"):
        read_row(row, HERE)


def test_which_kinds_read_rankings(tmp_path):
    """Learning from demonstrations takes the best answer; a tie for the first place has none."""
    rows = [
        {"prompt": "a", "completions": ["b", "c", "d"], "scores": [2, 3, 1]},
        {"prompt": "a", "completions": ["b", "c", "d"], "scores": [3, 3, 1]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = read(str(path), Demonstration)
    assert [record.completion for record in report.records] == ["c"] and report.dropped == {"tie": 1}
    assert "the best answer is learned from, the others are not used" in report.notes[0]
    assert [len(record.comparisons) for record in read(str(path), Ranking).records] == [3, 3]


# Votes


@pytest.mark.parametrize(
    ("choices", "chosen", "label"),
    [
        ([0], "b", 1.0),
        ([1, 1, 1], "c", 1.0),
        ([0, 1, 0, 0], "b", 0.75),
        ([1, "tie"], "c", 0.75),  # 1 and a half of two votes
        (["tie", "tie", "tie", 0], "b", 0.625),
        (["0", "1", "1"], "c", 2 / 3),  # a column of texts, as Parquet has them
        ([0, 1, "tie"], "b", 0.5),
    ],
)
def test_votes_become_a_pair_with_the_share_of_the_majority(choices, chosen, label):
    votes = [{"annotator": f"a{number}", "choice": choice} for number, choice in enumerate(choices)]
    row = {"prompt": "a", "responses": ["b", "c"], "votes": votes, "weight": 2}
    record = rankings.annotated(row, HERE)
    assert (record.prompt, record.chosen, record.rejected) == ("a", chosen, "c" if chosen == "b" else "b")
    assert record.label == pytest.approx(label) and record.weight == 2 and record.tied == (label == 0.5)
    assert [vote.annotator for vote in record.votes] == [f"a{number}" for number in range(len(choices))]


def test_votes_are_kept_as_they_are():
    """Their indices follow the answers: 0 is the chosen one, which was the second response."""
    vote = {"annotator": 7, "choice": 1, "reason": "short", "shown_order": [1, 0], "dimension": "clear", "seconds": 4}
    record = rankings.annotated({"prompt": "a", "responses": ["b", "c"], "votes": [vote, {"choice": "tie"}]}, HERE)
    assert record.chosen == "c"
    assert record.votes == (Vote(0, "7", "short", (0, 1), "clear", 4.0), Vote(None))


def test_votes_on_three_responses():
    """By hand: two votes for the first, one for the third, which was shown beside the first only; one tie of all.
    First over second: 2.5 of 3 votes; first over third: 2.5 of 4; second and third: the tie alone."""
    votes = [{"choice": 0}, {"choice": 0}, {"choice": 2, "shown_order": [2, 0]}, {"choice": "tie"}]
    record = rankings.annotated({"prompt": "a", "responses": ["b", "c", "d"], "votes": votes}, HERE)
    assert record.comparisons == (
        Comparison(0, 1, pytest.approx(2.5 / 3), 3),
        Comparison(0, 2, pytest.approx(2.5 / 4), 4),
        Comparison(1, 2, 0.5, 1),
    )


def test_dimensions_weigh_as_they_are_told():
    """Helpful: 3 of 4 for the first. Harmless: 0 of 1. Equal weights: 0.375; 4 to 1: 0.6; harmless alone: 0."""
    votes = [Vote(choice, dimension="helpful") for choice in (0, 0, 1, 0)] + [Vote(1, dimension="harmless")]
    assert compare(votes, 2) == (Comparison(1, 0, 0.625, 5),)
    assert compare(votes, 2, {"helpful": 4, "harmless": 1}) == (Comparison(0, 1, pytest.approx(0.6), 5),)
    assert compare(votes, 2, {"harmless": 2}) == (Comparison(1, 0, 1.0, 1),)
    assert compare(votes, 2, {"concise": 1}) == ()


def test_a_record_weighed_anew():
    """The same by its record: the sides change places with the label, and the votes with them."""
    votes = (*(Vote(choice, dimension="helpful") for choice in (1, 1, 0, 1)), Vote(0, dimension="harmless"))
    record = Preference("a", "c", "b", HERE, label=0.625, score_chosen=1.0, votes=votes)
    changed = weighed(record, {"helpful": 1})
    assert (changed.chosen, changed.rejected, changed.label, changed.score_rejected) == ("b", "c", 0.75, 1.0)
    assert [vote.choice for vote in changed.votes] == [0, 0, 1, 0, 1]
    assert weighed(record, {"harmless": 1}).chosen == "c"
    assert weighed(record, {"concise": 1}) is None
    assert weighed(Preference("a", "b", "c", HERE), {"helpful": 1}) == Preference("a", "b", "c", HERE)
    ranking = Ranking("a", ("b", "c", "d"), (), HERE, votes=(Vote(2, dimension="helpful"),))
    assert weighed(ranking, {"helpful": 1}).comparisons == (Comparison(2, 0, 1.0, 1), Comparison(2, 1, 1.0, 1))


VOTE = [{"annotator": "ann", "choice": 0}]


@pytest.mark.parametrize(
    ("responses", "votes", "reason"),
    [
        (["b"], VOTE, "column 'responses' holds a list of 1, a list of two or more answers expected"),
        ("b", VOTE, "column 'responses' holds text"),
        (["b", ""], VOTE, "column 'responses' is empty"),
        (["b", 4], VOTE, r"column 'responses' holds a number \(4\), text or a list of messages expected"),
        (["b", "b"], VOTE, "responses 1 and 2 are identical"),
        (["b", "c"], [], "column 'votes' holds a list of 0, a list of at least one vote expected"),
        (["b", "c"], "ann", "column 'votes' holds text"),
        (["b", "c"], [*VOTE, {"annotator": "bo"}], "vote 2 has no choice"),
        (["b", "c"], [{"choice": 2}], r"vote 1 is a number \(2\), an object whose choice is 0, 1 or \"tie\" expected"),
        (["b", "c"], [{"choice": True}], "vote 1 is true"),
        (["b", "c"], [{"choice": "neither"}], r"vote 1 is text \(\"neither\"\)"),
        (["b", "c"], [0], r"vote 1 is a number \(0\), an object"),
        (["b", "c"], [{"choice": 0, "shown_order": [0, 2]}], "vote 1: shown_order is a list of 2, indices of two"),
        (["b", "c"], [{"choice": 0, "shown_order": [1, 1]}], "vote 1: shown_order is a list of 2, indices of two"),
        (["b", "c", "d"], [{"choice": 0, "shown_order": [1, 2]}], "vote 1 chooses 0, which its shown_order does not"),
        (["b", "c"], [{"choice": 0, "annotator": ["x"]}], "vote 1: annotator is a list of 1, text expected"),
    ],
)
def test_votes_that_cannot_be_used(responses, votes, reason):
    with pytest.raises(RowError, match=f"^{reason}"):
        rankings.annotated({"prompt": "a", "responses": responses, "votes": votes}, HERE)


@given(st.integers(2, 5).flatmap(lambda k: st.tuples(st.just(k), st.lists(st.sampled_from([*range(k), None])))))
def test_counting_is_conserved(case):
    """A vote for one of K answers compares it with the K - 1 others, a tie all K (K - 1) / 2 pairs; nothing is lost,
    and each pair stands once with a probability of at least a half."""
    answers, choices = case
    found = compare([Vote(choice) for choice in choices], answers)
    pairs = answers * (answers - 1) // 2
    expected = sum(pairs if choice is None else answers - 1 for choice in choices)
    assert sum(c.weight for c in found) == pytest.approx(expected)
    assert len({frozenset(c[:2]) for c in found}) == len(found) and all(0.5 <= c.label <= 1 for c in found)
    for better, worse, label, weight, _ in found:
        wins = sum(0.5 if c is None else c == better for c in choices if c in (better, worse, None))
        assert label * weight == pytest.approx(wins)


RANKED = [
    (TWO | {"scores": [2, 1]}, "kept"),
    (TWO | {"completions": ["b", "c", "d"], "ranking": [2, [0, 1]]}, "kept"),
    (TWO | {"completions": ["b", "c", "d"], "scores": [1, 1, 1]}, "tie"),
    (TWO | {"scores": [1, 1]}, "tie"),
    (TWO | {"completions": ["b", "c", "d"], "scores": [4, 4, 1]}, "two best"),
    (TWO | {"scores": [1]}, "bad"),
    (TWO | {"scores": [1, 2], "completions": ["b", ""]}, "bad"),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(range(len(RANKED))), min_size=1, max_size=12))
def test_every_row_is_accounted_for(tmp_path, chosen):
    """Kept, quarantined or dropped by a rule, with the numbers that the rows have; ties stay with a reader of rankings,
    and have no best answer for one of demonstrations."""
    rows, fates = zip(*(RANKED[number] for number in [*chosen, 0]))
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bad, ties = fates.count("bad"), fates.count("tie")
    report = read(str(path), Ranking, format="completions")
    assert (report.read, len(report.records), len(report.quarantined)) == (len(rows), len(rows) - bad, bad)
    assert sum(record.tied for record in report.records) == ties and not report.dropped
    report = read(str(path), Demonstration, format="completions")
    dropped = ties + fates.count("two best")
    assert (len(report.records), report.dropped.get("tie", 0)) == (len(rows) - bad - dropped, dropped)
