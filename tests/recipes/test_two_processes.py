"""`accelerate launch` with two processes (gloo, CPU) trains the model that one process trains, but for rounding."""

import os
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from pairwright import TrainConfig, train
from pairwright.recipes.display import Display
from tests.tiny import lines, pair_rows, write_model, write_rows


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(words: list[str], cache) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(free_port()), "--module", "pairwright", *words]
    environment = {**os.environ, "PAIRWRIGHT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.parametrize(("tuning", "method"), [("full", "dpo"), ("lora", "dpo"), ("full", "kto")])
def test_two_processes_train_as_one(tmp_path, monkeypatch, tuning, method):
    """13 pairs in steps of 3: shares differ in size, and the last step of an epoch has one example for two. As labelled
    answers 26 in steps of 5; z0 is of both processes' answers."""
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache one"))
    model = write_model(tmp_path / "model")
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(13))
    held_out = write_rows(tmp_path / "held.jsonl", pair_rows(5, seed=3))
    settings = dict(
        tuning=tuning,
        steps=7,
        pairs_per_step=3 if method == "dpo" else 5,
        learning_rate=3e-3,
        eval_every=3,
        sample_prompts=1,
    )
    paths = dict(model=str(model), data=str(data), eval_data=str(held_out))
    one = train(TrainConfig(**paths, method=method, out=str(tmp_path / "one"), **settings), Display(quiet=True))

    words = ["train", method, "--out", str(tmp_path / "two")]
    for name, value in {**paths, **settings}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    done = launch(words, tmp_path / "cache two")
    assert done.returncode == 0, done.stderr[-3000:]

    ours, theirs = lines(one.out / "metrics.jsonl"), lines(tmp_path / "two" / "metrics.jsonl")
    assert len(ours) == len(theirs)
    for here, there in zip(ours, theirs):
        assert here.keys() == there.keys()
        for name, value in here.items():
            if name != "grad_norm":
                assert there[name] == pytest.approx(value, abs=1e-5, rel=1e-4), (here["step"], name)
    file = "model.safetensors" if tuning == "full" else "adapter_model.safetensors"
    mine, yours = load_file(one.model / file), load_file(tmp_path / "two" / "model" / file)
    assert mine.keys() == yours.keys()
    for name, value in mine.items():
        # AdamW divides by a root of squares: gradients near 0 that round differently may move a weight by one rate.
        assert float((yours[name] - value).abs().mean()) < 1e-5, name
        torch.testing.assert_close(yours[name], value, atol=7 * 3e-3, rtol=0)


def test_a_bad_setting_ends_both(tmp_path):
    done = launch(
        ["train", "dpo", "--model", str(tmp_path / "none"), "--data", "none.jsonl", "--out", str(tmp_path / "o")],
        tmp_path,
    )
    assert done.returncode != 0 and "none.jsonl" in done.stderr
