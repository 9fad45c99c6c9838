"""The comparison of methods on the miniature: its data, its figures, and pages that say what its result says."""

import json
import random

import pytest

import miniature_pages
from methods_on_miniature import RESULT, Draw, opened, rate_name
from miniature_cells import CONDITIONS, METHODS, Condition, Settings, describe, rows_of
from miniature_figures import Claim, Figures, claims, plus_minus
from pairwright.evaluation.statistics import Interval
from pairwright.miniature import DIMENSIONS, Answer, Labelled, Pair, Vote, make_requests
from pairwright.recipes import methods

SEEDS = 3


def labelled(n: int) -> list[Labelled]:
    """The first answer preferred, and longer by a word."""
    requests = make_requests(n, seed=1)
    answers = (Answer("one two three", True), Answer("four five", True))
    return [Labelled(Pair(request, answers), (Vote("a", 0, (0, 1)),)) for request in requests]


def result(**changes: float) -> dict:
    """A result in which every cell has gold 0.5, length 20 and divergence 1, but for those that are named as
    CONDITION__METHOD__MEASURE: the value of the first seed; the next ones have 0.01 and 0.02 more."""
    cells = {}
    places = [("start", "base"), ("start", "sft"), *((c.name, name) for c in CONDITIONS for name in c.methods)]
    for seed in range(SEEDS):
        for condition, name in places:
            cell = dict.fromkeys((*DIMENSIONS, "gold"), 0.5) | {"length": 20.0, "divergence": 1.0}
            for key, value in changes.items():
                where, method, measure = key.split("__")
                if (where, method) == (condition, name):
                    cell[measure] = value + 0.01 * seed
            cells[f"{seed}/{condition}/{name}"] = cell
    rates = {rate_name(condition, METHODS[name]): 2e-4 for condition in CONDITIONS for name in condition.methods}
    settings = json.loads(json.dumps(vars(Settings())))
    return {
        "settings": settings,
        "cells": cells,
        "data": {},
        "rates": rates,
        "versions": {"pairwright": "0", "torch": "0"},
    } | {"date": "2026-11-21"}


def test_flipped_and_unpaired_rows():
    """Of eight pairs two are turned round; unpaired, each gives one answer, two of them good."""
    clean, flipped = (rows_of(condition, labelled(8), 0) for condition in ("clean", "flipped"))
    assert describe(clean) == {"rows": 8, "longer_chosen": 1.0}
    assert describe(flipped) == {"rows": 8, "longer_chosen": 0.75}
    for one, other in zip(clean, flipped):
        assert {one["chosen"][0]["content"], one["rejected"][0]["content"]} == {
            other["chosen"][0]["content"],
            other["rejected"][0]["content"],
        }
    unpaired = rows_of("unpaired", labelled(8), 0)
    assert describe(unpaired) == {"rows": 8, "good": 0.25}
    assert [row["prompt"] for row in unpaired] == [row["prompt"] for row in clean]
    assert all((row["completion"][0]["content"] == "one two three") == row["label"] for row in unpaired)


def test_every_pair_method_of_the_package_takes_part():
    """Objectives for single preferences and labelled answers; the miniature has no rankings, steps or turns."""
    names = {name for name in methods.names() if methods.module(name).INPUT in ("pairs", "labelled")}
    assert names <= {method.objective for method in METHODS.values()} | {"step_dpo", "dmpo"}


def test_half_an_interval():
    """0.5, 0.51, 0.52: mean 0.51, deviation 0.01, t(2) = 4.302653: 4.302653 * 0.01 / sqrt(3) = 0.0248."""
    figures = Figures(result(clean__dpo__gold=0.5))
    assert plus_minus(figures.mean("clean", "dpo", "gold"), 4) == "0.5100 ± 0.0248"


def test_what_flips_cost_is_held_against_the_methods_own_clean_result():
    """dpo falls from 0.8 to 0.6 and robust, told the rate, from 0.7 (at its default) to 0.65: it loses 0.15 less. The
    seeds move together, so the differences have no spread."""
    changes = {
        "clean__dpo__gold": 0.8,
        "flipped__dpo__gold": 0.6,
        "clean__robust__gold": 0.7,
        "flipped__robust, flip rate 0.25__gold": 0.65,
    }
    found = {claim.text: claim for claim in claims(Figures(result(**changes)))}
    dpo, robust = (
        found["flipped labels: dpo loses gold reward"],
        found["flipped labels: robust, flip rate 0.25 loses less than dpo"],
    )
    assert dpo.difference.mean == pytest.approx(0.2) and dpo.verdict == "yes"
    assert robust.difference.mean == pytest.approx(-0.15) and robust.verdict == "yes"


@pytest.mark.parametrize(
    ("low", "high", "more", "verdict"),
    [
        (0.1, 0.2, True, "yes"),
        (0.1, 0.2, False, "no, the opposite"),
        (-0.2, -0.1, False, "yes"),
        (-0.2, -0.1, True, "no, the opposite"),
        (-0.1, 0.1, True, "not clear"),
    ],
)
def test_a_claim_is_judged_by_its_interval(low, high, more, verdict):
    assert Claim("", Interval((low + high) / 2, low, high), 2, more).verdict == verdict


def test_a_condition_without_all_its_seeds_is_left_out():
    unfinished = result()
    del unfinished["cells"]["2/longer/simpo"]
    page = miniature_pages.compared(unfinished)
    assert "| [simpo](methods/simpo.md) | 0.500 ± 0.000" in page  # of ordinary comparisons
    table = page.partition("## Annotators with a taste for length")[2].partition("## Flipped labels")[0]
    assert "[r_dpo]" in table and "[simpo]" not in table
    assert "taste for length: simpo" not in page and "without SFT: orpo" in page


def test_another_setting_is_not_mixed_in(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(opened(path, Settings()).result))
    assert opened(path, Settings()).result["settings"]["seeds"] == 3
    with pytest.raises(SystemExit, match="made with other settings"):
        opened(path, Settings(seeds=4))


def test_pairs_are_read_back_as_they_were_sampled(tmp_path, monkeypatch):
    requests = make_requests(4, seed=1000, split="train")
    made = [Pair(random.Random(0).choice(requests), (Answer("a", True), Answer("b", False)))]
    calls = []
    monkeypatch.setattr("methods_on_miniature.stages.own_pairs", lambda *a, **k: calls.append(a) or made)
    monkeypatch.setattr(Draw, "sft", lambda self: tmp_path)
    draw = Draw(0, Settings(asked=4), tmp_path)
    assert draw.pairs() == made and draw.pairs() == made and len(calls) == 1


def test_without_sft_means_the_base_model():
    from pairwright.miniature import BASE_MODEL

    assert Draw(0, Settings(), RESULT.parent).start(Condition("x", (), base=True)) == BASE_MODEL


@pytest.mark.skipif(not RESULT.exists(), reason="no result is kept here yet")
def test_the_pages_say_what_the_result_says():
    kept = json.loads(RESULT.read_text(encoding="utf-8"))
    assert miniature_pages.PAGE.read_text(encoding="utf-8") == miniature_pages.compared(kept)
    pages = miniature_pages.examples(kept)
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, "run python benchmarks/methods_on_miniature.py --pages"
    assert {path.stem for path in pages} >= {method.objective for method in METHODS.values()} | {"sft"}
