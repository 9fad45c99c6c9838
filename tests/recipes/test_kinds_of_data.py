"""Runs on rankings, votes, steps and conversations: what is said, what is dropped, that the first loss is what it must
be before anything is learned, and that resumed and cut runs end alike."""

import json
import math
import random

import pytest

from pairwright.errors import CheckpointError, ConfigError, DataError, FormatError
from pairwright.reading import ReadReport
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.preferences import dimension_weights, prepare
from pairwright.recipes.train import train
from pairwright.records import Comparison, Preference, Ranking, Source
from tests.tiny import Heard, lines, text, write_model, write_rows


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def run(model, data, out, display=None, **settings):
    standard = {"tuning": "full", "pairs_per_step": 4, "steps": 3, "learning_rate": 1e-3, "sample_prompts": 0}
    return train(TrainConfig(str(model), str(data), str(out), **(standard | settings)), display or Heard())


def entries(out):
    return lines(out / "metrics.jsonl")


def ranking_rows(number, scores=(3, 1, 2, 1)):
    chance = random.Random(4)
    return [
        {
            "prompt": text(chance, 3, 9),
            "completions": [f" w{place} " + text(chance, 2, 6) for place in range(len(scores))],
            "scores": list(scores),
        }
        for _ in range(number)
    ]


def step_rows(solutions, steps):
    """Solutions of so many steps; their rows shuffled."""
    chance = random.Random(5)
    rows = []
    for _ in range(solutions):
        prompt, said = text(chance, 4, 8), []
        for _ in range(steps):
            right, wrong = "w1 " + text(chance, 2, 5), "w2 " + text(chance, 2, 5)
            rows.append({"prompt": prompt, "steps": list(said), "chosen": right, "rejected": wrong})
            said.append(right)
    chance.shuffle(rows)
    return rows


# Rankings and ties


def test_rankings_train_with_their_pairs_and_their_ties_left_out(model, tmp_path):
    """Four answers with scores 3, 1, 2, 1: six comparisons, one of them a tie."""
    data = write_rows(tmp_path / "rankings.jsonl", ranking_rows(12))
    result = run(model, data, tmp_path / "run", heard := Heard(), method="dpo", eval_fraction=0.25)
    assert "  ties: 12 of 72 comparisons in rankings left out; --ties half trains on them" in heard.lines
    first = entries(result.out)[0]
    assert first["eval_loss"] == pytest.approx(math.log(2)) and first["eval_rewards/accuracies"] == pytest.approx(0.5)
    assert entries(result.out)[-1]["eval_loss"] < math.log(2)


def test_ties_trained_on_as_half_a_preference(model, tmp_path):
    data = write_rows(tmp_path / "rankings.jsonl", ranking_rows(8))
    run(model, data, tmp_path / "run", heard := Heard(), ties="half")
    assert any("12 of 48" not in line and "8 of 48 comparisons in rankings trained" in line for line in heard.lines)


def test_tied_pairs_go_by_a_rule_or_pull_nothing(model, tmp_path):
    """12 pairs with equal ratings and 4 with others. Left out by default. As half a preference alone the gradient is 0
    at the start: nothing is learned from what nobody prefers."""
    chance = random.Random(1)
    rows = [
        {"prompt": text(chance, 3, 6), "chosen": " w1", "rejected": " w2", "score_chosen": 2, "score_rejected": 2}
        for _ in range(12)
    ]
    tied = write_rows(tmp_path / "tied.jsonl", rows)
    with pytest.raises(DataError, match=r"nothing but ties\. --ties half trains on them"):
        run(model, tied, tmp_path / "run")
    settings = {"ties": "half", "eval_fraction": 0.0, "steps": 1}
    result = run(model, tied, tmp_path / "half", heard := Heard(), **settings)
    assert entries(result.out)[0]["grad_norm"] == pytest.approx(0, abs=1e-6)
    assert "  ties: 12 pairs trained on as half a preference either way" in heard.lines
    mixed = write_rows(tmp_path / "mixed.jsonl", rows + [{**row, "score_chosen": 5} for row in rows[:4]])
    run(model, mixed, tmp_path / "mixed", heard := Heard(), eval_fraction=0.0)
    assert "  16 rows read = 4 kept + 0 quarantined + 12 dropped (12 tie)" in heard.lines
    assert "  ties: 12 rows prefer no answer and were left out; --ties half trains on them" in heard.lines


def test_ratings_of_a_ranking_reach_the_method_that_compares_them(model, tmp_path):
    """Squared distance of the scores' differences at the start: 3 and 1: 4, 3 and 2: 1, 3 and 1: 4, 2 and 1 twice: 1.
    Mean over five comparisons 2.2; the tie is left out."""
    data = write_rows(tmp_path / "rankings.jsonl", ranking_rows(8))
    options = {"variant": "reward_aware", "distance": "squared"}
    result = run(model, data, tmp_path / "run", method="rpo", options=options, eval_fraction=0.5, steps=1)
    assert entries(result.out)[0]["eval_loss"] == pytest.approx(2.2, abs=1e-5)


def test_sft_takes_the_best_answer_of_a_ranking(model, tmp_path):
    data = write_rows(tmp_path / "rankings.jsonl", ranking_rows(8))
    run(model, data, tmp_path / "run", heard := Heard(), method="sft", sample_prompts=1, steps=1)
    assert any("the best answer is learned from, the others are not used" in line for line in heard.lines)
    sample = lines(tmp_path / "run" / "samples.jsonl")[0]
    assert sample["chosen"].startswith(" w0 ")


# Margins


def test_a_margin_that_the_method_does_not_use_is_said(model, tmp_path):
    rows = [{"prompt": "w1", "chosen": f" w{n}", "rejected": " w0 w0", "margin": 1.5} for n in range(1, 9)]
    data = write_rows(tmp_path / "margins.jsonl", rows)
    run(model, data, tmp_path / "run", heard := Heard(), eval_fraction=0.0, steps=1)
    assert "  margins of 8 pairs are not used: dpo has none, reward has" in heard.lines
    with pytest.raises(ConfigError, match="--margins scores: dpo has no margin between the answers; reward has"):
        run(model, data, tmp_path / "no", margins="scores")


def test_margins_from_ratings():
    """A pair of ratings 4 and 1.5, a ranking of 3, 1 and 2, a pair without ratings that keeps its own."""
    here = Source("made.jsonl", 1)
    ranking = Ranking("a", ("b", "c", "d"), (Comparison(0, 1), Comparison(2, 1)), here, scores=(3.0, 1.0, 2.0))
    rated = Preference("a", "b", "c", here, margin=9.0, score_chosen=4.0, score_rejected=1.5)
    bare = Preference("a", "b", "c", here, margin=9.0)
    report = ReadReport([rated, ranking, bare], read=3)
    prepare(report, "made", TrainConfig("m", "d", "o", method="reward", margins="scores"), margins=True)
    one, several, other = report.records
    assert (one.margin, other.margin) == (2.5, 9.0)
    assert [c.margin for c in several.comparisons] == [2.0, 1.0]
    assert report.notes == ["margins: the differences of the ratings; none for 1 rows without both"]


@pytest.mark.parametrize("setting", ["turns", "ties", "margins"])
def test_settings_that_there_are_not(model, tmp_path, setting):
    data = write_rows(tmp_path / "rankings.jsonl", ranking_rows(4))
    with pytest.raises(ConfigError, match=f"--{setting} is 'some'; it is one of"):
        run(model, data, tmp_path / "run", **{setting: "some"})


# Votes


def voted_rows(number):
    """Helpful: two of three for the first. Harmless: all for the second."""
    votes = [{"choice": c, "dimension": "helpful"} for c in (0, 0, 1)] + [{"choice": 1, "dimension": "harmless"}]
    chance = random.Random(2)
    return [{"prompt": text(chance, 3, 6), "responses": [" w1 w2", " w3"], "votes": votes} for _ in range(number)]


def test_weights_of_dimensions_make_the_label(model, tmp_path):
    data = write_rows(tmp_path / "votes.jsonl", voted_rows(8))
    result = run(model, data, tmp_path / "run", heard := Heard(), dimensions="helpful=5,harmless=1", sample_prompts=1)
    assert "  dimensions weigh: helpful 5, harmless 1" in heard.lines
    assert lines(result.out / "samples.jsonl")[0]["chosen"] == " w1 w2"  # 5/6 of 2/3 and 1/6 of 0: 5/9
    assert lines(run(model, data, tmp_path / "even", sample_prompts=1).out / "samples.jsonl")[0]["chosen"] == " w3"
    with pytest.raises(DataError, match="nothing but ties"):
        run(model, data, tmp_path / "tied", dimensions="helpful=3,harmless=1")  # 3/4 of 2/3 and 1/4 of 0: a half
    with pytest.raises(ConfigError, match=r"has no votes on concise\. There are: 'harmless', 'helpful'"):
        run(model, data, tmp_path / "no", dimensions="concise=1")


@pytest.mark.parametrize("given", ["", "helpful", "helpful=x", "a=1,,b=2", "a=-1", "a=0", "a=inf"])
def test_weights_that_cannot_be_meant(given):
    with pytest.raises(ConfigError, match="--dimensions is"):
        dimension_weights(given)


def test_weights_of_dimensions_are_read():
    assert dimension_weights("helpful=2, to the point=0.5") == {"helpful": 2.0, "to the point": 0.5}


# Steps


def test_steps_are_gathered_and_learned(model, tmp_path):
    data = write_rows(tmp_path / "steps.jsonl", step_rows(8, 5))
    settings = {"method": "step_dpo", "eval_fraction": 0.25, "steps": 8}
    result = run(model, data, tmp_path / "run", heard := Heard(), **settings)
    assert "  40 step preferences in 8 solutions, each with its steps once" in heard.lines
    found = entries(result.out)
    assert found[0]["eval_loss"] == pytest.approx(math.log(2)) and found[0]["eval_rewards/accuracies"] == pytest.approx(
        0.5
    )
    assert found[-1]["eval_loss"] < math.log(2)
    tokens = [entry["tokens_computed"] for entry in found if "tokens_computed" in entry]
    assert max(tokens) < 4 * 100  # four solutions of at most 8 + 10 * 6 tokens


def test_a_run_on_steps_cut_or_resumed_ends_alike(model, tmp_path):
    data = write_rows(tmp_path / "steps.jsonl", step_rows(8, 4))
    settings = {"method": "step_dpo", "eval_fraction": 0.0, "steps": 4, "save_every": 2}
    whole = run(model, data, tmp_path / "whole", **settings)
    cut = run(model, data, tmp_path / "cut", tokens_per_batch=20, **settings)
    for one, other in zip(entries(whole.out), entries(cut.out)):
        for name in ("loss", "grad_norm", "rewards/margins", "num_tokens"):
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), name
    (whole.out / "model" / "model.safetensors").rename(tmp_path / "first.safetensors")
    for path in (whole.out / "checkpoints").glob("step-000004"):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    run(model, data, tmp_path / "whole", resume=True, **settings)
    again = (whole.out / "model" / "model.safetensors").read_bytes()
    assert again == (tmp_path / "first.safetensors").read_bytes()
    more = write_rows(tmp_path / "more.jsonl", [{**row, "weight": 2} for row in step_rows(8, 4)])
    with pytest.raises(CheckpointError, match=r"data \(tokens\)"):
        run(model, more, tmp_path / "whole", resume=True, **settings)


# Conversations


def conversations(number):
    chance = random.Random(3)
    said = lambda role, low, high: {"role": role, "content": text(chance, low, high)}  # noqa: E731
    rows = []
    for _ in range(number):
        rows.append({"prompt": [said("user", 2, 4)]})
        for side, first in (("chosen", "w1"), ("rejected", "w2")):
            start = {"role": "assistant", "content": first}
            rows[-1][side] = [start, said("user", 2, 3), said("assistant", 2, 4)]
    return rows


def test_which_turns_are_scored_is_said_and_counts(model, tmp_path):
    data = write_rows(tmp_path / "talks.jsonl", conversations(8))
    settings = {"chat_template": "text", "eval_fraction": 0.0, "steps": 1, "pairs_per_step": 8}
    every = run(model, data, tmp_path / "all", heard := Heard(), **settings)
    assert "  turns: 8 of 8 examples are scored on several, at most 2" in heard.lines
    last = run(model, data, tmp_path / "last", heard := Heard(), turns="last", **settings)
    assert "  turns: the last assistant turn of each answer is scored, and none before it" in heard.lines
    assert entries(last.out)[0]["num_tokens"] < entries(every.out)[0]["num_tokens"]
    assert json.loads((last.out / "config.json").read_text())["config"]["turns"] == "last"


def test_dmpo_is_dpo_where_one_turn_is_scored(model, tmp_path):
    """On the last turn alone both are the same run; on all turns they are not, and the reference cache holds each
    token's value once for both."""
    data = write_rows(tmp_path / "talks.jsonl", conversations(8))
    settings = {"chat_template": "text", "eval_fraction": 0.0, "steps": 3, "options": {"beta": 0.1}}
    losses = {}
    for turns in ("last", "all"):
        for method in ("dpo", "dmpo"):
            heard = Heard()
            out = run(model, data, tmp_path / f"{method}-{turns}", heard, method=method, turns=turns, **settings).out
            losses[turns, method] = [entry["loss"] for entry in entries(out)]
            assert losses[turns, method][0] == pytest.approx(math.log(2))
    assert "reference: 0 examples computed" in heard.line("reference:")
    assert losses["last", "dpo"] == losses["last", "dmpo"]
    assert losses["all", "dpo"][1:] != losses["all", "dmpo"][1:]


# Data of the wrong kind


@pytest.mark.parametrize(
    ("method", "rows", "said"),
    [
        (
            "step_dpo",
            ranking_rows(3),
            r"holds completions, which is pairs or rankings.*, not steps.*take them: dmpo, dpo",
        ),
        ("dpo", step_rows(1, 3), r"steps of solutions, not pairs or rankings of answers.*take them: step_dpo\."),
        ("sft", step_rows(1, 3), r"steps of solutions, not demonstrations.*take them: step_dpo\."),
        ("kto", ranking_rows(3), r"pairs or rankings of answers, not answers labelled.*take them: dmpo, dpo.*sft"),
    ],
)
def test_data_of_the_wrong_kind_names_the_methods_that_fit(model, tmp_path, method, rows, said):
    data = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(FormatError, match=said):
        run(model, data, tmp_path / "run", method=method)
