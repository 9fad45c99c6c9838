"""Verifier functions in their process: what they get, and what happens where they fail."""

from pathlib import Path

import pytest

from pairwright.errors import ConfigError, TrainingError
from pairwright.feedback.verifier import Verifier

FILE = str(Path(__file__).with_name("verifiers.py"))
BATCH = {"prompts": ["a?", "b?"], "completions": ["one two", "three"], "ended": [True, False], "solution": ["two", "x"]}


def call(name, batch=BATCH, seconds=20.0):
    with Verifier(f"{FILE}:{name}", seconds) as verifier:
        return verifier(batch)


def test_it_gets_what_it_names():
    assert call("words") == [2.0, 1.0]
    assert call("solution") == [1.0, 0.0]


def test_it_answers_batch_after_batch():
    with Verifier(f"{FILE}:words", 20) as verifier:
        assert [verifier({"prompts": ["?"], "completions": ["a " * n]}) for n in (1, 2, 3)] == [[1.0], [2.0], [3.0]]


def test_a_module_is_imported():
    with Verifier("tests.feedback.verifiers:words", 20) as verifier:
        assert verifier(BATCH) == [2.0, 1.0]


def test_a_slow_one_is_stopped():
    with Verifier(f"{FILE}:slow", 0.3) as verifier:
        assert verifier({"completions": ["a"]}) == [0.0]
        with pytest.raises(TrainingError, match=r"slow took more than 0.3 s for 2 answers.*--reward-seconds"):
            verifier({"completions": ["a", "b"]})
        assert verifier._process.poll() is not None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("few", "returned 1 numbers for 2 answers"),
        ("text", "returned 'good' for an answer, not a number"),
        ("nan", "returned 'nan' for an answer, not a number"),
        ("broken", "KeyError: 'no such key'"),
        ("dies", "ended with code 3 over 2 answers"),
        ("needs", "it takes 'level', and the data has no such column; there are prompts"),
    ],
)
def test_a_fault_is_named(name, message):
    with pytest.raises(TrainingError, match=message):
        call(name)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{FILE}:absent", "has no function absent"),
        ("nowhere.py:f", "there is no file nowhere.py"),
        ("no_such_module:f", "No module named 'no_such_module'"),
    ],
)
def test_what_cannot_be_had_is_refused(path, message):
    with pytest.raises(ConfigError, match=message):
        Verifier(path, 1)
