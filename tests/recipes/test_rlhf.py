"""rlhf() from prompts and a reward to a model, in every mode: what it leaves, and what must hold."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from pairwright import TrainConfig, train
from pairwright.errors import CheckpointError, ConfigError, DataError, TrainingError
from pairwright.recipes.display import Display
from pairwright.recipes.rewards import named, penalties
from pairwright.recipes.rlhf import rlhf
from pairwright.recipes.rlhf_config import RlhfConfig
from pairwright.reporting import model_card, write_report
from tests.tiny import Heard, lines, pair_rows, write_model, write_rows

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## For sampled answers")[2].partition("## For")[0]
DEFINED = {*re.findall(r"^\| `([^`]+)` \|", SECTION, re.MULTILINE), "grad_norm", "tokens_computed"}

REWARD = '''
def few(completions, level, ended):
    """Fewer words are better; the column and the end are there."""
    assert set(level) <= {0, 1, 2} and set(map(type, ended)) == {bool}
    return [-0.1 * len(text.split()) for text in completions]


def letters(prompts, completions, **columns):
    return [float(text.count("1")) for text in completions]


def wrong(completions):
    return [0.0]
'''


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """model, prompts, file of functions, an SFT adapter on the model, reward models: an adapter on it, another one."""
    folder = tmp_path_factory.mktemp("files")
    model = write_model(folder / "model", hidden=64)
    pairs = write_rows(folder / "pairs.jsonl", pair_rows(16))
    rows = [{"prompt": row["prompt"], "level": number % 3} for number, row in enumerate(pair_rows(12))]
    functions = folder / "functions.py"
    functions.write_text(REWARD)
    found = {"model": model, "pairs": pairs, "prompts": write_rows(folder / "prompts.jsonl", rows), "file": functions}
    common = dict(steps=3, pairs_per_step=4, learning_rate=0.05, sample_prompts=0)
    settings = {
        "adapter": dict(method="sft", tuning="lora"),
        "shared": dict(method="reward", tuning="lora"),
        "apart": dict(method="reward", tuning="full"),
    }
    for name, own in settings.items():
        made = TrainConfig(str(model), str(pairs), str(folder / name), **common, **own)
        found[name] = train(made, Display(quiet=True)).model
    return found


def run(files, out, heard=None, **settings):
    standard = dict(
        model=files["model"], data=files["prompts"], reward=f"{files['file']}:few", steps=2, prompts_per_step=3,
        samples_per_prompt=3, max_new_tokens=6, learning_rate=1e-2, lora_r=4, eval_fraction=0.2, sample_prompts=2,
    )  # fmt: skip
    given = {name: str(v) if name in ("model", "data", "reward") else v for name, v in {**standard, **settings}.items()}
    return rlhf(RlhfConfig(out=str(out), **given), heard or Display(quiet=True))


MODES = [
    ("ppo", "lora", "model"),
    ("ppo", "full", "model"),
    ("ppo", "qlora", "model"),
    ("ppo", "lora", "adapter"),
    ("rloo", "full", "model"),
    ("grpo", "lora", "adapter"),
]


@pytest.mark.parametrize(("method", "tuning", "start"), MODES)
def test_every_mode_leaves_a_model_that_loads(files, tmp_path, method, tuning, start):
    if tuning == "qlora":
        pytest.importorskip("bitsandbytes")
    own = {} if start == "model" else {"lora_r": 16}  # a continued adapter keeps its rank
    result = run(files, tmp_path / "run", method=method, tuning=tuning, model=files[start], **own)
    assert result.steps == 2
    kind = AutoModelForCausalLM if tuning == "full" else AutoPeftModelForCausalLM
    model = kind.from_pretrained(result.model)
    AutoTokenizer.from_pretrained(result.model)
    assert not any("value" in name for name, _ in model.named_parameters())
    metrics = lines(tmp_path / "run" / "metrics.jsonl")
    steps = [row for row in metrics if "score" in row]
    assert [row["step"] for row in steps] == [1, 2]
    assert all(row["ratio_first"] == 0 for row in steps)
    assert all(row["sampler_difference"] < 1e-4 for row in steps) or tuning == "qlora"
    assert ("value_loss" in steps[0]) == (method == "ppo")
    assert all(math.isfinite(v) for row in metrics for v in row.values())
    names = {re.sub("^eval_|(?<=score/).*", lambda m: "" if m[0] == "eval_" else "NAME", n) for r in metrics for n in r}
    assert names <= DEFINED | {"step", "epoch", "learning_rate", "num_tokens"}
    if tuning != "full" or start == "model":
        first = next(row for row in metrics if "eval_kl" in row)
        assert first["step"] == 0 and first["eval_kl"] == pytest.approx(0, abs=1e-6)  # the reference is the start
    samples = lines(tmp_path / "run" / "samples.jsonl")
    assert {row["step"] for row in samples} == {0, 1, 2}
    assert {"prompt", "completion", "ended", "score"} <= samples[0].keys()
    timings = lines(tmp_path / "run" / "timings.jsonl")
    assert {"seconds", "sampling", "scoring", "reading", "update"} <= timings[0].keys()


def test_a_report_and_a_card_are_made_of_it(files, tmp_path):
    run(files, tmp_path / "run")
    assert "eval_score" in (tmp_path / "run" / "metrics.jsonl").read_text()
    page = write_report(tmp_path / "run").read_text()
    assert "PPO of" in page and "Score, weights and penalties applied" in page
    assert "score" in model_card(tmp_path / "run").read_text()


def test_a_reward_model_is_a_role_on_the_same_base(files, tmp_path):
    heard = Heard()
    run(files, tmp_path / "run", heard, reward=files["shared"])
    assert heard.line("reward: ") == "reward: shared, an adapter on the same base, weight 1"
    assert "started as the reward model's" in heard.line("roles: the value role")
    assert (
        "score/shared" in lines(tmp_path / "run" / "metrics.jsonl")[-1]
        or "eval_score/shared" in lines(tmp_path / "run" / "metrics.jsonl")[-1]
    )


@pytest.mark.parametrize("name", ["shared", "apart"])
def test_scores_are_the_reward_models_own(files, tmp_path, name):
    """Held-out answers of step 0 against transformers' own classifier."""
    from transformers import AutoModelForSequenceClassification

    run(files, tmp_path / "run", reward=files[name], steps=1, missing_eos_penalty=0.0)
    if name == "shared":
        from peft import AutoPeftModelForSequenceClassification

        classifier = AutoPeftModelForSequenceClassification.from_pretrained(files[name], num_labels=1)
    else:
        classifier = AutoModelForSequenceClassification.from_pretrained(files[name])
    tokenizer = AutoTokenizer.from_pretrained(files["model"])
    for row in lines(tmp_path / "run" / "samples.jsonl")[:2]:
        ids = tokenizer(row["prompt"] + " " + row["completion"])["input_ids"] + [1] * row["ended"]
        with torch.no_grad():
            expected = float(classifier(input_ids=torch.tensor([ids])).logits[0, 0])
        assert row["score"] == pytest.approx(expected, abs=1e-4)


def test_several_rewards_by_their_weights(files, tmp_path):
    """0.5 few - 2 letters: the total is the weighted sum of the logged parts, less what was taken off."""
    both = f"{files['file']}:few, {files['file']}:letters"
    run(files, tmp_path / "run", reward=both, reward_weights="0.5,-2", length_penalty=0.1, length_free=2)
    for row in lines(tmp_path / "run" / "metrics.jsonl"):
        start = "eval_" if "eval_score" in row else ""
        part = {
            name: row[f"{start}score/{name}"] for name in ("few", "letters", "penalty_missing_eos", "penalty_length")
        }
        expected = 0.5 * part["few"] - 2 * part["letters"] - part["penalty_missing_eos"] - part["penalty_length"]
        assert row[f"{start}score"] == pytest.approx(expected, abs=1e-5)


def test_penalties():
    """Three tokens over 2 free ones at 0.1: 0.3 off. Not ended: 1 off. No digit: 2 off."""
    from pairwright.feedback.generate import Generated

    config = RlhfConfig("m", "d", "o", "r", length_penalty=0.1, length_free=2, format_pattern=r"\d", format_penalty=2.0)
    answers = [[Generated((1, 2, 3, 4, 5), (0.0,) * 5, True), Generated((1,), (0.0,), False)]]
    found = penalties(config, answers, [["has 1 digit", "none"]])
    assert found == {
        "missing_eos": [0.0, 1.0],
        "length": [pytest.approx(0.3), 0.0],
        "format": [0.0, 2.0],
    }
    assert penalties(RlhfConfig("m", "d", "o", "r", missing_eos_penalty=0.0), answers, [["", ""]]) == {}


def test_resumed_with_another_reward_it_is_refused(files, tmp_path):
    run(files, tmp_path / "run", steps=1)
    with pytest.raises(CheckpointError, match="reward"):
        run(files, tmp_path / "run", steps=1, resume=True, reward=f"{files['file']}:letters")
    copy = tmp_path / "functions.py"
    shutil.copy(files["file"], copy)
    run(files, tmp_path / "other", steps=1, reward=f"{copy}:few")
    copy.write_text(copy.read_text() + "\n# changed\n")
    with pytest.raises(CheckpointError, match="rewards"):
        run(files, tmp_path / "other", steps=1, resume=True, reward=f"{copy}:few")


def test_a_function_that_fails_ends_the_run(files, tmp_path):
    with pytest.raises(TrainingError, match="wrong returned 1 numbers for"):
        run(files, tmp_path / "run", reward=f"{files['file']}:wrong")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"temperature": 0.0}, ConfigError, "--temperature is 0.0"),
        ({"samples_per_prompt": 0}, ConfigError, "--samples-per-prompt is 0"),
        ({"method": "rloo", "samples_per_prompt": 1}, ConfigError, "--samples-per-prompt 2 or more"),
        ({"max_new_tokens": 200}, ConfigError, "leaves no room for prompts"),
        ({"reward": ","}, ConfigError, "--reward names nothing"),
        ({"reward_weights": "1,2"}, ConfigError, "1 rewards need as many"),
        ({"format_pattern": "("}, ConfigError, "--format-pattern"),
        ({"method": "dpo"}, ConfigError, "there are grpo, ppo, rloo"),
        ({"options": {"clip": 2}}, ConfigError, "clip is 2"),
        ({"data": "nowhere.jsonl"}, DataError, "no such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(files, tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        run(files, tmp_path / "run", **settings)


def test_names_of_rewards():
    found = named(RlhfConfig("m", "d", "o", "pkg.mod:f, file.py:g", reward_weights="1,0.5"))
    assert [(each.name, each.weight, each.function) for each in found] == [("f", 1.0, True), ("g", 0.5, True)]
    with pytest.raises(ConfigError, match="two rewards are called f"):
        named(RlhfConfig("m", "d", "o", "a:f,b:f"))


def test_the_config_holds_every_setting(files, tmp_path):
    run(files, tmp_path / "run", options={"clip": 0.1}, steps=1)
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["config"]["options"]["clip"] == 0.1 and saved["config"]["options"]["gae_lambda"] == 0.95
    assert saved["chosen"]["steps"] == 1 and saved["versions"]["torch"] == torch.__version__
