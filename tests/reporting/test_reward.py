"""A reward model's run: what its page and its card say."""

import json
import re

import numpy as np
import pytest

from pairwright.evaluation.reward import Judged, evaluation
from pairwright.reporting import model_card, write_report
from pairwright.reporting.reward import judged


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 30, (2, 40))
    found = evaluation(Judged(rng.normal(1, 1, 40), *lengths, np.arange(40), np.ones(40)), seed=0)
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    line = {"step": 1, "loss": 0.5, "accuracy": 0.75, "margin": 0.5, "min_reward": -1.0, "max_reward": 2.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line | {"mean_reward": 0.1}) + "\n")
    (tmp_path / "config.json").write_text(json.dumps({"config": {"method": "reward", "model": "m", "data": "d"}}))
    (tmp_path / "model").mkdir()
    return tmp_path, found


def test_the_page_shows_the_evaluation(run):
    folder, found = run
    page = write_report(folder).read_text()
    assert "On held-out pairs" in page and f"It {found['verdict']}." in page
    for name in ("accuracy", "longest_wins"):
        assert f"<td>{found[name]['mean']:.3f}</td>" in page
    assert f"calibration error {found['calibration']['expected_calibration_error']:.3f}" in page
    assert len(re.findall(r'aria-label="(?:Sure to|Right, by length)', page)) == 2
    assert "What the model said" not in page  # it says nothing
    for title in ("Pairs ranked right", "Margin of the scores", "Scores, smallest and largest", "Mean score"):
        assert title in page


def test_another_evaluation_is_left_alone(tmp_path):
    remarks: list[str] = []
    assert judged(tmp_path, remarks) is None
    (tmp_path / "evaluation.json").write_text('{"base": {}, "accuracy": 1}')
    assert judged(tmp_path, remarks) is None and remarks == []


@pytest.mark.parametrize(
    ("name", "saved", "expected"),
    [
        (
            "config.json",
            {"architectures": ["LlamaForSequenceClassification"]},
            "import AutoModelForSequenceC",
        ),
        ("config.json", {"architectures": ["LlamaForCausalLM"]}, "transformers import AutoModelForCausalLM"),
        ("adapter_config.json", {"task_type": "SEQ_CLS"}, "num_labels=1, pad_token_id=tokenizer.pad_token_id"),
        ("adapter_config.json", {"task_type": "CAUSAL_LM"}, "peft import AutoPeftModelForCausalLM"),
    ],
)
def test_the_card_says_how_to_load_it(run, name, saved, expected):
    folder, _ = run
    (folder / "model" / name).write_text(json.dumps(saved))
    assert expected in model_card(folder).read_text()
