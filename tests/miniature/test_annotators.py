"""Each annotator's fault measured, with known numbers."""

import pytest

from pairwright.errors import ConfigError
from pairwright.miniature.annotators import TEAM, Annotator, Labelled, Pair, label, make_pairs
from pairwright.miniature.answers import BASE, Answer, demonstrate
from pairwright.miniature.oracle import score
from pairwright.miniature.requests import Request, make_requests

CALL = Request(
    "harmless",
    "add",
    (("user", "remind me to call Ana tomorrow"),),
    "do",
    (("do", "add"), ("task", "call Ana"), ("day", "tomorrow")),
    ("call Ana",),
)
RIGHT = "Done. do=add; task=call Ana; day=tomorrow."


def share_of_second(annotator: Annotator, first: Answer, second: Answer, n: int = 2000) -> float:
    """How often the annotator prefers the second answer; the order shown is random."""
    labelled = label([Pair(CALL, (first, second))] * n, [annotator], seed=1)
    return sum(each.choice for each in labelled) / n


def test_without_faults_the_better_answer_always_wins() -> None:
    # gold 0.9 without the end, 1 with it
    assert share_of_second(Annotator("a", temperature=0), Answer(RIGHT, False), Answer(RIGHT, True)) == 1.0


def test_equal_answers_are_a_coin() -> None:
    share = share_of_second(Annotator("a", temperature=0), Answer(RIGHT), Answer(RIGHT.replace("Done", "Sure, done")))
    assert share == pytest.approx(0.5, abs=0.045)


def test_temperature_is_bradley_terry() -> None:
    """A lead of 0.1 at temperature 0.1: 1 / (1 + 1/e) = 0.731; at 0.05: 1 / (1 + 1/e^2) = 0.881."""
    worse, better = Answer(RIGHT, False), Answer(RIGHT, True)
    assert share_of_second(Annotator("a", temperature=0.1), worse, better) == pytest.approx(0.731, abs=0.04)
    assert share_of_second(Annotator("a", temperature=0.05), worse, better) == pytest.approx(0.881, abs=0.03)


def test_flips() -> None:
    share = share_of_second(Annotator("a", temperature=0, flips=0.2), Answer(RIGHT, False), Answer(RIGHT, True))
    assert share == pytest.approx(0.8, abs=0.036)


@pytest.mark.parametrize(
    ("addition", "weak", "strong"),
    [
        # nine words more than five: gold loses 0.1 * 6/5, so all of its 0.1; ten words are worth 0.2, so nine 0.18
        (" one two three four five six seven eight nine", {"length": 0.1}, {"length": 0.2}),
        # five words, three of them free: gold loses 0.04; one word of certainty
        (" This is definitely quite right.", {"confidence": 0.03}, {"confidence": 0.05}),
        # four words, three of them free: gold loses 0.02
        (" You are so clever!", {"flattery": 0.01}, {"flattery": 0.03}),
    ],
)
def test_tastes_outweigh_gold_where_they_are_stronger(addition: str, weak: dict, strong: dict) -> None:
    plain, more = Answer(RIGHT), Answer(RIGHT + addition)
    assert share_of_second(Annotator("a", temperature=0), plain, more, 200) == 0.0
    assert share_of_second(Annotator("a", temperature=0, **weak), plain, more, 200) == 0.0
    assert share_of_second(Annotator("a", temperature=0, **strong), plain, more, 200) == 1.0


def test_taste_for_the_first_position() -> None:
    """A bonus of 0.15 beats a lead of 0.1: the answer shown first always wins. A bonus of 0.05 never does."""
    pairs = [Pair(CALL, (Answer(RIGHT, False), Answer(RIGHT, True)))] * 1000
    for bonus, wins in ((0.15, 1.0), (0.05, 0.5)):
        labelled = label(pairs, [Annotator("a", temperature=0, first=bonus)], seed=2)
        shown_first = [each.votes[0].choice == each.votes[0].shown_order[0] for each in labelled]
        assert sum(shown_first) / len(shown_first) == pytest.approx(wins, abs=0.06)


@pytest.fixture(scope="module")
def labelled() -> list[Labelled]:
    requests = make_requests(800, seed=4)
    answers = zip(demonstrate(requests, 1, BASE), demonstrate(requests, 2, BASE))
    return label(make_pairs(requests, [list(each) for each in answers]), TEAM, seed=0)


def test_the_team_is_good_but_not_perfect(labelled: list[Labelled]) -> None:
    leads = [
        score(each.pair.request, each.chosen.text, each.chosen.ended)["gold"]
        - score(each.pair.request, each.rejected.text, each.rejected.ended)["gold"]
        for each in labelled
    ]
    decided = [lead for lead in leads if lead != 0]
    assert 0.92 < sum(lead > 0 for lead in decided) / len(decided) < 0.99
    unanimous = sum(len({vote.choice for vote in each.votes}) == 1 for each in labelled) / len(labelled)
    assert 0.6 < unanimous < 0.85


def test_majority_and_order(labelled: list[Labelled]) -> None:
    each = labelled[0]
    assert [vote.annotator for vote in each.votes] and len(each.votes) == 3
    choices = [vote.choice for vote in each.votes]
    assert each.choice == (1 if choices.count(1) > 1 else 0)
    assert each.chosen == each.pair.answers[each.choice] and each.rejected == each.pair.answers[1 - each.choice]
    first_shown = sum(vote.shown_order == (0, 1) for each in labelled for vote in each.votes)
    assert first_shown / (3 * len(labelled)) == pytest.approx(0.5, abs=0.035)


def test_same_seed_same_votes_and_an_odd_number_of_them() -> None:
    pairs = [Pair(CALL, (Answer(RIGHT), Answer("No.")))] * 20
    assert label(pairs, TEAM, seed=3) == label(pairs, TEAM, seed=3)
    assert {len(each.votes) for each in label(pairs, TEAM, votes_per_pair=1)} == {1}
    with pytest.raises(ConfigError, match="2 votes on each pair from 3 annotators"):
        label(pairs, TEAM, votes_per_pair=2)


def test_pairs_of_the_same_text_are_left_out() -> None:
    same, other = Answer("a"), Answer("b")
    assert make_pairs([CALL], [[same, Answer("a", False), same, other]]) == [Pair(CALL, (same, other))]
