"""Samples to fixed prompts never fail a run: what cannot be answered is left out, and said."""

from pairwright import TrainConfig, train
from tests.tiny import WORDS, Heard, lines, pair_rows, write_model, write_rows


def run(tmp_path, rows, heard, **settings):
    data = write_rows(tmp_path / "rows.jsonl", rows)
    config = TrainConfig(str(write_model(tmp_path / "model")), str(data), str(tmp_path / "run"), steps=1, **settings)
    return train(config, heard)


def test_a_prompt_that_leaves_no_room_is_left_out(tmp_path, monkeypatch):
    """Messages of one turn with about 100 tokens: with an answer of 2 they fit 128 positions, with 64 new ones not."""
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))
    asked = [{"role": "user", "content": " ".join(WORDS[:100])}]
    answer = lambda word: [{"role": "assistant", "content": word}]  # noqa: E731
    rows = [{"prompt": asked, "chosen": answer(f"w{i}"), "rejected": answer("w9")} for i in range(8)]
    result = run(tmp_path, rows, heard := Heard(), eval_fraction=0.0, sample_prompts=2)
    assert "samples: 2 prompts left out: empty, or too long to answer" in heard.lines
    assert lines(result.out / "samples.jsonl") == []


def test_no_room_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("PAIRWRIGHT_CACHE", str(tmp_path / "cache"))
    result = run(tmp_path, pair_rows(8), Heard(), max_length=64, sample_tokens=64, sample_prompts=2)
    assert lines(result.out / "samples.jsonl") == []
