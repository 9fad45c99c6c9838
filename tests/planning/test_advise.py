"""Every leaf of the rules is reached by facts that a user could have; answers hang together."""

from dataclasses import replace

import pytest
from tests.tiny import Heard, pair_rows, write_rows

from pairwright.cli import main
from pairwright.commandline.objectives import options_class
from pairwright.planning.advise import advise, by_leaf
from pairwright.planning.rules import RULES, Condition, Facts
from pairwright.recipes.advise import RATES, AdviseConfig, exists, run_advise
from pairwright.recipes.methods import module

PAIRS = Facts(data="pairs", rows=8_000, tuned=True)
LEAVES = {
    "step-dpo": Facts(data="steps", rows=2_000),
    "ppo-verifier": Facts(verifiable=True, tuned=True, memory=14.56),
    "constitution": Facts(goal="safety", judge=True, tuned=True),
    "rlaif": Facts(judge=True, tuned=True),
    "sft": Facts(data="demonstrations", rows=300),
    "collect": Facts(data="pairs", rows=499, tuned=True),
    "kto": Facts(data="labelled", rows=3_000),
    "ppo": replace(PAIRS, reward_model=True, memory=24.0),
    "multi-turn-dpo": replace(PAIRS, multi_turn=True),
    "robust": replace(PAIRS, noise=0.1),
    "rpo": replace(PAIRS, noise=0.02, near_identical=0.3),
    "length": replace(PAIRS, longest_wins=0.7),
    "ipo": replace(PAIRS, rows=2_000, agreement=0.97),
    "orpo": Facts(data="pairs", rows=8_000, tuned=False, memory=10.57),
    "sft-first": Facts(data="pairs", rows=8_000, tuned=False, memory=24.0),
    "collect-from-nothing": Facts(rows=900),
    "dpo": replace(PAIRS, noise=0.05, longest_wins=0.6, near_identical=0.01, agreement=0.8, memory=24.0),
}


@pytest.mark.parametrize("leaf", LEAVES)
def test_each_leaf(leaf):
    assert advise(LEAVES[leaf]).rule.leaf == leaf


def test_all_leaves_are_tested():
    assert set(LEAVES) == {rule.leaf for rule in RULES}
    assert advise(Facts()).rule.leaf == "collect"


def test_unknown_facts_are_not_weighed():
    found = advise(Facts(data="pairs", rows=8_000))
    assert found.rule.leaf == "dpo"
    assert any("noise" in caution and "not known" in caution for caution in found.cautions)


def test_what_would_change_it_does():
    """One fact moved as the answer says, and the other rule is taken."""
    found = advise(LEAVES["dpo"])
    assert "noise at least 0.1 (now 0.05): robust" in found.changes
    assert advise(replace(LEAVES["dpo"], noise=0.1)).rule.leaf == "robust"
    assert advise(replace(LEAVES["dpo"], noise=0.0999)).rule.leaf == "dpo"


def test_too_little_for_the_goal_is_said():
    few = advise(replace(PAIRS, rows=1_000))
    assert few.cautions[0].startswith("1,000 examples; style usually takes 5,000 to 10,000")
    assert not any("usually takes" in c for c in advise(PAIRS).cautions)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.leaf)
def test_a_rule_is_whole(rule):
    assert by_leaf(rule.second) and rule.source and rule.why
    for condition in rule.when:
        assert hasattr(Facts(), condition.fact)
    if rule.method and exists(rule.method):
        assert options_class(rule.method)(**rule.options) is not None
        rates = module(rule.method).LEARNING_RATE
        assert RATES.get(rule.method, (5e-6, 5e-7)) == (rates["lora"], rates["full"])


def test_conditions_in_words():
    assert Condition("rows", "below", 5000).words() == "rows below 5,000"
    assert Condition("tuned", "is", False).words() == "tuned is no"


def test_a_file_is_audited_and_the_command_parses(tmp_path):
    """Random words say nothing: no noise rate is claimed as high, and 600 pairs get a plain method."""
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(600))
    found = run_advise(AdviseConfig(data=str(data), model="m", tuned="yes", gpu="t4"), Heard())
    assert found.facts.data == "pairs" and found.facts.rows == 600 and found.facts.longest_wins is not None
    assert found.command is not None and found.missing == ""
    words = found.command.split()
    assert words[:2] == ["pairwright", "train"] and exists(words[2]) and f"--data {data}" in found.command


def test_flipped_labels_are_found_and_answered(tmp_path):
    """A rule that words of the answer decide, with three labels in ten turned round."""
    rows = pair_rows(1500, seed=3)
    for number, row in enumerate(rows):
        good, bad = " yes please" + row["chosen"], " no never" + row["rejected"]
        row["chosen"], row["rejected"] = (bad, good) if number % 10 < 3 else (good, bad)
    data = write_rows(tmp_path / "pairs.jsonl", rows)
    found = run_advise(AdviseConfig(data=str(data), tuned="yes"), Heard())
    assert found.facts.noise == pytest.approx(0.3, abs=0.06)
    assert found.advice.rule.leaf == "robust"


def test_in_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = ["advise", "--kind", "pairs", "--rows", "8000", "--gpu", "t4", "--tuned", "yes", "--model", "m"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert text.startswith("recommendation: dpo") and "runner-up" in text and "what would change" in text
    words = "pairwright train dpo --model m --data DATA --out runs/dpo --beta 0.1 --pairs-per-step 32 --tuning qlora"
    assert words in text.splitlines()
    assert "put yours for DATA" in text


def test_ppo_asks_for_its_reward():
    found = run_advise(AdviseConfig(kind="pairs", rows=8000, tuned="yes", reward_model="yes", gpu="l4"), Heard())
    assert found.advice.rule.leaf == "ppo"
    assert found.command is not None and " --reward REWARD" in found.command and "REWARD" in found.missing


def test_what_does_not_exist_gets_no_command(capsys):
    assert main(["advise", "--judge", "yes", "--tuned", "yes"]) == 0
    text = capsys.readouterr().out
    assert (
        "recommendation: rlaif" in text
        and "no command: this version has no rlaif" in text
        and "pairwright train" not in text
    )
    assert main(["advise", "x.jsonl", "--rows", "3"]) == 2
