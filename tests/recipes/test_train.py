"""train() from a file to a model, in every mode: what it leaves, and what must hold at its first step."""

import io
import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForCausalLM
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from pairwright import TrainConfig, train
from pairwright.backbone.load import LoraSettings, load
from pairwright.errors import CheckpointError, ConfigError, DataError, FormatError, MissingExtraError, ModelError
from pairwright.recipes.display import Display
from pairwright.recipes.inventory import of_loaded
from pairwright.recipes.memory_plan import need
from pairwright.tokens import trie
from tests.tiny import Heard, examples, lines, pair_rows, write_model, write_rows


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # bitsandbytes packs blocks of 64 weights
    return write_model(tmp_path_factory.mktemp("model"), hidden=64)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "pairs.jsonl", pair_rows(24))


@pytest.fixture(scope="module")
def adapter(model, data, tmp_path_factory):
    """An adapter that was trained, and so changes the model."""
    out = tmp_path_factory.mktemp("runs") / "first"
    config = TrainConfig(str(model), str(data), str(out), method="sft", tuning="lora", steps=3, learning_rate=0.05)
    return train(config, Display(quiet=True)).model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))


def run(model, data, out, heard=None, **settings):
    standard = dict(steps=4, pairs_per_step=4, learning_rate=1e-2, sample_prompts=1, sample_tokens=4)
    config = TrainConfig(str(model), str(data), str(out), **{**standard, **settings})
    return train(config, heard or Display(quiet=True))


MODES = [
    ("full", "cache", False),
    ("full", "live", False),
    ("lora", "cache", False),
    ("lora", "live", False),
    ("qlora", "cache", False),
    ("qlora", "live", False),
    ("lora", "cache", True),
    ("lora", "live", True),
    ("qlora", "cache", True),
    ("qlora", "live", True),
]


@pytest.mark.parametrize(
    ("tuning", "reference", "continued"), MODES, ids=[f"{t} {r}{' continued' * c}" for t, r, c in MODES]
)
def test_every_mode_starts_at_zero_and_learns(model, adapter, data, tmp_path, tuning, reference, continued):
    """Rewards of exactly 0 and a loss of ln 2 before the first update; less loss after some."""
    start = adapter if continued else model
    settings = dict(tuning=tuning, reference=reference, steps=8, eval_every=8)
    result = run(start, data, tmp_path / "run", **settings)
    entries = lines(result.out / "metrics.jsonl")
    assert_at_zero(entries)
    if reference == "cache":
        again = run(start, data, tmp_path / "warm", heard := Heard(), **settings | {"steps": 1})
        assert "reference: 0 examples computed" in heard.line("reference:")
        assert_at_zero(lines(again.out / "metrics.jsonl"))
    assert entries[-2]["loss"] < 0.6 and entries[-2]["rewards/margins"] > 0.1


def assert_at_zero(entries: list[dict]) -> None:
    before, first = entries[0], entries[1]
    assert (before["step"], first["step"]) == (0, 1)
    for entry, prefix in ((before, "eval_"), (first, "")):
        for name in ("rewards/chosen", "rewards/rejected", "rewards/margins"):
            assert entry[f"{prefix}{name}"] == 0.0, (prefix, name)
        assert entry[f"{prefix}rewards/accuracies"] == 0.5
        assert entry[f"{prefix}loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_what_full_tuning_leaves(model, data, tmp_path):
    result = run(model, data, tmp_path / "run", tuning="full")
    assert {p.name for p in result.out.iterdir()} >= {
        "config.json",
        "metrics.jsonl",
        "timings.jsonl",
        "samples.jsonl",
        "checkpoints",
        "model",
    }
    assert not [p.name for p in result.out.iterdir() if p.name.startswith(".")]
    trained = AutoModelForCausalLM.from_pretrained(result.model)
    before = AutoModelForCausalLM.from_pretrained(model)
    assert trained.config._attn_implementation == before.config._attn_implementation
    moved = [not torch.equal(a, b) for a, b in zip(trained.parameters(), before.parameters())]
    assert all(moved)
    assert AutoTokenizer.from_pretrained(result.model)("w1 w2").input_ids == [4, 5]
    assert len(lines(result.out / "metrics.jsonl")) == 4 + 5  # steps, and evaluations at 0 and after each of the four
    assert [e["step"] for e in lines(result.out / "samples.jsonl")] == [0, 1, 2, 3, 4]


def test_what_lora_leaves(model, data, tmp_path):
    result = run(model, data, tmp_path / "run", tuning="lora")
    assert (result.model / "adapter_model.safetensors").is_file() and not list(result.model.glob("model*.safetensors"))
    assert not (result.model / "README.md").exists()  # peft's empty form
    trained = AutoPeftModelForCausalLM.from_pretrained(result.model)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad(), trained.disable_adapter():
        without = trained(input_ids=ids).logits
    with torch.no_grad():
        assert not torch.allclose(trained(input_ids=ids).logits, without, atol=1e-3)


def test_the_saved_model_is_the_one_that_was_evaluated(model, data, tmp_path):
    """The last evaluation's mean log-probability of the chosen answers, computed anew by transformers alone."""
    held_out = write_rows(tmp_path / "held.jsonl", pair_rows(6, seed=9))
    result = run(model, data, tmp_path / "run", tuning="full", eval_data=str(held_out))
    trained, tokenizer = AutoModelForCausalLM.from_pretrained(result.model), AutoTokenizer.from_pretrained(result.model)
    found = []
    for row in lines(held_out):
        prompt = tokenizer(row["prompt"]).input_ids
        answer = [*tokenizer(row["chosen"]).input_ids, tokenizer.eos_token_id]
        with torch.no_grad():
            logits = trained(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        found.append(sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(answer)))
    assert result.metrics["eval_logps/chosen"] == pytest.approx(np.mean(found), abs=1e-3)


def test_ten_more_rows_compute_ten(model, data, tmp_path):
    settings = dict(epochs=1.0, steps=None, eval_fraction=0.0)
    run(model, data, tmp_path / "first", heard := Heard(), **settings)
    assert re.match(r"reference: 24 examples computed, 0 found", heard.line("reference"))
    more = write_rows(tmp_path / "more.jsonl", lines(data) + pair_rows(10, seed=5))
    run(model, more, tmp_path / "second", heard := Heard(), **settings)
    assert re.match(r"reference: 10 examples computed, 24 found", heard.line("reference"))


def test_the_same_seed_gives_the_same_bits(model, data, tmp_path):
    first, again = (run(model, data, tmp_path / name, tuning="lora", lora_dropout=0.1) for name in ("a", "b"))
    for name in ("metrics.jsonl", "samples.jsonl", "model/adapter_model.safetensors"):
        assert (first.out / name).read_bytes() == (again.out / name).read_bytes(), name
    other = run(model, data, tmp_path / "c", tuning="lora", lora_dropout=0.1, seed=1)
    assert (other.out / "metrics.jsonl").read_bytes() != (first.out / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("tokens", [1, 60, 10_000])
def test_micro_batches_do_not_change_the_run(model, data, tmp_path, tokens):
    settings = dict(tuning="full", learning_rate=1e-3, nll_weight=0.5, options={"label_smoothing": 0.1})
    whole = run(model, data, tmp_path / "whole", **settings)
    cut = run(model, data, tmp_path / "cut", tokens_per_batch=tokens, **settings)
    for one, other in zip(lines(whole.out / "metrics.jsonl"), lines(cut.out / "metrics.jsonl"), strict=True):
        assert one.keys() == other.keys()
        for name in {"loss", "eval_loss", "grad_norm", "rewards/margins", "eval_rewards/margins"} & one.keys():
            assert one[name] == pytest.approx(other[name], abs=2e-5, rel=1e-4), name


def test_the_first_batch_is_compared_and_the_difference_said(model, data, tmp_path):
    run(model, data, tmp_path / "run", heard := Heard())
    said = heard.line("check")
    assert float(re.search(r"by (\S+) a token", said)[1]) < 1e-5


def test_config_holds_what_is_needed_to_run_again(model, data, tmp_path):
    result = run(model, data, tmp_path / "run", options={"beta": 0.3}, tuning="full")
    kept = json.loads((result.out / "config.json").read_text())
    again = train(TrainConfig(**{**kept["config"], "out": str(tmp_path / "again")}), Display(quiet=True))
    assert (again.out / "metrics.jsonl").read_bytes() == (result.out / "metrics.jsonl").read_bytes()
    assert kept["config"]["options"]["beta"] == 0.3


def test_defaults_that_depend_on_others_are_recorded(model, data, tmp_path):
    result = run(model, data, tmp_path / "run", options={"length_normalised": True})
    assert json.loads((result.out / "config.json").read_text())["config"]["options"]["beta"] == 5.0


def test_an_adapter_loads_from_any_folder(model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(model.parent)
    result = run(model.name, data, tmp_path / "run", tuning="lora")
    monkeypatch.chdir(result.out)
    assert AutoPeftModelForCausalLM.from_pretrained("model") is not None


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_refused_resume_leaves_every_byte_as_it_was(model, tmp_path):
    rows = [json.dumps(row) for row in pair_rows(12)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join([*rows, "{broken"]))
    out = run(model, data, tmp_path / "run").out
    before = contents(out)
    assert "quarantine-data.jsonl" in before
    data.write_text("\n".join([*rows[:-1], "{broken", "{otherwise broken"]))
    with pytest.raises(CheckpointError, match=r"belongs to another run(.|\n)*give a new --out"):
        run(model, data, out, resume=True)
    with pytest.raises(CheckpointError, match=r"learning_rate: 0.01 in the checkpoint, 0.5 now"):
        run(model, data, out, resume=True, learning_rate=0.5)
    data.write_text("")
    with pytest.raises(DataError, match="no rows"):
        run(model, data, out, resume=True)
    assert contents(out) == before


def test_a_finished_run_says_that_it_was_done(model, data, tmp_path):
    heard = Heard()
    first = run(model, data, tmp_path / "run")
    before = contents(first.out)
    again = run(model, data, first.out, heard, resume=True)
    assert heard.line("all 4 steps").startswith("all 4 steps were done already: nothing is left to train")
    after = contents(first.out)  # config.json says --resume now
    assert again.metrics == first.metrics and after | {"config.json": b""} == before | {"config.json": b""}


def test_a_live_reference_of_full_tuning_is_in_the_memory_plan(model, data, tmp_path):
    gigabytes = []
    for tuning, reference in (("full", "cache"), ("full", "live"), ("lora", "live")):
        backbone = load(str(model), tuning=tuning, lora=LoraSettings(), device=torch.device("cpu"))
        sized = of_loaded(backbone.base)
        built = trie.build(examples(1))
        with_, without = (need(backbone, sized, built, kind)(10, False) for kind in (reference, "none"))
        gigabytes.append(with_ - without)
    weights = sum(p.numel() * 4 for p in AutoModelForCausalLM.from_pretrained(model).parameters())
    assert gigabytes == [0, weights, 0]


def test_settings_of_adapters_are_refused_where_there_are_none(model, data, tmp_path):
    with pytest.raises(ConfigError, match="--lora-r is of adapters, which --tuning full has none of"):
        run(model, data, tmp_path / "run", tuning="full", lora_r=8)


@pytest.mark.parametrize("tracker", ["wandb", "tensorboard"])
def test_a_tracker_without_its_package_is_refused_at_once(model, data, tmp_path, tracker, monkeypatch):
    monkeypatch.setattr("pairwright.recipes.settings.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=f"--tracker {tracker} needs the package {tracker}: pip install"):
        run(model, data, tmp_path / "run", tracker=tracker)
    assert not (tmp_path / "run").exists()


def test_a_missing_model_is_found_before_the_data_is_read(data, tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        run(tmp_path / "nothing", tmp_path / "no data either", tmp_path / "run")


def test_a_model_of_an_unknown_shape_trains_without_an_estimate(model, data, tmp_path, monkeypatch):
    def odd(model):
        raise ModelError("the model's config gives hidden_size as 'wide'")

    monkeypatch.setattr("pairwright.recipes.inventory.of_loaded", odd)
    run(model, data, tmp_path / "run", heard := Heard())
    assert "not estimated, because the model's config gives hidden_size as 'wide'" in heard.line("memory:")


def test_a_run_killed_before_its_first_checkpoint_starts_anew_with_all_its_files(model, data, tmp_path):
    """Resumed with other data it is another run: its data.json and quarantine tell of that data."""
    out = tmp_path / "run"
    run(model, data, out, steps=1)
    shutil.rmtree(out / "checkpoints")
    other = write_rows(tmp_path / "other.jsonl", pair_rows(8))
    other.write_text(other.read_text() + "broken\n")
    run(model, other, out, steps=1, resume=True, eval_fraction=0.0)
    known = json.loads((out / "data.json").read_text())["data"]["reading"]
    assert known["files"] == [str(other)] and known["quarantined"] == 1
    assert len(lines(out / "quarantine-data.jsonl")) == 1


def test_the_outcome_says_how_many_were_held_out_and_how_sure_a_share_is(tmp_path):
    """7 of 10: Wilson's interval is 0.397 to 0.892."""
    display = Display()
    display.console = Console(file=(shown := io.StringIO()), width=80)
    display.outcome({"rewards/accuracies": 1.0, "eval_rewards/accuracies": 0.7}, tmp_path, 10)
    assert "held out (10)" in shown.getvalue() and "0.40 to 0.89" in shown.getvalue()


def test_versions_are_recorded(model, data, tmp_path):
    kept = json.loads((run(model, data, tmp_path / "run").out / "config.json").read_text())
    assert set(kept["versions"]) >= {"pairwright", "torch", "transformers", "peft"}


def test_tensorboard_gets_the_metrics(model, data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = run(model, data, tmp_path / "run", tracker="tensorboard")
    events = EventAccumulator(str(next(result.out.rglob("events.out.tfevents*")).parent)).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("loss")]
    written = [(e["step"], e["loss"]) for e in lines(result.out / "metrics.jsonl") if "loss" in e]
    assert [step for step, _ in logged] == [1, 2, 3, 4] == [step for step, _ in written]
    assert [v for _, v in logged] == pytest.approx([v for _, v in written])


RATED = {"variant": "reward_aware", "distance": "squared", "beta": 0.5}


def test_pairs_without_ratings_are_dropped_where_ratings_are_compared(model, tmp_path):
    """24 rows, of which 4 have one rating only and 4 none. The others' loss before training is (0 - 2)^2."""
    rows = pair_rows(24)
    for number, row in enumerate(rows):
        row |= {"score_chosen": 5} if number < 20 else {}
        row |= {"score_rejected": 3} if number < 16 else {}
    data = write_rows(tmp_path / "rated.jsonl", rows)
    result = run(model, data, tmp_path / "run", heard := Heard(), method="rpo", options=RATED, eval_fraction=0.25)
    assert "  24 rows read = 16 kept + 0 quarantined + 8 dropped (8 no ratings of both answers)" in heard.lines
    assert lines(result.out / "metrics.jsonl")[0]["eval_loss"] == pytest.approx(4.0)
    run(model, data, tmp_path / "dpo", heard := Heard())  # needs none, and drops nothing
    assert "  24 rows read = 24 kept + 0 quarantined + 0 dropped" in heard.lines


def test_no_ratings_at_all_end_the_run_before_it_starts(model, data, tmp_path):
    said = r"data: .* needs ratings of both answers \(columns score_chosen and score_rejected\), and no row has them\. "
    with pytest.raises(
        DataError, match=said + r"Pairs without ratings fit dmpo, dpo, dpop, hinge.*, and rpo with settings"
    ):
        hollow = tmp_path / "model"  # could not be loaded
        hollow.mkdir()
        (hollow / "config.json").write_text("{}")
        (hollow / "model.safetensors").write_text("")
        run(hollow, data, tmp_path / "run", method="rpo", options=RATED)
    run(model, data, tmp_path / "run", method="rpo", steps=1)  # the other variants take them


def test_soft_labels_are_trained_on_and_survive_a_resume(model, tmp_path):
    """Labels of 0.5 pull nothing where nothing is learned yet: the first step's gradient is 0."""
    data = write_rows(tmp_path / "even.jsonl", [row | {"chosen_probability": 0.5} for row in pair_rows(12)])
    result = run(model, data, tmp_path / "run", steps=2, eval_fraction=0.0, ties="half")
    first = lines(result.out / "metrics.jsonl")[0]
    assert first["loss"] == pytest.approx(math.log(2)) and first["grad_norm"] == pytest.approx(0, abs=1e-6)
    other = write_rows(tmp_path / "other.jsonl", [row | {"chosen_probability": 0.6} for row in pair_rows(12)])
    with pytest.raises(CheckpointError, match=r"data \(tokens\)"):
        run(model, other, tmp_path / "run", steps=2, eval_fraction=0.0, ties="half", resume=True)


# Labelled answers


def labelled_rows(number: int, good: int) -> list[dict]:
    return [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": place < good}
        for place, row in enumerate(pair_rows(number))
    ]


@pytest.mark.parametrize("reference", ["cache", "live"])
def test_kto_starts_at_zero_and_learns(model, tmp_path, reference):
    """At the start every log-ratio is exactly 0, z0 too, and every loss half its weight. 16 good and 8 bad answers,
    none held out: weights 1 and 16 / 8 / (4 / 3) = 1.5, so (16 * 0.5 + 8 * 0.75) / 24 = 7 / 12 over an epoch."""
    data = write_rows(tmp_path / "labelled.jsonl", labelled_rows(24, 16))
    settings = dict(method="kto", reference=reference, pairs_per_step=24, steps=12, eval_fraction=0.0)
    result = run(model, data, tmp_path / "run", heard := Heard(), **settings, lora_dropout=0.1)
    entries = lines(result.out / "metrics.jsonl")
    said = "labels: 16 good answers of weight 1, 8 bad ones of weight 1.5; both labels in every step"
    assert said in heard.lines
    assert json.loads((result.out / "config.json").read_text())["chosen"]["options"]["undesirable_weight"] == 1.5
    assert (entries[0]["kl"], entries[0]["desirable"]) == (0.0, 16)
    calm = lines(run(model, data, tmp_path / "calm", **settings).out / "metrics.jsonl")
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "kl"):
        assert calm[0][name] == 0.0, name
    assert calm[0]["loss"] == pytest.approx(7 / 12, abs=1e-6)
    assert calm[-1]["loss"] < 0.5 and calm[-1]["rewards/margins"] > 0.1


def test_kto_takes_pairs_and_holds_prompts_together(model, data, tmp_path):
    result = run(model, data, tmp_path / "run", heard := Heard(), method="kto", eval_fraction=0.25, steps=2)
    assert any("each pair makes two labelled answers" in line for line in heard.lines)
    assert json.loads((result.out / "config.json").read_text())["fingerprint"]["examples"] == [36, 12]
    before = lines(result.out / "metrics.jsonl")[0]
    assert (before["eval_desirable"], before["eval_rewards/margins"], before["eval_kl"]) == (6, 0.0, 0.0)


def test_a_kto_run_resumed_ends_with_the_same_bits(model, data, tmp_path):
    whole = run(model, data, tmp_path / "whole", method="kto", pairs_per_step=5, steps=6)
    first = run(model, data, tmp_path / "parts", method="kto", pairs_per_step=5, steps=6, save_every=3)
    for path in (first.out / "checkpoints").glob("step-000006"):
        shutil.rmtree(path)
    again = run(model, data, tmp_path / "parts", method="kto", pairs_per_step=5, steps=6, save_every=3, resume=True)
    for name in ("metrics.jsonl", "samples.jsonl", "model/adapter_model.safetensors"):
        assert (again.out / name).read_bytes() == (whole.out / name).read_bytes(), name


def test_mismatched_references_are_cached_too(model, data, tmp_path):
    settings = dict(method="kto", epochs=1.0, steps=None, eval_fraction=0.0)
    run(model, data, tmp_path / "first", heard := Heard(), **settings)
    assert re.match(r"reference: 96 examples computed, 0 found", heard.line("reference"))
    run(model, data, tmp_path / "second", heard := Heard(), **settings)
    assert re.match(r"reference: 0 examples computed, 96 found", heard.line("reference"))


@pytest.mark.parametrize(
    ("good", "settings", "error", "said"),
    [
        (24, {}, DataError, "24 good and 0 bad answers to train on"),
        (20, {}, ConfigError, "with 20 good and 4 bad answers some steps .*or one label only. Take 6 or more"),
        (12, {"pairs_per_step": 3}, ConfigError, "--pairs-per-step is 3: .*fewer than 4.* Take 4 or more"),
    ],
)
def test_steps_that_could_not_be_mixed(model, tmp_path, good, settings, error, said):
    data = write_rows(tmp_path / "labelled.jsonl", labelled_rows(24, good))
    with pytest.raises(error, match=said):
        run(model, data, tmp_path / "run", method="kto", eval_fraction=0.0, **settings)


# Data of the wrong kind


@pytest.mark.parametrize(
    ("method", "row", "said"),
    [
        ("dpo", {"prompt": "w1", "completion": "w2", "label": True}, r"answers labelled .*take them: kto\."),
        ("dpo", {"prompt": "w1", "completion": "w2"}, r"demonstrations, not pairs .*take them: sft\."),
        ("sft", {"prompt": "w1", "completion": "w2", "label": True}, r"answers labelled .*take them: kto\."),
        ("kto", {"prompt": "w1", "completion": "w2"}, r"demonstrations, not answers labelled .*take them: sft\."),
    ],
)
def test_data_of_the_wrong_kind_names_the_methods_that_fit(model, tmp_path, method, row, said):
    data = write_rows(tmp_path / "rows.jsonl", [row] * 5)
    with pytest.raises(FormatError, match=said):
        run(model, data, tmp_path / "run", method=method)


def test_sft_counts_tokens_and_learns(model, data, tmp_path):
    result = run(model, data, tmp_path / "run", method="sft", tuning="full", steps=10, eval_every=10)
    entries = lines(result.out / "metrics.jsonl")
    assert entries[0]["eval_loss"] == pytest.approx(5.8, abs=0.1)  # random weights: worse than ln 128 = 4.85
    assert entries[-1]["eval_loss"] < entries[0]["eval_loss"] - 0.2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": -1.0}, "--learning-rate is -1.0; it must be above 0 and finite"),
        ({"epochs": float("inf"), "steps": None}, "--epochs is inf"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"seed": -1}, "--seed is -1; it must be 0 or more"),
        ({"nll_weight": -1.0}, "--nll-weight is -1.0"),
        ({"lora_alpha": 0}, "--lora-alpha is 0"),
        ({"max_grad_norm": -1.0}, "--max-grad-norm is -1.0"),
        ({"sample_prompts": -1}, "--sample-prompts is -1"),
        ({"max_length": 4096}, "--max-length is 4096; the model has 128 positions"),
        ({"eval_fraction": 1.0}, r"--eval-fraction is 1.0; it must lie in \[0, 1\)"),
        ({"method": "dpoo"}, "there is no method 'dpoo'; there are dmpo, dpo, dpop, "),
        ({"options": {"betta": 1}}, "Its options are: beta, label_smoothing"),
        ({"method": "sft", "nll_weight": 1.0}, "sft is that likelihood"),
    ],
)
def test_settings_that_cannot_be_meant(model, data, tmp_path, settings, said):
    with pytest.raises(ConfigError, match=said):
        run(model, data, tmp_path / "run", **settings)
