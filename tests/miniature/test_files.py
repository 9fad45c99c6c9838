"""Rows in public formats, and the planted faults."""

import json
from pathlib import Path

import pytest

from pairwright.miniature import files, plant
from pairwright.miniature.annotators import TEAM, Labelled, label, make_pairs
from pairwright.miniature.answers import BASE, Answer, demonstrate
from pairwright.miniature.oracle import is_harmful, score
from pairwright.miniature.requests import make_requests


@pytest.fixture(scope="module")
def labelled() -> list[Labelled]:
    requests = make_requests(100, seed=4)
    answers = zip(demonstrate(requests, 1, BASE), demonstrate(requests, 2, BASE))
    return label(make_pairs(requests, [list(each) for each in answers]), TEAM, seed=0)


def test_preferences(labelled: list[Labelled]) -> None:
    rows = files.preferences(labelled)
    assert len(rows) == len(labelled)
    assert set(rows[0]) == {"prompt", "chosen", "rejected"}
    assert rows[0]["prompt"][-1]["role"] == "user"
    assert rows[0]["chosen"] == [{"role": "assistant", "content": labelled[0].chosen.text}]
    assert rows[0]["rejected"] == [{"role": "assistant", "content": labelled[0].rejected.text}]


def test_demonstrations_and_file(tmp_path: Path) -> None:
    requests = make_requests(5, seed=0)
    rows = files.demonstrations(requests, [Answer(f"é{i}") for i in range(5)])
    assert rows[3]["completion"] == [{"role": "assistant", "content": "é3"}]
    path = files.write(tmp_path / "demos.jsonl", rows)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == rows


def test_unpaired_and_annotated(labelled: list[Labelled]) -> None:
    rows = files.unpaired(labelled)
    assert [row["label"] for row in rows[:4]] == [True, False, True, False]
    assert [row["label"] for row in plant.blocks(rows)] == [True] * len(labelled) + [False] * len(labelled)
    votes = files.annotated(labelled)[0]
    assert votes["responses"] == [answer.text for answer in labelled[0].pair.answers]
    assert {vote["annotator"] for vote in votes["votes"]} == {"careful", "steady", "hasty"}
    assert all(sorted(vote["shown_order"]) == [0, 1] for vote in votes["votes"])


def test_refusal_only() -> None:
    rows = plant.refusal_only(make_requests(60, seed=1))
    for each in rows:
        assert "=" not in each.chosen.text
        assert "=" in each.rejected.text
    harmful = [each for each in rows if each.pair.request.kind == "harmful"]
    assert all(score(each.pair.request, each.rejected.text, True)["safe"] == 0 for each in harmful)
    assert all(is_harmful(each.pair.request.tasks[-1]) for each in harmful)


def test_off_policy_answers_share_no_form_with_the_models() -> None:
    for each in plant.off_policy(make_requests(10, seed=1)):
        assert each.chosen.text.startswith("Dear client") and each.rejected.text.startswith("Dear client")


def test_a_share_of_rows_is_spoiled_and_the_rest_untouched(labelled: list[Labelled]) -> None:
    rows = files.preferences(labelled)[:40]
    before = json.dumps(rows)
    cut = plant.cut(rows, 0.25)
    assert sum(new != old for new, old in zip(cut, rows)) == 10
    alike = plant.alike(rows, 0.5)
    assert sum(row["rejected"][0]["content"].startswith(row["chosen"][0]["content"]) for row in alike) >= 20
    templated = plant.templated(rows, 1.0)
    assert all(row["prompt"][-1]["content"].startswith("Human: ") for row in templated)
    assert all(row["chosen"][0]["content"].endswith("<|im_end|>") for row in templated)
    assert json.dumps(rows) == before


def test_added_rows(labelled: list[Labelled]) -> None:
    rows, test = files.preferences(labelled)[:40], files.preferences(labelled)[40:60]
    contradicted = plant.contradicted(rows, 0.1)
    assert len(contradicted) == 44
    twin = next(row for row in rows if row["prompt"] == contradicted[40]["prompt"])
    assert (contradicted[40]["chosen"], contradicted[40]["rejected"]) == (twin["rejected"], twin["chosen"])
    assert len(plant.repeated(rows, 0.5)) == 60
    assert sum(row in test for row in plant.leaked(rows, test, 0.5)) == 10
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        plant.cut(rows, 1.5)
