"""The loop over fixed data: what it logs, in which order; evaluation by hand; stopping, resuming, refusing."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from tests.tiny import backbone, examples, lines, tokens, uniform

from pairwright.errors import CheckpointError, Interrupted, NonFiniteError
from pairwright.objectives import dpo, kto, sft
from pairwright.records import Source
from pairwright.tokens.batches import step_indices
from pairwright.tokens.labelled import from_pairs, with_mismatched
from pairwright.tokens.sequences import Example
from pairwright.training import checkpoints, offline
from pairwright.training.forwards import Objective
from pairwright.training.offline import Callbacks, Settings, World

DPO = Objective(dpo, dpo.Options(beta=0.5))
SFT = Objective(sft, sft.Options())
KTO = Objective(kto, kto.Options(beta=0.5))
TOKEN = 4.110874
"""ln 61, what a token costs a uniform model"""
HERE = {"made": "in the test"}


def settings(**changes) -> Settings:
    standard = Settings(
        steps=4,
        per_step=4,
        tokens_per_batch=60,
        learning_rate=1e-2,
        schedule="linear",
        warmup=0.25,
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=3,
        save_every=2,
        keep=10,
        eval_every=3,
    )
    return dataclasses.replace(standard, **changes)


def fixed(batch, built):
    """A reference of -4 a supervised token."""
    return torch.tensor([-4.0 * int(s.supervised.sum()) for e in batch for s in e.sequences])


def run(folder: Path, model=None, train=None, held_out=(), *, method=DPO, **more):
    changes = more.pop("settings", {})
    return offline.run(
        model or backbone("full"),
        method,
        examples(10) if train is None else train,
        held_out,
        more.pop("references", None if method is SFT else fixed),
        settings(**changes),
        folder,
        more.pop("fingerprint", HERE),
        **more,
    )


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir()) if (folder / "checkpoints").exists() else []


# --- the logs ---


def test_lines_and_files(tmp_path):
    """Ten examples, four a step: epochs of three steps. Evaluated before the first step, every third, and at the end;
    saved every second step and at the end."""
    heard = []
    say = Callbacks(
        logged=lambda step, entry: heard.append(entry), samples=lambda: [{"prompt": "a", "completion": "b"}]
    )
    last = run(tmp_path, held_out=examples(3, seed=9), callbacks=say)
    entries = lines(tmp_path / "metrics.jsonl")
    assert entries == heard
    steps, evaluations = ([e for e in entries if ("loss" in e) == wanted] for wanted in (True, False))
    assert [e["step"] for e in steps] == [1, 2, 3, 4]
    assert [e["step"] for e in evaluations] == [0, 3, 4]
    assert [e["step"] for e in entries] == [0, 1, 2, 3, 3, 4, 4]
    assert [e["epoch"] for e in steps] == [0.333333, 0.666667, 1.0, 1.333333]
    assert [e["step"] for e in lines(tmp_path / "samples.jsonl")] == [0, 3, 4]
    timings = lines(tmp_path / "timings.jsonl")
    assert [t["step"] for t in timings] == [1, 2, 3, 4]
    assert [t["tokens"] for t in timings] == [e["tokens_computed"] for e in steps]
    assert saved(tmp_path) == ["step-000002", "step-000004"]
    assert last == {k: v for k, v in {**steps[-1], **evaluations[-1]}.items() if k != "step"}
    assert set(steps[0]) == {
        "step",
        "epoch",
        "loss",
        "grad_norm",
        "learning_rate",
        "num_tokens",
        "tokens_computed",
        "logps/chosen",
        "logps/rejected",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "rewards/accuracies",
    }


def test_the_learning_rate_by_hand(tmp_path):
    """Four steps, a quarter of them up: one at the peak of 0.01, then 1, 2/3, 1/3 of it."""
    run(tmp_path)
    rates = [entry["learning_rate"] for entry in lines(tmp_path / "metrics.jsonl")]
    assert rates == pytest.approx([0.01, 0.01, 0.01 * 2 / 3, 0.01 / 3])


def test_every_example_is_used_once_an_epoch(tmp_path):
    """The supervised tokens of an epoch's steps are those of all examples."""
    train = examples(10)
    run(tmp_path, train=train, settings={"steps": 6})
    counted = [entry["num_tokens"] for entry in lines(tmp_path / "metrics.jsonl")]
    whole = sum(int(s.supervised.sum()) for e in train for s in e.sequences)
    assert sum(counted[:3]) == sum(counted[3:]) == whole


def test_training_lowers_the_loss(tmp_path):
    run(tmp_path, train=examples(4), settings={"steps": 10, "save_every": 100})
    losses = [entry["loss"] for entry in lines(tmp_path / "metrics.jsonl")]
    assert losses[-1] < 0.3 * losses[0]


# --- evaluation ---

# Answers of 2 and 3 tokens; of 1 and 4. Against the reference of -4 a token each token is 0.110874 below it.
HELD_OUT = [
    Example((tokens([3, 4], [6, 7]), tokens([3, 4], [8, 9, 10])), Source("made.jsonl", 1), weight=2.0),
    Example((tokens([5], [14, 15, 16, 17]), tokens([5], [18])), Source("made.jsonl", 2)),
]


@pytest.mark.parametrize("budget", [4, 1000])
def test_evaluation_of_pairs_by_hand(tmp_path, budget):
    """D = -0.110874 * (2 - 3) = 0.110874 and -0.110874 * (4 - 1) = -0.332622. beta D = 0.055437 and -0.166311.
    Losses: ln(1 + e^-0.055437) = 0.665812 and ln(1 + e^0.166311) = 0.779757, the first of weight 2; two pairs."""
    model = uniform()
    run(tmp_path, model, held_out=HELD_OUT, settings={"steps": 1, "tokens_per_batch": budget})
    found = lines(tmp_path / "metrics.jsonl")[0]
    assert found == {
        "step": 0,
        "eval_loss": pytest.approx((2 * 0.665812 + 0.779757) / 2, abs=2e-5),
        "eval_logps/chosen": pytest.approx(-3 * TOKEN, abs=1e-5),
        "eval_logps/rejected": pytest.approx(-2 * TOKEN, abs=1e-5),
        "eval_num_tokens": 10,
        "eval_rewards/chosen": pytest.approx(-0.5 * 0.110874 * 3, abs=1e-5),
        "eval_rewards/rejected": pytest.approx(-0.5 * 0.110874 * 2, abs=1e-5),
        "eval_rewards/margins": pytest.approx((0.055437 - 0.166311) / 2, abs=1e-5),
        "eval_rewards/accuracies": 0.5,
    }


def test_evaluation_of_demonstrations_by_hand(tmp_path):
    """Answers of 2 tokens with weight 3 and of 4: (3 * 2 + 4) ln 61 over 6 tokens."""
    held_out = [
        Example((HELD_OUT[0].sequences[0],), HELD_OUT[0].source, weight=3.0),
        Example((HELD_OUT[1].sequences[0],), HELD_OUT[1].source),
    ]
    run(tmp_path, uniform(), examples(4, sides=1), held_out, method=SFT, settings={"steps": 1})
    assert lines(tmp_path / "metrics.jsonl")[0] == {
        "step": 0,
        "eval_loss": pytest.approx(10 / 6 * TOKEN, abs=1e-5),
        "eval_logps/chosen": pytest.approx(-3 * TOKEN, abs=1e-5),
        "eval_num_tokens": 6,
    }


def test_evaluation_changes_nothing(tmp_path):
    for name, held_out in (("without", ()), ("with", examples(5, seed=9))):
        run(tmp_path / name, held_out=held_out)
    weights = [(tmp_path / n / "checkpoints/step-000004/weights.safetensors").read_bytes() for n in ("without", "with")]
    assert weights[0] == weights[1]


# --- labelled answers ---


def labelled(number: int, seed: int = 0) -> list[Example]:
    return with_mismatched(from_pairs(examples(number, seed)), 0, 100)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_how_a_step_of_labelled_answers_is_cut_does_not_matter(tmp_path, tuning):
    """z0 is of the whole step, so steps in micro-batches of one answer give what whole ones do. The reference is far
    below the model, so that z0 is not 0."""

    def far(batch, built):
        return torch.tensor([-7.0 * int(s.supervised.sum()) for e in batch for s in e.sequences])

    found = []
    for budget in (10_000, 1, 30):
        out = tmp_path / str(budget)
        some = {"method": KTO, "references": far, "settings": {"tokens_per_batch": budget}}
        run(out, backbone(tuning), labelled(8), labelled(3, 9), **some)
        found.append(lines(out / "metrics.jsonl"))
    whole, *cut = found
    assert all(value > 0.1 for entry in whole for name, value in entry.items() if name.endswith("kl"))
    for entries in cut:
        for one, other in zip(whole, entries, strict=True):
            assert one.keys() == other.keys()
            for name, value in one.items():
                if name != "tokens_computed":
                    assert other[name] == pytest.approx(value, rel=1e-4, abs=2e-5), name


def test_z0_by_hand(tmp_path):
    """A uniform model against -4 a token: every token is 0.110874 below, so the mean is below 0 and z0 is 0. Against
    -4.5 a token it is 0.389126 above; mismatched answers of 3 and 2 tokens: z0 = 0.389126 * 2.5 = 0.972815, and the
    answers of 2 (good) and 3 (bad) tokens have d = 0.778252 and 1.167378. beta 0.5: s(0.097282) and s(0.097282)."""
    held_out = with_mismatched(
        [
            Example((tokens([3, 4], [6, 7]),), Source("made.jsonl", 1), label=1.0),
            Example((tokens([5], [14, 15, 16]),), Source("made.jsonl", 2), label=0.0),
        ],
        0,
        100,
    )
    assert [int(e.mismatched.supervised.sum()) for e in held_out] == [3, 2]
    entry = {}
    for each in (4.0, 4.5):
        reference = lambda batch, built, each=each: torch.tensor(  # noqa: E731
            [-each * int(s.supervised.sum()) for e in batch for s in e.sequences]
        )
        out = tmp_path / str(each)
        settings_ = settings(steps=1)
        offline.run(uniform(), KTO, labelled(4), held_out, reference, settings_, out, HERE)
        entry[each] = lines(out / "metrics.jsonl")[0]
    assert entry[4.0]["eval_kl"] == 0
    assert entry[4.5] == {
        "step": 0,
        "eval_kl": pytest.approx(0.972815, abs=1e-5),
        "eval_rewards/chosen": pytest.approx(0.389126, abs=1e-5),
        "eval_rewards/rejected": pytest.approx(0.583689, abs=1e-5),
        "eval_rewards/margins": pytest.approx(-0.194563, abs=1e-5),
        # s(0.097282) = 0.524301 for the good one, and as much for the bad one
        "eval_loss": pytest.approx(0.524301, abs=1e-5),
        "eval_logps/chosen": pytest.approx(-2 * TOKEN, abs=1e-5),
        "eval_logps/rejected": pytest.approx(-3 * TOKEN, abs=1e-5),
        "eval_desirable": 1,
        "eval_num_tokens": 5,
    }


# --- stopping and resuming ---


def stop_after(steps: int):
    """Says stop when asked for the `steps`-th time, which is after that step."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) == steps


@pytest.mark.parametrize(
    ("tuning", "method"), [("full", DPO), ("lora", SFT), ("full", KTO)], ids=["full dpo", "lora sft", "full kto"]
)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, tuning, method):
    make = labelled if method is KTO else lambda n, seed=0: examples(n, seed, sides=2 if method is DPO else 1)
    common = {"train": make(10), "held_out": make(3, 9), "method": method}
    if method is KTO:
        common["settings"] = {"per_step": 8}  # 20 answers: three steps an epoch
    whole = run(tmp_path / "whole", backbone(tuning), **common)
    out = tmp_path / "parts"
    with pytest.raises(Interrupted, match=r"stopped as asked after step 3 of 4; saved in .*step-000003. Go on with"):
        run(out, backbone(tuning), callbacks=Callbacks(stop=stop_after(3)), **common)
    assert saved(out) == ["step-000002", "step-000003"]
    for at in ("step-000003", "step-000002"):  # the older one too: its logs are cut back
        again = shutil.copytree(out, tmp_path / at)
        assert run(again, backbone(tuning), checkpoint=again / "checkpoints" / at, **common) == whole
        last = Path("checkpoints/step-000004")
        for name in ("metrics.jsonl", "samples.jsonl", last / "weights.safetensors", last / "optimizer.safetensors"):
            assert (again / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_asked_to_stop_at_the_last_step_a_run_just_ends(tmp_path):
    run(tmp_path, callbacks=Callbacks(stop=stop_after(4)))
    assert saved(tmp_path) == ["step-000002", "step-000004"]


def test_a_checkpoint_of_another_run_is_refused_with_the_difference(tmp_path):
    run(tmp_path, fingerprint={"seed": 3, "data": "a", "old": 1})
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError) as caught:
        run(
            tmp_path,
            fingerprint={"seed": 4, "data": "a", "new": None, "extra": 2},
            checkpoint=tmp_path / "checkpoints/step-000002",
        )
    message = str(caught.value)
    assert "belongs to another run" in message
    assert "  extra: None in the checkpoint, 2 now" in message
    assert "  old: 1 in the checkpoint, None now" in message
    assert "  seed: 3 in the checkpoint, 4 now" in message
    assert "  data:" not in message and "  new:" not in message
    assert message.endswith("to train with what was given now, give a new --out.")
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_checkpoint_with_other_weights_is_refused(tmp_path):
    run(tmp_path, settings={"steps": 2})
    at = tmp_path / "checkpoints/step-000002"
    with pytest.raises(CheckpointError, match="not those that this run trains"):
        run(tmp_path, backbone("lora"), checkpoint=at)
    with pytest.raises(CheckpointError, match=r"embed_tokens.weight is \(61, 32\) in the checkpoint, \(512, 64\) here"):
        wide = backbone("full", kind="llama")
        wide.model.model.embed_tokens.weight = torch.nn.Parameter(torch.zeros(512, 64))
        run(tmp_path, wide, checkpoint=at)


# --- what is not a number ---


def test_a_weight_that_is_no_number_stops_the_run(tmp_path):
    """Full tuning with one NaN in the model: the first step names an example, and nothing is saved."""
    model = backbone("full")
    with torch.no_grad():
        model.model.model.layers[1].mlp.up_proj.weight[3, 4] = math.nan
    with pytest.raises(
        NonFiniteError, match=r"all 4 losses are NaN .* of made.jsonl:\d+ among them; nothing was changed"
    ):
        run(tmp_path, model)
    assert saved(tmp_path) == []


def test_an_example_whose_weight_is_no_number_is_named(tmp_path):
    """Checkpoints made before it stay."""
    train = examples(12)
    last = step_indices(2, 12, 4, 3)[1]  # in the third step
    run(tmp_path / "clean", train=train, settings={"steps": 3, "save_every": 1})
    bad = [dataclasses.replace(e, weight=math.inf) if n == last else e for n, e in enumerate(train)]
    out = tmp_path / "run"
    with pytest.raises(NonFiniteError, match=rf"the loss of made.jsonl:{last + 1} is inf; nothing was changed"):
        run(out, train=bad, settings={"steps": 3, "save_every": 1})
    assert saved(out) == ["step-000001", "step-000002"]
    for name in ("weights.safetensors", "optimizer.safetensors"):
        same = Path("checkpoints/step-000002") / name
        assert (out / same).read_bytes() == (tmp_path / "clean" / same).read_bytes()
    tensors, state = checkpoints.load(out / "checkpoints/step-000002")
    assert state["step"] == 2
    assert all(torch.isfinite(value).all() for part in tensors.values() for value in part.values())


def test_a_gradient_that_is_no_number_names_the_parameter(tmp_path):
    model = backbone("lora")
    name = next(n for n in model.trainable() if "layers.1" in n and "q_proj.lora_B" in n)
    model.trainable()[name].register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteError, match=rf"the gradient of {name} \(and 0 more\) is not finite in the step over"):
        run(tmp_path, model)
    assert saved(tmp_path) == []


def test_a_held_out_loss_that_is_no_number_stops_before_the_first_step(tmp_path):
    held_out = [dataclasses.replace(examples(1, seed=9)[0], weight=math.inf)]
    with pytest.raises(NonFiniteError, match=r"in the evaluation on held-out examples the loss of made.jsonl:\d+ is"):
        run(tmp_path, held_out=held_out)
    assert saved(tmp_path) == []


# --- several processes ---


def test_shares_of_the_micro_batches():
    """Every micro-batch to one process, each its own."""
    assert [list(World(rank, 3).share(list("abcdefgh"))) for rank in range(3)] == [list("adg"), list("beh"), list("cf")]
    assert list(World().share([1, 2])) == [1, 2]


def test_dropout_is_a_function_of_seed_and_step(tmp_path):
    """Adapter dropout: two runs of one seed are the same, another seed's is not."""

    def losses(name, seed):
        model = backbone("lora")
        for module in model.model.modules():
            if hasattr(module, "lora_dropout"):
                module.lora_dropout["default"] = torch.nn.Dropout(0.5)
        torch.manual_seed(len(name))  # what was drawn before the run does not matter
        run(tmp_path / name, model, settings={"seed": seed, "steps": 2}, train=examples(4))
        return [json.dumps(entry) for entry in lines(tmp_path / name / "metrics.jsonl")]

    first = losses("first", 3)
    assert losses("again", 3) == first
    assert losses("other seed", 4) != first
