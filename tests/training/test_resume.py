"""A run that was killed, however often and wherever, and resumed ends with the bits of one that never was.

Runs of `pairwright train` in processes of their own, on a tiny Llama and 40 pairs; resume_driver.py plants the kills.
Compared by SHA-256: the model folder, the last checkpoint's weights and optimiser, metrics.jsonl and samples.jsonl.
(There is no file of random states: order and dropout are functions of the seed and the step.)
benchmarks/soak_resume.py does the same with kills at random times, for as long as one likes.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

STEPS, SAVE_EVERY = 14, 3  # 36 pairs of 40 train, 4 a step: 9 steps an epoch
WORDS = [f"w{number}" for number in range(190)]


def write_pairs(path: Path, seed: int) -> Path:
    chance = random.Random(seed)

    def text(low, high):
        return " ".join(chance.choices(WORDS, k=chance.randint(low, high)))

    rows = [{"prompt": text(3, 12), "chosen": " " + text(2, 8), "rejected": " " + text(2, 8)} for _ in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_model(path: Path, seed: int) -> Path:
    words = {word: number for number, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", model_max_length=128
    ).save_pretrained(path)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """model, other model, data, other data."""
    folder = tmp_path_factory.mktemp("files")
    return {
        "model": write_model(folder / "model", 0),
        "other model": write_model(folder / "other-model", 1),
        "data": write_pairs(folder / "pairs.jsonl", 0),
        "other data": write_pairs(folder / "other-pairs.jsonl", 1),
    }


def command(files, method="dpo", *more, **settings) -> list:
    """The tiny run: micro-batches of 40 tokens make two or three of each step."""
    settings = {
        "model": files["model"],
        "data": files["data"],
        "steps": STEPS,
        "save_every": SAVE_EVERY,
        "keep_checkpoints": 2,
        "pairs_per_step": 4,
        "tokens_per_batch": 40,
        "eval_every": 5,
        "eval_fraction": 0.1,
        "sample_prompts": 1,
        "sample_tokens": 4,
        "learning_rate": 1e-3,
        "lora_r": 4,
        "seed": 7,
    } | settings
    if "full" in more:
        del settings["lora_r"]  # there are no adapters
    flags = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    return ["train", method, *flags, *more]


FULL = ("dpo", "--tuning", "full")
LORA = ("dpo", "--tuning", "lora", "--lora-dropout", "0.2")
SFT = ("sft", "--tuning", "full", "--precision", "float32")
BFLOAT16 = ("dpo", "--tuning", "full", "--precision", "bfloat16")


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of all that must be the same, by file."""
    last = out / "checkpoints" / f"step-{STEPS:06d}"
    found = [*(out / "model").iterdir(), *last.glob("*.safetensors"), out / "metrics.jsonl", out / "samples.jsonl"]
    table = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(found)}
    state = json.loads((last / "state.json").read_text())
    del state["logs"]["timings.jsonl"]  # seconds differ, and so do their digits
    return table | {"state.json": hashlib.sha256(json.dumps(state).encode()).hexdigest()}


@pytest.fixture(scope="module")
def uninterrupted(files, pairwright, tmp_path_factory):
    """A function from the kind of run to the digests of one that nothing disturbed; each is run once."""
    known: dict[tuple, dict[str, str]] = {}

    def run(kind: tuple) -> dict[str, str]:
        if kind not in known:
            out = tmp_path_factory.mktemp("whole") / "run"
            code, output = pairwright(command(files, *kind, out=out))
            assert code == 0, output
            known[kind] = digests(out)
            lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            assert sorted({line["step"] for line in lines}) == list(range(STEPS + 1))
            assert sum(line.get("tokens_computed", 0) > 40 for line in lines) >= 10  # they accumulate
            names = {Path(name).name for name in known[kind]}
            assert {"weights.safetensors", "optimizer.safetensors", "metrics.jsonl"} <= names
        return known[kind]

    return run


KILL, TERM, INT = int(signal.SIGKILL), int(signal.SIGTERM), int(signal.SIGINT)
BACKWARD, CLIP = "torch.Tensor.backward", "torch.nn.utils.clip_grad_norm_"


def at(name: str, number: int, by: int = KILL) -> dict:
    return {"kind": "call", "name": name, "number": number, "signal": by}


def in_save(save: int, name: str, number: int, by: int = KILL) -> dict:
    return {"kind": "save", "save": save, "name": name, "number": number, "signal": by}


def last_step(out: Path) -> int:
    """The last step of which metrics.jsonl has a whole line."""
    path = out / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def goes_on_from(output: str) -> int | None:
    """The step that a resumed run says it goes on from; None for the beginning."""
    if "no checkpoint yet: starting from the beginning" in output:
        return None
    return int(output.partition("resuming from ")[2].partition("\n")[0].rpartition("step-")[2])


# Kinds of run, and for each a series of kills with the step that the run after it must go on from.
PLANS = {
    "full": (
        FULL,
        [
            (at("pairwright.backbone.load.load", 1), None),  # nothing is there yet but the folder
            (at(CLIP, 2), None),  # in step 2, before any checkpoint
            (in_save(1, "write", 3), None),  # inside the first save, of step 3, with half of a tensor written
            (at(BACKWARD, 14), 3),  # between two micro-batches
            (in_save(2, "rename", 1), 6),  # goes on from 3, saves 6, killed in the save of 9 before it counts
            ({"kind": "torn", "line": 2}, 6),  # with half of a line of metrics, in the same epoch again
            (in_save(1, "fsync", 7), 9),  # after the rename, before its fsync
            (in_save(1, "unlink", 2), 12),  # while step 6 is removed
        ],
    ),
    "lora with dropout": (
        LORA,
        [
            (in_save(2, "read", 3), 6),  # while step 6 is read back
            (at(CLIP, 2), 6),  # in step 8
            (at(CLIP, 1), 6),  # in step 7: no progress at all in this run
            (at("pairwright.backbone.load.save_model", 1), STEPS),  # all is done but the model's folder
            (at("pairwright.recipes.run_folder.rename", 1), STEPS),  # its folder is written, but not in its place
        ],
    ),
    "sft": (SFT, [(at(CLIP, 8), 6), (in_save(1, "write", 1), 6), (at(CLIP, 4), 9)]),
    # The float32 copies are saved, and the weights rounded from them again.
    "full in bfloat16": (BFLOAT16, [(at(CLIP, 5), 3), (at(CLIP, 8), 9)]),
}


@pytest.mark.parametrize("plan", PLANS)
def test_killed_again_and_again(files, pairwright, uninterrupted, tmp_path, plan):
    kind, kills = PLANS[plan]
    out, resume, expected = tmp_path / "run", (), None
    for fault, left in kills:
        code, output = pairwright(command(files, *kind, *resume, out=out), fault)
        assert code == -KILL, output
        assert not resume or goes_on_from(output) == expected
        resume, expected = ("--resume",), left
    code, output = pairwright(command(files, *kind, *resume, out=out))
    assert code == 0, output
    assert goes_on_from(output) == expected
    assert digests(out) == uninterrupted(kind)


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments(files, pairwright, uninterrupted, tmp_path, seed):
    chance, out, resume, kills = random.Random(seed), tmp_path / "run", (), 0
    kind = (FULL, LORA)[seed % 2]
    while True:
        fault = chance.choice(
            [
                {"kind": "alarm", "seconds": chance.uniform(0.1, 1.5)},
                at(BACKWARD, chance.randint(1, 30)),
                in_save(chance.randint(1, 3), chance.choice(["open", "close", "fsync"]), chance.randint(1, 8)),
                {"kind": "torn", "line": chance.randint(1, 12)},
            ]
        )
        done = last_step(out)
        code, output = pairwright(command(files, *kind, *resume, out=out), fault if kills < 8 else None)
        assert code in (0, -KILL, -signal.SIGALRM), output
        if "resuming from" in output or "starting from the beginning" in output:
            assert done - (goes_on_from(output) or 0) <= SAVE_EVERY  # the work to be done again
        if code == 0:
            break
        resume, kills = ("--resume",), kills + 1
    assert kills > 0
    assert digests(out) == uninterrupted(kind)


@pytest.mark.parametrize(
    ("fault", "saved"),
    [
        (at(BACKWARD, 14, TERM), 5),  # in the middle of an accumulation: the step is finished first
        (in_save(2, "rename", 1, TERM), 6),  # inside a save: the next step is finished and saved
        (at(CLIP, 1, TERM), 1),
        (at(CLIP, 1, INT), 1),
    ],
)
def test_a_request_to_stop_saves_first(files, pairwright, uninterrupted, tmp_path, fault, saved):
    out = tmp_path / "run"
    code, output = pairwright(command(files, *LORA, out=out), fault)
    assert code == 128 + fault["signal"], output
    step = max(int(path.name[5:]) for path in (out / "checkpoints").iterdir())
    assert f"stopped as asked after step {step} of {STEPS}" in output and "Go on with --resume" in output
    assert saved <= step <= saved + 1
    code, output = pairwright(command(files, *LORA, "--resume", out=out))
    assert code == 0 and goes_on_from(output) == step, output
    assert digests(out) == uninterrupted(LORA)


def test_a_second_ctrl_c_ends_at_once(files, pairwright, tmp_path):
    out = tmp_path / "run"
    code, output = pairwright(command(files, *LORA, out=out), at(CLIP, 3, INT) | {"times": 2})
    assert code == 130 and "stopped by Ctrl-C" in output and "stopped as asked" not in output, output
    assert not list((out / "checkpoints").glob("step-*"))


def test_a_full_disk_then_space_again(files, pairwright, uninterrupted, tmp_path):
    out = tmp_path / "run"
    code, output = pairwright(command(files, *FULL, out=out), {"kind": "full", "save": 2})
    assert code == 8, output
    message = " ".join(output.split())
    assert "saving the checkpoint of step 6 failed at" in message and "the disk is full. It needs" in message
    assert "Traceback" not in output
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-000003"]
    code, output = pairwright(command(files, *FULL, "--resume", out=out))
    assert code == 0 and goes_on_from(output) == 3, output
    assert digests(out) == uninterrupted(FULL)


def test_a_damaged_checkpoint_costs_its_steps_only(files, pairwright, uninterrupted, tmp_path):
    out = tmp_path / "run"
    assert pairwright(command(files, *FULL, out=out), at(CLIP, 11))[0] == -KILL
    with (out / "checkpoints" / "step-000009" / "weights.safetensors").open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        byte = file.read(1)
        file.seek(-5, os.SEEK_END)
        file.write(bytes([byte[0] ^ 4]))
    code, output = pairwright(command(files, *FULL, "--resume", out=out))
    assert code == 0 and goes_on_from(output) == 6, output
    warning = next(line for line in output.splitlines() if line.startswith("warning"))
    assert "step-000009 is damaged: weights.safetensors does not have the SHA-256 of its manifest" in warning
    assert digests(out) == uninterrupted(FULL)


@pytest.fixture(scope="module")
def half_done(files, pairwright, tmp_path_factory):
    """A run that was killed after its second save."""
    out = tmp_path_factory.mktemp("half") / "run"
    assert pairwright(command(files, *LORA, out=out), at(CLIP, 8))[0] == -KILL
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": "other data"}, ["data (tokens)"]),
        ({"model": "other model"}, ["model (weights)"]),
        ({"seed": 8}, ["seed: 7 in the checkpoint, 8 now"]),
        ({"pairs_per_step": 2}, ["pairs_per_step: 4 in the checkpoint, 2 now"]),
        ({"learning_rate": 2e-3, "lora_r": 8}, ["learning_rate: 0.001 in", "0.002 now", "lora_r: 4 in", "8 now"]),
        ({"steps": 20}, [f"steps: {STEPS} in the checkpoint, 20 now"]),
    ],
)
def test_another_run_is_refused_with_the_difference_shown(files, pairwright, half_done, changes, named):
    before = contents(half_done)
    settings = {name: files.get(value, value) for name, value in changes.items()}
    code, output = pairwright(command(files, *LORA, "--resume", out=half_done, **settings))
    assert code == 7, output
    message = " ".join(output.split())
    assert "belongs to another run" in message and "Traceback" not in output
    for words in named:
        assert words in message
    for name in ("model (weights)", "data (tokens)", "seed", "pairs_per_step"):
        if not any(name in words for words in named) and "seed" not in changes:  # another seed holds out other rows
            assert f"{name}:" not in message.partition("What differs")[2]
    assert contents(half_done) == before


def test_killed_in_the_reference_pass(files, pairwright, uninterrupted, tmp_path):
    """With a cache of its own: half of the reference log-probabilities are there, the rest is computed by the resumed
    run; and once more with the cache deleted after the second save."""
    out, cache = tmp_path / "run", tmp_path / "cache"
    code, output = pairwright(command(files, *FULL, out=out), at("pairwright.backbone.reference.Cache.put", 6), cache)
    assert code == -KILL, output
    code, output = pairwright(command(files, *FULL, "--resume", out=out), at(CLIP, 8), cache)
    assert code == -KILL and goes_on_from(output) is None, output
    found = re.search(r"reference: (\d+) examples computed, (\d+) found", output)
    assert found and int(found[1]) > 0 and int(found[2]) > 0
    shutil.rmtree(cache)
    code, output = pairwright(command(files, *FULL, "--resume", out=out), None, cache)
    assert code == 0 and goes_on_from(output) == 6, output
    assert digests(out) == uninterrupted(FULL)


def test_less_free_memory_on_resume_does_not_change_the_bits(files, pairwright, tmp_path):
    """Without --tokens-per-batch the free memory decides how a step is cut; the resumed run must keep that choice."""

    def automatic(name):
        words = command(files, *FULL, out=tmp_path / name)
        position = words.index("--tokens-per-batch")
        return words[:position] + words[position + 2 :]

    code, output = pairwright(automatic("whole"))
    assert code == 0, output
    assert pairwright(automatic("run"), at(CLIP, 8))[0] == -KILL
    code, output = pairwright([*automatic("run"), "--resume"], {"kind": "memory", "bytes": 1000})
    assert code == 0 and goes_on_from(output) == 6, output
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")


def test_after_running_out_of_memory_a_run_goes_on_with_other_micro_batches(files, pairwright, tmp_path):
    """Given on resume, the token budget and checkpointing are taken, and said; left out, the last choice is kept. The
    weights are those of the undisturbed run but for rounding."""
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert pairwright(command(files, *FULL, out=whole))[0] == 0
    unset = command(files, *FULL, "--resume", out=out)
    position = unset.index("--tokens-per-batch")
    unset = unset[:position] + unset[position + 2 :]
    assert pairwright(command(files, *FULL, out=out), at(CLIP, 5))[0] == -KILL
    said = "goes on with other micro-batches (200 tokens, gradient checkpointing on; before 40, off)"
    code, output = pairwright([*unset, "--tokens-per-batch", 200, "--gradient-checkpointing", "on"], at(CLIP, 5))
    assert code == -KILL and goes_on_from(output) == 3 and said in " ".join(output.split()), output
    code, output = pairwright(unset)
    assert code == 0 and goes_on_from(output) == 6 and "other micro-batches" not in output, output
    chosen = json.loads((out / "config.json").read_text())["chosen"]
    assert (chosen["tokens_per_batch"], chosen["gradient_checkpointing"]) == (200, "on")
    found, expected = (load_file(folder / "model" / "model.safetensors") for folder in (out, whole))
    start = load_file(files["model"] / "model.safetensors")
    assert digests(out) != digests(whole)
    for name, tensor in expected.items():
        moved = float((tensor - start[name]).norm())
        assert float((found[name] - tensor).norm()) <= 1e-3 * moved, name


def test_the_same_bits_under_another_name(files, pairwright, uninterrupted, tmp_path):
    """Moving model and data does not make another run: they are compared by content."""
    out = tmp_path / "run"
    assert pairwright(command(files, *LORA, out=out), at(CLIP, 8))[0] == -KILL
    shutil.copytree(files["model"], tmp_path / "moved-model")
    shutil.copy(files["data"], tmp_path / "moved.jsonl")
    out.rename(tmp_path / "moved-run")
    moved = {"model": tmp_path / "moved-model", "data": tmp_path / "moved.jsonl", "out": tmp_path / "moved-run"}
    code, output = pairwright(command(files, *LORA, "--resume", **moved))
    assert code == 0 and goes_on_from(output) == 6, output
    found, expected = digests(tmp_path / "moved-run"), dict(uninterrupted(LORA))
    for table in (found, expected):
        del table["model/adapter_config.json"]  # peft writes the base model's path there
    assert found == expected


def test_resume_without_a_checkpoint_starts_and_says_so(files, pairwright, uninterrupted, tmp_path):
    code, output = pairwright(command(files, *FULL, "--resume", out=tmp_path / "run"))
    assert code == 0 and "no checkpoint yet: starting from the beginning" in output
    assert digests(tmp_path / "run") == uninterrupted(FULL)


def test_an_existing_run_is_not_entered_without_resume(files, pairwright, half_done):
    before = contents(half_done)
    code, output = pairwright(command(files, *LORA, out=half_done))
    assert code == 2 and "--resume" in output and "Traceback" not in output
    assert contents(half_done) == before


def test_a_finished_run_resumed_changes_nothing(files, pairwright, uninterrupted, tmp_path):
    out = tmp_path / "run"
    for resume in ((), ("--resume",)):
        code, output = pairwright(command(files, *SFT, *resume, out=out))
        assert code == 0, output
    assert digests(out) == uninterrupted(SFT)
    assert len((out / "timings.jsonl").read_text().splitlines()) == STEPS
