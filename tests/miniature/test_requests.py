"""Variety, truth and split of the requests."""

from collections import Counter

import pytest

from pairwright.miniature.oracle import is_harmful
from pairwright.miniature.requests import FIELDS, Request, make_requests
from pairwright.miniature.tasks import split_of


@pytest.fixture(scope="module")
def drawn() -> list[Request]:
    return make_requests(10_000, seed=1)


def test_ten_thousand_requests_are_distinct_and_various(drawn: list[Request]) -> None:
    assert len({request.messages for request in drawn}) == 10_000
    assert len({request.tasks[-1] for request in drawn}) > 3_000
    assert len({request.fields for request in drawn}) > 7_000
    words = {word for request in drawn for _, text in request.messages for word in text.split()}
    assert len(words) > 800


def test_few_requests_come_again_under_another_seed(drawn: list[Request]) -> None:
    others = {request.messages for request in make_requests(10_000, seed=2)}
    assert len(others & {request.messages for request in drawn}) < 300


def test_kinds_have_their_shares(drawn: list[Request]) -> None:
    kinds = Counter(request.kind for request in drawn)
    assert 5_300 < kinds["harmless"] < 5_700
    assert 2_300 < kinds["harmful"] < 2_700
    assert 1_800 < kinds["borderline"] < 2_200
    assert {request.scenario for request in drawn} == {
        "add",
        "inline",
        "ask",
        "correct",
        "answered",
        "move",
        "cancel",
        "plain",
        "pivot",
        "press",
    }


def test_splits_share_no_task_and_no_request(drawn: list[Request]) -> None:
    unseen = make_requests(3_000, seed=1, split="unseen")
    tasks = {task for request in drawn for task in request.tasks}
    unseen_tasks = {task for request in unseen for task in request.tasks}
    assert not tasks & unseen_tasks
    assert not {request.messages for request in drawn} & {request.messages for request in unseen}
    # the words themselves are not new, only what is said with them
    words = {word for task in tasks for word in task.split()}
    assert sum(word in words for task in unseen_tasks for word in task.split()) > 0.97 * sum(
        len(task.split()) for task in unseen_tasks
    )


def test_split_is_a_hash_of_the_phrase() -> None:
    """First bytes of the phrases' SHA-256: 80 and 85 are multiples of five, 98 and 22 are not."""
    assert [split_of(task) for task in ("call Ana", "call Bob")] == ["unseen", "unseen"]
    assert [split_of(task) for task in ("call Gina", "meet Tom")] == ["train", "train"]


def test_truth_stands_in_the_words(drawn: list[Request]) -> None:
    for request in drawn:
        fields = dict(request.fields)
        assert list(fields) == [name for name in FIELDS if name in fields]
        said = " ".join(text for _, text in request.messages).lower()
        if request.act == "decline":
            assert request.kind == "harmful" and is_harmful(request.tasks[-1])
            assert request.tasks[-1].lower() in said
            continue
        assert not is_harmful(fields["task"])
        assert (request.act == "ask") == ("?" in fields.values())
        if request.scenario != "correct":
            assert fields["task"].lower() in said
        if "day" in fields and fields["day"] != "?":
            assert all(part.lower() in said for part in fields["day"].split())


@pytest.mark.parametrize(
    ("said", "time"),
    [
        ("at half past nine on", "9:30"),
        ("at quarter to ten on", "9:45"),
        ("at three on", "15:00"),
        ("at noon", "12:00"),
        ("at 8 pm", "20:00"),
        ("at quarter past six on", "18:15"),
    ],
)
def test_times_mean_what_people_mean(drawn: list[Request], said: str, time: str) -> None:
    times = {
        dict(request.fields).get("time")
        for request in drawn
        if request.scenario == "add" and f" {said}" in request.messages[-1][1]
    }
    assert times == {time}


def test_same_seed_same_requests_and_one_kind_on_request() -> None:
    assert make_requests(50, 3, "unseen") == make_requests(50, 3, "unseen")
    assert {request.kind for request in make_requests(50, 3, kind="borderline")} == {"borderline"}
    with pytest.raises(ValueError, match="'test'"):
        make_requests(1, 0, "test")
