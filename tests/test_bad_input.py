"""What goes wrong for people, through the command itself: one clear message, an exit code, no traceback."""

import json
import os
import resource
import subprocess
import sys

import pytest

from pairwright.cli import main
from tests.tiny import pair_rows, write_model, write_rows


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))


def command(model, data, out, *words):
    return ["train", "dpo", "--model", str(model), "--data", str(data), "--out", str(out), "--steps", "1", *words]


def fails(argv, code, *said, capsys):
    assert main(argv) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    flat = " ".join(shown.split())
    for each in said:
        assert each in flat, shown


def write(path, text):
    path.write_text(text)
    return path


def test_a_missing_file(model, tmp_path, capsys):
    fails(command(model, tmp_path / "none.jsonl", tmp_path / "out"), 3, "none.jsonl", capsys=capsys)


def test_wrong_columns(model, tmp_path, capsys):
    data = write_rows(tmp_path / "rows.jsonl", [{"question": "a", "answer": "b"}] * 3)
    fails(command(model, data, tmp_path / "out"), 3, "question", "answer", "rows.jsonl", capsys=capsys)


def test_a_model_without_weights(tmp_path, capsys):
    data = write_rows(tmp_path / "rows.jsonl", pair_rows(4))
    folder = write_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    fails(command(folder, data, tmp_path / "out"), 4, "has no weights (*.safetensors)", capsys=capsys)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": "w1", "chosen": " w2", "rejec', "JSON"),
        ('{"prompt": "w1", "chosen": "", "rejected": " w3"}', "empty"),
        ('{"prompt": "w1", "chosen": NaN, "rejected": " w3"}', "NaN"),
    ],
)
def test_a_broken_line_is_put_aside_and_counted(model, tmp_path, capsys, line, reason):
    rows = [json.dumps(row) for row in pair_rows(6)]
    data = write(tmp_path / "rows.jsonl", "\n".join([*rows[:3], line, *rows[3:]]) + "\n")
    assert main(command(model, data, tmp_path / "out")) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "1 quarantined" in shown and "Traceback" not in shown
    aside = [path for path in (tmp_path / "out").rglob("*quarantine*") if path.is_file()]
    kept = "".join(path.read_text() for path in aside)
    assert '"line": 4' in kept and reason.lower() in kept.lower()


def test_nothing_but_broken_lines(model, tmp_path, capsys):
    data = write(tmp_path / "rows.jsonl", '{"prompt": "w1", "chosen": "", "rejected": " w3"}\n' * 3)
    fails(command(model, data, tmp_path / "out"), 3, "rows.jsonl", capsys=capsys)


def test_a_closed_folder(model, tmp_path, capsys):
    """A folder that may not be written to. Root may write anywhere, so a file stands in the way for root."""
    closed = tmp_path / "closed"
    if os.geteuid() == 0:
        closed.write_text("")
    else:
        closed.mkdir(mode=0o500)
    data = write_rows(tmp_path / "rows.jsonl", pair_rows(4))
    assert main(command(model, data, closed / "out")) == 8
    shown = capsys.readouterr().err
    assert "Traceback" not in shown and "closed" in shown


@pytest.mark.parametrize("limit", [3_000, 60_000])
def test_a_disk_that_fills(model, tmp_path, limit):
    """No file may grow beyond the limit, which stops a log, a checkpoint or the model: EFBIG, as a full disk does."""
    data = write_rows(tmp_path / "rows.jsonl", pair_rows(16))

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    argv = [sys.executable, "-m", "pairwright", *command(model, data, tmp_path / "out", "--tuning", "full")]
    done = subprocess.run(argv, preexec_fn=bound, capture_output=True, text=True, timeout=120)
    assert done.returncode == 8, done.stderr
    assert "Traceback" not in done.stderr and (
        "larger than the system allows" in done.stderr or "reference cache" in done.stderr
    )
    assert not (tmp_path / "out" / "model").exists()
