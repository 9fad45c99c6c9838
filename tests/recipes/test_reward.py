"""train reward, from a file to a reward model: its first step, what it leaves, its resume."""

import json
import math
import random

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pairwright import TrainConfig, train
from pairwright.backbone import heads
from pairwright.backbone.heads import new_head
from pairwright.errors import FormatError, Interrupted, ParityError
from pairwright.reading import read
from pairwright.recipes import train as recipe
from pairwright.recipes.data import split
from pairwright.records import Preference
from pairwright.tokens.chat import encode
from tests.tiny import Heard, lines, write_model, write_rows


def rows(number: int) -> list[dict]:
    """The chosen answer has the word w1 in it, and is as long as the other."""
    chance = random.Random(0)
    words = [f"w{n}" for n in range(2, 125)]
    out = []
    for _ in range(number):
        answer = chance.choices(words, k=chance.randint(2, 6))
        better = [*answer[:-1], "w1"]
        chance.shuffle(better)
        prompt = " ".join(chance.choices(words, k=4))
        out.append({"prompt": prompt, "chosen": " " + " ".join(better), "rejected": " " + " ".join(answer)})
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), hidden=64)  # bitsandbytes packs blocks of 64 weights


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "pairs.jsonl", rows(48))


RATE = {"full": 2e-3, "lora": 1e-2, "qlora": 1e-2}


def run(model, data, out, heard=None, **settings):
    standard = dict(method="reward", steps=4, pairs_per_step=4, learning_rate=1e-2, eval_fraction=0.25, save_every=2)
    return train(TrainConfig(str(model), str(data), str(out), **(standard | settings)), heard or Heard())


@pytest.mark.parametrize("tuning", ["full", "lora", "qlora"])
def test_every_tuning_learns_with_its_head(model, data, tmp_path, tuning):
    result = run(model, data, tmp_path / "run", tuning=tuning, steps=24, learning_rate=RATE[tuning])
    entries = [entry for entry in lines(result.out / "metrics.jsonl") if "loss" in entry]
    assert sum(e["loss"] for e in entries[-4:]) < 0.7 * sum(e["loss"] for e in entries[:4])
    assert result.metrics["eval_accuracy"] > 0.8
    evaluation = json.loads((result.out / "evaluation.json").read_text())
    assert evaluation["accuracy"]["mean"] == pytest.approx(result.metrics["eval_accuracy"])
    assert evaluation["verdict"] == "beats the longest-wins rule"
    saved = load_file(next((result.model).glob("*model.safetensors")))
    (weight,) = [value for name, value in saved.items() if name.endswith("score.weight")]
    assert not torch.equal(weight, new_head(64, seed=0).weight)  # it was trained, and saved


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_transformers_loads_what_it_leaves(model, data, tmp_path, tuning):
    result = run(model, data, tmp_path / "run", tuning=tuning)
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    loader = AutoModelForSequenceClassification if tuning == "full" else AutoPeftModelForSequenceClassification
    extra = {} if tuning == "full" else {"num_labels": 1, "pad_token_id": tokenizer.pad_token_id}
    network = loader.from_pretrained(str(result.model), **extra).eval()
    held = lines(result.out / "metrics.jsonl")[-1]
    records = read(str(data), Preference).records
    tokens = AutoTokenizer.from_pretrained(model)
    examples = encode(records, tokens, chat_template=None, max_length=128).examples
    _, held_out = split(examples, 0.25, 0)
    sides = []
    for side in (0, 1):
        texts = [tokenizer.decode(e.sequences[side].ids) for e in held_out]
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        with torch.no_grad():
            sides.append(network(batch.input_ids, attention_mask=batch.attention_mask).logits[:, 0])
    assert (sides[0] - sides[1]).mean().item() == pytest.approx(held["eval_margin"], abs=1e-5)
    assert torch.cat(sides).min().item() == pytest.approx(held["eval_min_reward"], abs=1e-5)
    assert torch.cat(sides).max().item() == pytest.approx(held["eval_max_reward"], abs=1e-5)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_an_interrupted_run_ends_with_the_same_bits(model, data, tmp_path, tuning, monkeypatch):
    settings = dict(tuning=tuning, lora_dropout=0.1 if tuning == "lora" else 0.0)
    whole = run(model, data, tmp_path / "whole", **settings)
    asked = iter([False, True])
    with monkeypatch.context() as patch:

        class Asked:
            def __enter__(self):
                return lambda: next(asked)

            def __exit__(self, *_):
                return False

        patch.setattr(recipe, "stop_on_signals", Asked)
        with pytest.raises(Interrupted):
            run(model, data, tmp_path / "cut", **settings)
    again = run(model, data, tmp_path / "cut", resume=True, **settings)
    assert (again.out / "metrics.jsonl").read_bytes() == (whole.out / "metrics.jsonl").read_bytes()
    for name in ("evaluation.json", "model/tokenizer.json"):
        assert (again.out / name).read_bytes() == (whole.out / name).read_bytes()
    (ours,), (theirs,) = ([*r.model.glob("*model.safetensors")] for r in (again, whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_first_loss_is_that_of_the_drawn_head(model, data, tmp_path):
    """With a head of zeros every score is 0, so every loss is ln 2; ours is drawn, so it is not."""
    result = run(model, data, tmp_path / "run", steps=1, options={"eta": 0.0})
    first = lines(result.out / "metrics.jsonl")[0]
    assert first["step"] == 0 and first["eval_loss"] != pytest.approx(math.log(2), abs=1e-4)
    assert first["eval_min_reward"] < first["eval_mean_reward"] < first["eval_max_reward"]


def test_what_is_said(model, data, tmp_path):
    heard = Heard()
    result = run(model, data, tmp_path / "run", heard)
    assert heard.line("head:") == "head: one score, read at the end of an answer; new"
    assert "differs from the plain model by" in heard.line("check:") and "an answer" in heard.line("check:")
    assert heard.line("It ").endswith("(intervals by pair; with so few prompts the intervals are too narrow).")
    assert not any(line.startswith("reference:") for line in heard.lines)
    assert (result.out / "samples.jsonl").read_text() == ""


def test_a_fast_path_that_is_wrong_stops_the_run(model, data, tmp_path, monkeypatch):
    right = heads.scores
    monkeypatch.setattr(heads, "scores", lambda *a: right(*a) + 0.5)
    with pytest.raises(ParityError, match="scores differ by"):
        run(model, data, tmp_path / "run")


def test_demonstrations_are_refused_with_the_methods_that_take_them(model, tmp_path):
    data = write_rows(tmp_path / "sft.jsonl", [{"prompt": "w1", "completion": " w2"}] * 4)
    with pytest.raises(FormatError, match="sft"):
        run(model, data, tmp_path / "run")


def test_no_evaluation_without_held_out_pairs(model, data, tmp_path):
    result = run(model, data, tmp_path / "run", eval_fraction=0.0, steps=1)
    assert not (result.out / "evaluation.json").exists()


def test_cutting_a_step_changes_nothing(model, data, tmp_path):
    """One pass, or one for each example."""
    one = run(model, data, tmp_path / "one", tokens_per_batch=4096, steps=1)
    many = run(model, data, tmp_path / "many", tokens_per_batch=1, steps=1)
    # Before the first update: AdamW divides by a gradient's size, and rounding grows.
    for a, b in list(zip(lines(one.out / "metrics.jsonl"), lines(many.out / "metrics.jsonl")))[:2]:
        assert a.keys() == b.keys()
        for name in a.keys() - {"tokens_computed"}:
            assert a[name] == pytest.approx(b[name], abs=2e-5), name
