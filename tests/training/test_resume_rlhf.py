"""A PPO run that was killed in any phase and resumed ends with the bits of one that never was.

As test_resume.py, on a tiny Llama: sampling, scoring (a function in a process of its own), reading, update, save. The
coefficient of the divergence is steered, so that it has to survive too.
"""

import hashlib
import json
import signal
from pathlib import Path

import pytest
from tests.tiny import pair_rows, write_model, write_rows

STEPS, SAVE_EVERY = 5, 2
KILL, TERM = int(signal.SIGKILL), int(signal.SIGTERM)
REWARD = "def few(completions):\n    return [-0.1 * len(text.split()) for text in completions]\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    rows = [{"prompt": row["prompt"]} for row in pair_rows(10)]
    (folder / "reward.py").write_text(REWARD)
    return {
        "model": write_model(folder / "model"),
        "data": write_rows(folder / "prompts.jsonl", rows),
        "reward": f"{folder / 'reward.py'}:few",
    }


LORA = ("ppo", "--tuning", "lora", "--target-kl", 1, "--minibatches", 2, "--update-epochs", 2)
FULL = ("ppo", "--tuning", "full", "--update-epochs", 1)


def command(files, method, *more, **settings) -> list:
    settings = {
        **files,
        "steps": STEPS,
        "save_every": SAVE_EVERY,
        "prompts_per_step": 3,
        "samples_per_prompt": 2,
        "max_new_tokens": 6,
        "tokens_per_batch": 40,
        "eval_every": 2,
        "eval_fraction": 0.2,
        "sample_prompts": 1,
        "learning_rate": 1e-2,
        "lora_r": 4,
        "seed": 7,
    } | settings
    flags = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    return ["train", method, *flags, *more]


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
    known: dict[tuple, dict[str, str]] = {}

    def run(kind: tuple) -> dict[str, str]:
        if kind not in known:
            out = tmp_path_factory.mktemp("whole") / "run"
            code, output = pairwright(command(files, *kind, out=out))
            assert code == 0, output
            known[kind] = digests(out)
            names = {Path(name).name for name in known[kind]}
            assert {"weights.safetensors", "value-weights.safetensors", "value-optimizer.safetensors"} <= names
        return known[kind]

    return run


def at(name: str, number: int, by: int = KILL) -> dict:
    return {"kind": "call", "name": name, "number": number, "signal": by}


def in_save(save: int, name: str, number: int) -> dict:
    return {"kind": "save", "save": save, "name": name, "number": number, "signal": KILL}


SAMPLING, SCORING = "pairwright.recipes.rlhf.generate", "pairwright.feedback.verifier.Verifier.__call__"
READING, CLIP = "pairwright.training.online.collect", "torch.nn.utils.clip_grad_norm_"

# Kinds of run, and for each a series of kills with the step that the run after it must go on from. The first sampling,
# scoring and reading of a new run is its evaluation at step 0.
PLANS = {
    "lora": (
        LORA,
        [
            (at(SAMPLING, 2), None),  # while it samples in step 1
            (in_save(1, "write", 3), None),  # inside the first save, of step 2
            (at(SCORING, 5), 2),  # saves step 2, killed while it scores in step 3
            (at(CLIP, 7), 2),  # in the second pass over the samples of step 3, with half of them learned
            (at(READING, 1), 2),
            (in_save(1, "rename", 1), 2),  # saves step 4, killed before it counts
            (in_save(1, "fsync", 9), 4),  # after the rename
            ({"kind": "torn", "line": 1}, 4),  # with half of a line of metrics
        ],
    ),
    "full": (
        FULL,
        [
            (at(CLIP, 6), 2),  # between the policy's step and the value role's
            (at("pairwright.backbone.load.save_model", 1), STEPS),  # all is done but the model's folder
        ],
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_killed_in_every_phase(files, pairwright, uninterrupted, tmp_path, name):
    kind, plan = PLANS[name]
    out, resume = tmp_path / "run", ()
    for fault, expected in plan:
        code, output = pairwright(command(files, *kind, *resume, out=out), fault)
        assert code == -KILL, (fault, output)
        resume = ("--resume",)
        found = sorted((out / "checkpoints").glob("step-*/manifest.json")) if (out / "checkpoints").exists() else []
        newest = int(found[-1].parent.name[5:]) if found else None
        assert newest == expected, (fault, newest)
    code, output = pairwright(command(files, *kind, "--resume", out=out))
    assert code == 0, output
    assert digests(out) == uninterrupted(kind)


def test_asked_to_stop_while_it_samples_it_saves_first(files, pairwright, uninterrupted, tmp_path):
    out = tmp_path / "run"
    code, output = pairwright(command(files, *LORA, out=out), at(SAMPLING, 2, TERM))
    assert code == 128 + TERM and "stopped as asked after step 1 of 5" in output, output
    code, output = pairwright(command(files, *LORA, "--resume", out=out))
    assert code == 0, output
    assert digests(out) == uninterrupted(LORA)
