"""Real pairs, a real pretrained model, the command as people type it. Skipped where ../shared/data is absent."""

import json
import math
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from pairwright.cli import main

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_dpo_on_hh(tmp_path, monkeypatch, capsys, tuning):
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))
    model, pairs = DATA / "stories260k" / "hf", DATA / "hh-rlhf-harmless" / "pairs.jsonl.gz"
    out = tmp_path / "run"
    words = ["train", "dpo", "--model", str(model), "--data", str(pairs), "--out", str(out), "--tuning", tuning]
    assert main([*words, "--steps", "3", "--eval-fraction", "0.005", "--sample-prompts", "1"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1,850" in said and "4 quarantined" in said
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert entries[0]["eval_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert entries[0]["eval_rewards/margins"] == 0.0
    trained = [entry for entry in entries if "loss" in entry]
    assert [entry["step"] for entry in trained] == [1, 2, 3] and trained[0]["loss"] == pytest.approx(
        math.log(2), abs=1e-6
    )
    assert all(math.isfinite(value) for entry in entries for value in entry.values())
    loader = AutoPeftModelForCausalLM if tuning == "lora" else AutoModelForCausalLM
    saved, tokenizer = loader.from_pretrained(out / "model"), AutoTokenizer.from_pretrained(out / "model")
    ids = tokenizer("Once upon a time", return_tensors="pt").input_ids
    with torch.no_grad():
        after = saved(input_ids=ids).logits
        before = AutoModelForCausalLM.from_pretrained(model)(input_ids=ids).logits
    assert after.isfinite().all() and not torch.equal(after, before)
