"""`pairwright plan` in the terminal: 80 columns, numbers that add up, no torch."""

import re
import subprocess
import sys

import pytest

from pairwright.cli import main

COMMAND = ["plan", "--model", "mistral-7b", "--tuning", "qlora"]


def said(capsys, monkeypatch, *words: str) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*COMMAND, *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [("--gpu", "t4"), ("--gpu", "t4", "--explain", "--method", "ppo"), ()])
def test_it_fits_80_columns(capsys, monkeypatch, words):
    text = said(capsys, monkeypatch, *words)
    assert max(map(len, text.splitlines())) <= 80


def test_the_bar_and_the_table_agree(capsys, monkeypatch):
    text = said(capsys, monkeypatch, "--gpu", "t4")
    assert "fits: " in text
    rows = re.findall(r"^ ([A-Z])   (.+?) +(<?[\d.]+) *$", text, re.MULTILINE)
    total = float(re.search(r"total +([\d.]+)", text)[1])
    sizes = {letter: float(size.lstrip("<")) for letter, _, size in rows}
    assert sum(sizes.values()) == pytest.approx(total, abs=0.05)
    bar = re.search(r"^\[(.+)\]$", text, re.MULTILINE)[1]
    assert len(bar) == 76
    for letter, size in sizes.items():
        assert bar.count(letter) == pytest.approx(76 * size / 14.56, abs=1)


def test_explain_shows_arithmetic_that_is_right(capsys, monkeypatch):
    text = " ".join(said(capsys, monkeypatch, "--gpu", "t4", "--explain").split())
    assert "41,943,040 x (4 + 4) = 335,544,320" in text


def test_what_does_not_fit_says_what_would(capsys, monkeypatch):
    text = said(capsys, monkeypatch, "--gpu", "t4", "--tuning", "lora")
    assert "does not fit" in text and re.search(r"it fits with\n +--tuning qlora", text)
    assert "the card ends here" in text and "an epoch" not in text


def test_your_own_price(capsys, monkeypatch):
    assert "at $2 an hour\n  (your price)" in said(capsys, monkeypatch, "--gpu", "t4", "--price", "2")


def test_an_unknown_method_is_refused(capsys):
    assert main([*COMMAND, "--gpu", "t4", "--method", "dpoo"]) == 2
    assert "Did you mean dpo?" in capsys.readouterr().err


def test_torch_stays_out():
    words = [*COMMAND, "--gpu", "t4"]
    code = f"import sys; from pairwright.cli import main; main({words!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
