"""Hub ids without a hub: models and adapters in the hub's cache folder, read offline in a process of its own."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from pairwright import TrainConfig, train
from pairwright.recipes.display import Display
from tests.tiny import lines, pair_rows, write_model, write_rows

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def publish(hub, name, folder):
    """As huggingface_hub lays out what it has downloaded."""
    repository = hub / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    data = write_rows(root / "pairs.jsonl", pair_rows(8))
    base = write_model(root / "base")
    first = TrainConfig(str(base), str(data), str(root / "first"), method="sft", steps=2, learning_rate=0.05)
    adapter = train(first, Display(quiet=True)).model
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": "team/base"}))
    publish(root / "hub", "team/base", base)
    publish(root / "hub", "team/adapter", adapter)
    return root


def command(home, model, out):
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_HUB_OFFLINE": "1"}
    environment["PAIRWRIGHT_CACHE"] = str(out.parent / "cache")
    words = ["train", "dpo", "--model", model, "--data", str(home / "pairs.jsonl"), "--out", str(out)]
    argv = [sys.executable, "-m", "pairwright", *words, "--steps", "1", "--sample-prompts", "0"]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)


def test_an_adapter_is_gone_on_with(home, tmp_path):
    """Not a new adapter on its base, which transformers would load without a word; and rewards start at 0."""
    done = command(home, "team/adapter", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "going on with this adapter" in done.stderr and "model: team/base" in done.stderr
    first = next(entry for entry in lines(tmp_path / "run" / "metrics.jsonl") if "loss" in entry)
    assert first["rewards/margins"] == 0.0


def test_a_model_is_known_by_its_commit(home, tmp_path):
    done = command(home, "team/base", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "going on with" not in done.stderr


def test_an_id_that_there_is_not(home, tmp_path):
    done = command(home, "team/nothing", tmp_path / "run")
    assert done.returncode == 4 and "Traceback" not in done.stderr and "team/nothing" in done.stderr, done.stderr
