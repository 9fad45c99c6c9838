"""The command line: flags, files and TRL's names become one config; errors become one message and an exit code."""

import dataclasses
import errno
import json
import subprocess
import sys
import types

import pytest

from pairwright import __version__, errors
from pairwright.cli import main
from pairwright.commandline import objectives

DPO = '''
"""Direct preference optimisation, with a first line that is longer than a terminal is wide, as they are.

More about it.
"""
from dataclasses import dataclass
from typing import Literal

INPUT = "pairs"
REFERENCE = True


@dataclass
class Options:
    beta: float = 0.1
    """How far the policy may go from the reference."""
    label_smoothing: float = 0.0
    """Share of labels that are taken to be wrong."""
    divergence: Literal["reverse_kl", "js"] = "reverse_kl"
    """Kind of divergence."""


def loss(): ...
'''
SFT = '''
"""Imitation."""
from dataclasses import dataclass

INPUT = "demonstrations"
REFERENCE = False


@dataclass
class Options:
    pass


def loss(): ...
'''
NEEDED = ["--model", "m", "--data", "d.jsonl", "--out", "o"]


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A folder of two objectives and a recipe that only keeps what it was called with."""
    folder = tmp_path / "objectives"
    folder.mkdir()
    (folder / "dpo.py").write_text(DPO)
    (folder / "sft.py").write_text(SFT)
    (folder / "helper.py").write_text("def shared(): ...\n")
    monkeypatch.setattr(objectives, "FOLDER", folder)
    monkeypatch.setattr(objectives, "options_class", lambda name: _load(folder / f"{name}.py", monkeypatch).Options)
    calls = []
    recipe = types.ModuleType("pairwright.recipes.train")
    recipe.train = calls.append
    monkeypatch.setitem(sys.modules, "pairwright.recipes.train", recipe)
    return calls


def _load(path, monkeypatch):
    import importlib.util

    specification = importlib.util.spec_from_file_location(f"objective_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    specification.loader.exec_module(module)
    return module


def failing_with(error, monkeypatch):
    """`pairwright train dpo` whose recipe raises."""
    recipe = types.ModuleType("pairwright.recipes.train")

    def train(config):
        raise error

    recipe.train = train
    monkeypatch.setitem(sys.modules, "pairwright.recipes.train", recipe)
    return main(["train", "dpo", *NEEDED])


# Flags


def test_defaults_and_flags(trained):
    assert main(["train", "dpo", *NEEDED, "--beta", "0.3", "--steps=5", "--resume"]) == 0
    (config,) = trained
    assert (config.method, config.model, config.data, config.out) == ("dpo", "m", "d.jsonl", "o")
    assert config.options == {"beta": 0.3, "label_smoothing": 0.0, "divergence": "reverse_kl"}
    assert (config.steps, config.resume, config.pairs_per_step, config.learning_rate) == (5, True, 8, None)


def test_both_spellings(trained):
    main(["train", "dpo", *NEEDED, "--max_length", "7", "--pairs_per_step=3", "--label-smoothing", "0.1"])
    assert (trained[0].max_length, trained[0].pairs_per_step) == (7, 3)
    assert trained[0].options["label_smoothing"] == 0.1


@pytest.mark.parametrize(("words", "value"), [(["--resume", "True"], True), (["--resume", "false"], False)])
def test_switches_as_trl_writes_them(trained, words, value):
    main(["train", "dpo", *NEEDED, *words])
    assert trained[0].resume is value


def test_negative_numbers_are_values(trained):
    main(["train", "dpo", *NEEDED, "--label-smoothing", "-1e-3"])
    assert trained[0].options["label_smoothing"] == -0.001


@pytest.mark.parametrize(
    ("words", "changed", "said"),
    [
        (["--use_peft"], {"tuning": "lora"}, "use_peft is tuning lora here"),
        (["--use_peft", "False"], {"tuning": "full"}, "use_peft is tuning full here"),
        (["--use_peft", "--load_in_4bit"], {"tuning": "qlora"}, "use_peft and load_in_4bit is tuning qlora here"),
        (["--lora_r", "4", "--lora_target_modules", "q_proj", "v_proj"], {"lora_r": 4, "lora_targets": "q_proj,v_proj"},
         "lora_target_modules is lora_targets here"),
        (["--report_to", "tensorboard"], {"tracker": "tensorboard"}, "report_to is tracker here"),
        (["--warmup_steps", "10"], {"warmup": 10.0}, "warmup_steps is warmup here"),
    ],
)  # fmt: skip
def test_more_of_trls_names(trained, capsys, words, changed, said):
    assert main(["train", "dpo", *NEEDED, *words]) == 0, capsys.readouterr().err
    assert {name: getattr(trained[0], name) for name in changed} == changed
    assert said in flat(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "dpo", *NEEDED, "--model", "b"], "--model is given twice"),
        (["train", "dpo", *NEEDED, "--steps", "1", "--steps=2"], "--steps is given twice"),
        (["train", "dpo", *NEEDED, "--load_in_4bit", "--use_peft", "false"], "load_in_4bit without use_peft"),
        (["train", "dpo", *NEEDED, "--use_peft", "maybe"], "it has to be true or false"),
        (["train", "dpo", *NEEDED, "--warmup_ratio", "1.0"], "a share of the steps lies below 1"),
        (["methods", "extra"], "pairwright methods takes nothing more, and got extra"),
    ],
)
def test_words_too_many(trained, capsys, words, said):
    assert main(words) == 2
    assert said in flat(capsys.readouterr().err)
    assert trained == []


def test_an_unknown_flag_names_the_nearest(trained, capsys):
    assert main(["train", "dpo", *NEEDED, "--lerning-rate", "1"]) == 2
    assert "has no --lerning-rate. Did you mean --learning-rate?" in flat(capsys.readouterr().err)
    assert trained == []


def test_a_missing_flag_is_named(trained, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "dpo", "--model", "m"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "--data" in said and "--out" in said and "Traceback" not in said


def test_a_wrong_value_is_named(trained, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "dpo", *NEEDED, "--steps", "many"])
    assert stopped.value.code == 2
    assert "--steps" in (said := capsys.readouterr().err) and "many" in said


def test_help_fits_80_columns(trained, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stopped:
        main(["train", "dpo", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "--beta FLOAT" in shown and "How far the policy may go" in shown and "--config TEXT" in shown
    assert "{None}" not in shown and "(default: None)" not in shown


# Names that users of TRL know


def test_aliases_are_taken_and_said(trained, capsys):
    words = ["--model_name_or_path", "m", "--dataset-name", "d", "--output_dir", "o", "--max_seq_length", "9"]
    main(["train", "dpo", *words, "--rpo_alpha", "0.5", "--save-total-limit", "4"])
    (config,) = trained
    assert (config.model, config.data, config.out, config.max_length) == ("m", "d", "o", 9)
    assert (config.nll_weight, config.keep_checkpoints) == (0.5, 4)
    said = capsys.readouterr().err
    assert "model_name_or_path is model here." in said and "max_seq_length is max_length here." in said


def test_batch_of_trl(trained, capsys):
    """4 a device, accumulated 3 times, on one process: 12 pairs a step."""
    main(["train", "dpo", *NEEDED, "--per_device_train_batch_size", "4", "--gradient-accumulation-steps", "3"])
    assert trained[0].pairs_per_step == 12
    assert "4 x gradient_accumulation_steps 3 is pairs_per_step 12" in flat(capsys.readouterr().err)


def test_batch_of_trl_counts_processes_and_its_default(trained, monkeypatch):
    """TRL's default is 8 a device: 8 x 2 accumulated x 2 processes = 32."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    main(["train", "dpo", *NEEDED, "--gradient_accumulation_steps", "2"])
    assert trained[0].pairs_per_step == 32


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--per_device_train_batch_size", "none"], "'none'; it has to be a whole number"),
        (["--per_device_train_batch_size", "0"], "'0'; it has to be a whole number"),
        (["--per_device_train_batch_size", "4", "--pairs-per-step", "4"], "pairs_per_step is given twice"),
        (["--max_seq_length", "4", "--max-length", "4"], "max_length is given twice"),
        (["--dataset_name", "x"], "data is given twice"),
        (["--loss_type", "nonsense"], "no objective for loss_type nonsense"),
    ],
)
def test_names_that_contradict(trained, capsys, words, said):
    assert main(["train", "dpo", *NEEDED, *words]) == 2
    assert said in flat(capsys.readouterr().err)
    assert trained == []


@pytest.mark.parametrize("name", ["tokenizer", "max_prompt_length", "max_completion_length"])
def test_settings_that_are_not_needed(trained, capsys, name):
    assert main(["train", "dpo", *NEEDED, f"--{name}", "3"]) == 0
    assert f"{name} is not needed: " in capsys.readouterr().err
    assert len(trained) == 1


def test_loss_type(trained, capsys):
    assert main(["train", "dpo", *NEEDED, "--loss_type", "sigmoid"]) == 0
    assert "is what `pairwright train dpo` does" in capsys.readouterr().err
    assert main(["train", "sft", *NEEDED, "--loss_type", "sigmoid"]) == 2
    assert "is a command of its own here: pairwright train dpo" in flat(capsys.readouterr().err)
    assert len(trained) == 1


# Settings files


def test_a_file_and_flags_that_win(trained, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "model: m\ndata: d\nout: o\nmethod: dpo\nlearning_rate: 1e-5\npairs-per-step: 2\n"
        "gradient_checkpointing: on\nsteps: null\noptions:\n  beta: 1\nlabel_smoothing: 0.25\n"
    )
    assert main(["train", "dpo", "--config", str(file), "--pairs-per-step", "6"]) == 0
    (config,) = trained
    assert (config.model, config.learning_rate, config.pairs_per_step) == ("m", 1e-5, 6)
    assert (config.gradient_checkpointing, config.steps) == ("on", None)
    assert config.options == {"beta": 1.0, "label_smoothing": 0.25, "divergence": "reverse_kl"}


def test_a_file_with_names_of_trl(trained, tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(
        "model_name_or_path: m\ndataset_name: d\noutput_dir: o\nper_device_train_batch_size: 2\nloss_type: sigmoid\n"
    )
    assert main(["train", "dpo", "--config", str(file)]) == 0
    assert (trained[0].model, trained[0].pairs_per_step) == ("m", 2)
    assert "run.yaml: model_name_or_path is model here." in flat(capsys.readouterr().err)


def test_the_config_of_an_earlier_run(trained, tmp_path):
    """Every setting, with those that were left out as null, beside what the run added; --out is another one."""
    assert main(["train", "dpo", *NEEDED, "--beta", "0.3", "--epochs", "2", "--tuning", "full"]) == 0
    file = tmp_path / "config.json"
    saved = {"config": dataclasses.asdict(trained[0]), "chosen": {"steps": 9}, "versions": {"torch": "2"}}
    file.write_text(json.dumps(saved, indent=2))
    assert main(["train", "dpo", "--config", str(file), "--out", "again"]) == 0
    assert trained[1] == dataclasses.replace(trained[0], out="again")


def test_a_json_file(trained, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model": "m", "data": "d", "out": "o", "warmup": 0.2, "options": {"beta": 0.4}}))
    assert main(["train", "dpo", "--config", str(file)]) == 0
    assert (trained[0].warmup, trained[0].options["beta"]) == (0.2, 0.4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: m\nlerning_rate: 1\n", ":2: there is no setting lerning_rate. Did you mean learning_rate?"),
        ("steps: many\n", ":1: steps: 'many' is not a whole number."),
        ("steps: 1.5\n", ":1: steps: 1.5 is not a whole number."),
        ("resume: 1\n", ":1: resume: 1 is not one of true, false."),
        ("model: 12\n", ":1: model: 12 is not text (put it in quotes)."),
        ("\n\ntuning: lara\n", ":3: tuning: 'lara' is not one of lora, qlora, full."),
        ("out: null\n", ":1: out: None is not text"),
        ("seed: 1\nseed: 2\n", ":2: seed stands on line 1 already"),
        ("method: sft\n", ":1: the file is for 'sft', the command for 'dpo'"),
        ("a: [1\n", ":2: not YAML"),
        ("just words\n", "a settings file has lines such as"),
        ("", "a settings file has lines such as"),
        ("model: !!python/object:os.system x\n", "not YAML"),
        ("max_seq_length: 5\nmax_length: 5\n", "max_length is given twice"),
    ],
)
def test_a_bad_file(trained, tmp_path, capsys, text, said):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    assert main(["train", "dpo", *NEEDED, "--config", str(file)]) == 2
    assert said in flat(capsys.readouterr().err)
    assert trained == []


def test_a_missing_file(trained, capsys):
    assert main(["train", "dpo", "--config", "none.yaml"]) == 2
    assert "--config none.yaml: No such file or directory." in flat(capsys.readouterr().err)


# Methods


def test_methods_lists_the_folder(trained, capsys):
    assert main(["methods"]) == 0
    shown = capsys.readouterr().out
    assert "dpo" in shown and "Direct preference optimisation," in shown and "demonstrations" in shown
    assert "helper" not in shown


def test_an_unknown_method_names_the_nearest(trained, capsys):
    assert main(["train", "dop", *NEEDED]) == 2
    assert "There is no objective 'dop'. Did you mean dpo? There are: dpo, sft." in flat(capsys.readouterr().err)


def test_the_method_comes_first(trained, capsys):
    assert main(["train", "--model", "m"]) == 2
    assert "pairwright train dpo|sft --model" in flat(capsys.readouterr().err)


@pytest.mark.parametrize("objective", objectives.objectives(), ids=lambda objective: objective.name)
def test_every_objective_of_the_package_has_a_command(objective, capsys):
    """Its options have types that flags and files can take, and no name that a run's setting has already."""
    from pairwright.commandline.settings import coerce, settings_of
    from pairwright.recipes.config import TrainConfig

    options = settings_of(objectives.options_class(objective.name))
    assert {option.name for option in options} & {setting.name for setting in settings_of(TrainConfig)} == set()
    for option in options:
        assert option.help, f"{option.name} has no text under it"
        assert coerce(option.default, option.type) == option.default
    assert objective.summary and objective.input
    with pytest.raises(SystemExit) as stopped:
        main(["train", objective.name, "--help"])
    assert stopped.value.code == 0


# Errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError, 2),
        (errors.DataError, 3),
        (errors.FormatError, 3),
        (errors.ModelError, 4),
        (errors.MissingExtraError, 5),
        (errors.NonFiniteError, 6),
        (errors.CheckpointError, 7),
        (errors.StorageError, 8),
        (errors.Interrupted, 143),
    ],
)
def test_a_named_error_is_one_message(trained, monkeypatch, capsys, error, code):
    assert failing_with(error("rows.jsonl:3: [bold] is empty."), monkeypatch) == code
    assert capsys.readouterr().err == "error: rows.jsonl:3: [bold] is empty.\n"


def test_ctrl_c(trained, monkeypatch, capsys):
    assert failing_with(KeyboardInterrupt(), monkeypatch) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_anywhere(trained, monkeypatch, capsys):
    assert failing_with(OSError(errno.ENOSPC, "No space left on device", "runs/x"), monkeypatch) == 8
    said = capsys.readouterr().err
    assert "The disk is full at runs/x" in flat(said) and "Traceback" not in said


def test_a_full_disk_behind_another_error(trained, monkeypatch, capsys):
    outer = RuntimeError("could not save")
    outer.__cause__ = ValueError("I/O error: No space left on device (os error 28)")
    assert failing_with(outer, monkeypatch) == 8


def test_no_memory(trained, monkeypatch, capsys):
    exhausted = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2 GiB.")
    assert failing_with(exhausted, monkeypatch) == 6
    assert "CUDA out of memory. Lower --tokens-per-batch" in flat(capsys.readouterr().err)


def test_a_defect_keeps_its_traceback(trained, monkeypatch, capsys):
    assert failing_with(ZeroDivisionError("oops"), monkeypatch) == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said and "ZeroDivisionError: oops" in said
    assert "this is a defect in Pairwright" in said


# The program itself


def run(*words, **more):
    return subprocess.run([sys.executable, "-m", "pairwright", *words], capture_output=True, text=True, **more)


def test_version():
    assert run("--version").stdout == f"pairwright {__version__}\n"


def test_help_is_light():
    """Measured by what it imports, which a busy machine does not change: 0.15 s where this was written, 0.5 allowed."""
    code = (
        "import sys; from pairwright.cli import main; main(['--help']);"
        "print(sorted({'torch', 'transformers', 'tyro', 'yaml', 'numpy', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert max(map(len, shown.splitlines())) <= 80
    assert all(command in shown for command in ("train", "demo", "methods", "report"))


def test_methods_is_light():
    code = "import sys; from pairwright.cli import main; main(['methods']); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.endswith("False\n")


def test_an_unknown_command():
    result = run("trian")
    assert result.returncode == 2
    assert result.stderr == "error: There is no command 'trian'. Did you mean train? See pairwright --help.\n"


def test_a_reader_that_has_seen_enough():
    """`pairwright methods | head -0` ends without a complaint; rich gives 1 for it, a plain write 141."""
    command = f'"{sys.executable}" -m pairwright --help | true; echo "${{PIPESTATUS[0]}}"'
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert result.stderr == "" and result.stdout.strip() in ("0", "1", "141")


def test_report_of_no_run(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 3
    assert main(["report", str(tmp_path)]) == 3
    assert "holds no run" in flat(capsys.readouterr().err)


def test_report_writes_both(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").is_file() and (tmp_path / "README.md").is_file()
    assert str(tmp_path / "report.html") in capsys.readouterr().out


def flat(text):
    """Without the line breaks that a terminal's width brings."""
    return " ".join(text.split())
