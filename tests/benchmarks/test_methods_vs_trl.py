"""What the comparison of the kinds of input takes as the same work, and how it sums it up."""

import pytest

import methods_table
from methods_cases import ANSWERS, CASES, SOLUTION_STEPS, chosen_cases, labelled, rankings, solutions
from methods_vs_trl import compared

PAIRS = [{"prompt": f"{'p' * (i + 1)}:", "chosen": f" good {i}", "rejected": f" bad {i}"} for i in range(40)]


def run(seconds: float, tokens: int = 10, losses: tuple[float, ...] = (0.5, 0.25)) -> dict:
    return {"train_seconds": seconds, "tokens": tokens, "losses": list(losses)}


def halves() -> tuple[list[dict], list[dict]]:
    """Two repeats: 2 and 4 s by tries; 4 and 12 s by rows; TRL 10 and 8 s, its second loss 0.001 off in one of them."""
    ours = [
        {"cases": {"kto": {"trie": run(2), "rows": run(4, 20)}, "orpo": {"trie": run(1)}}},
        {"cases": {"kto": {"trie": run(4), "rows": run(12, 20)}, "orpo": {"trie": run(1)}}},
    ]
    theirs = [{"cases": {"kto": run(10, 30)}}, {"cases": {"kto": run(8, 30, (0.5, 0.251))}}]
    return ours, theirs


def test_speeds_are_medians_of_ratios_within_a_repeat():
    found = compared("kto", *halves())
    assert found["speedup_plain_rows"] == pytest.approx((4 / 2 + 12 / 4) / 2)
    assert found["speedup_trl"] == pytest.approx((10 / 2 + 8 / 4) / 2)
    assert found["max_loss_difference_trl"] == pytest.approx(0.001)
    assert found["max_loss_difference_plain_rows"] == 0


def test_the_table_leaves_out_what_was_not_run():
    ours, theirs = halves()
    kto, orpo = (compared(name, ours, theirs) | {"max_loss_difference_none": 0.0} for name in ("kto", "orpo"))
    assert methods_table.row("kto", kto) == ("kto", "3.0", "2.50", "3.50", "10", "20", "30", "1e-03")
    assert methods_table.row("orpo", orpo)[2:] == ("", "", "10", "", "", "0e+00")


def test_rows_of_each_kind():
    assert [row["label"] for row in labelled(PAIRS[:4])] == [True, False, True, False]
    assert labelled(PAIRS)[1]["completion"] == " bad 1"
    longest, second = rankings(PAIRS, 2)
    assert longest["prompt"] == PAIRS[39]["prompt"] and second["prompt"] == PAIRS[38]["prompt"]
    assert all(len(set(row["completions"])) == ANSWERS == len(row["ranking"]) for row in (longest, second))
    rows = solutions(PAIRS, 2)
    assert len(rows) == 2 * SOLUTION_STEPS and len({row["prompt"] for row in rows}) == 2
    for i, row in enumerate(rows[:SOLUTION_STEPS]):
        assert len(row["steps"]) == i and row["chosen"] != row["rejected"]
        assert i == 0 or row["steps"][-1] == rows[i - 1]["chosen"]


def test_cases_are_chosen_by_name():
    assert chosen_cases("") == list(CASES)
    assert [(case.name, case.rows) for case in chosen_cases("kto,sft", rows=8)] == [("kto", 8), ("sft", 8)]
    with pytest.raises(ValueError, match="no case 'ppo'"):
        chosen_cases("ppo")
