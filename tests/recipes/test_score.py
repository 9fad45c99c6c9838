"""pairwright score: every row again with its scores, the same by every way of loading the model."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pairwright import ScoreConfig, TrainConfig, score, train
from pairwright.backbone import reward_files
from pairwright.backbone.adapters import LoraSettings
from pairwright.errors import ConfigError, DataError, ModelError, NonFiniteError
from pairwright.recipes import score as recipe
from tests.tiny import CPU, Heard, lines, pair_rows, write_model, write_rows


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(base, tmp_path_factory):
    """A reward model with a drawn head."""
    folder = tmp_path_factory.mktemp("rm")
    backbone = reward_files.load(str(base), tuning="full", lora=LoraSettings(), device=CPU)
    reward_files.save(backbone, folder, {1})
    return folder


def scored(model, tmp_path, rows, heard=None, **settings):
    data = write_rows(tmp_path / "data.jsonl", rows)
    out = tmp_path / "out.jsonl"
    result = score(ScoreConfig(str(model), str(data), str(out), **settings), heard or Heard())
    return lines(out), result


def plain(model, texts) -> list[float]:
    """By transformers, one text at a time."""
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    with torch.no_grad():
        return [network(tokenizer(text, return_tensors="pt").input_ids).logits.item() for text in texts]


def test_pairs(model, tmp_path):
    """The scores are those of prompt, answer and end token by transformers; the rows' own columns stay."""
    rows = [row | {"id": n, "note": "é"} for n, row in enumerate(pair_rows(5))]
    found, result = scored(model, tmp_path, rows)
    assert [{k: v for k, v in row.items() if not k.startswith("score_")} for row in found] == rows
    for side in ("chosen", "rejected"):
        expected = plain(model, [row["prompt"] + row[side] + " <eos>" for row in rows])
        assert [row[f"score_{side}"] for row in found] == pytest.approx(expected, abs=1e-5)
    assert result.scored == 5 and result.left_out == {}
    # Each prompt once, and the end tokens among the answers.
    tokens = lambda text: len(text.split())  # noqa: E731
    assert result.tokens <= sum(tokens(r["prompt"]) + tokens(r["chosen"]) + tokens(r["rejected"]) + 2 for r in rows)


def test_rankings(model, tmp_path):
    answers = [" w3 w4", " w7", " w8 w9 w10"]
    rows = [{"prompt": "w1 w2", "completions": answers, "ranking": [1, 0, 2]}]
    (row,), _ = scored(model, tmp_path, rows)
    assert row["model_scores"] == pytest.approx(plain(model, [f"w1 w2{a} <eos>" for a in answers]), abs=1e-5)


def test_what_people_gave_is_never_written_over(model, tmp_path):
    rows = [{"prompt": "w1", "completions": [" w3", " w4", " w5"], "scores": [3, 1, 2]}]
    (row,), _ = scored(model, tmp_path, rows)
    assert row["scores"] == [3, 1, 2] and len(row["model_scores"]) == 3
    (tmp_path / "out.jsonl").unlink()
    with pytest.raises(DataError, match=r"data.jsonl:1: the row has a score_chosen already"):
        scored(model, tmp_path, [row | {"score_chosen": 1} for row in pair_rows(2)])
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("label", [{"label": True}, {}])
def test_single_answers(model, tmp_path, label):
    (row,), _ = scored(model, tmp_path, [{"prompt": "w1", "completion": " w5 w6"} | label])
    assert row["score"] == pytest.approx(plain(model, ["w1 w5 w6 <eos>"])[0], abs=1e-5)


def test_how_it_is_cut_changes_nothing(model, tmp_path):
    one, _ = scored(model, tmp_path, pair_rows(6))
    (tmp_path / "out.jsonl").unlink()
    many, _ = scored(model, tmp_path, pair_rows(6), tokens_per_batch=1, attention="rows")
    for a, b in zip(one, many):
        assert a["score_chosen"] == pytest.approx(b["score_chosen"], abs=1e-5)


def test_an_adapter_and_its_merged_model_agree(base, tmp_path):
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(8))
    config = TrainConfig(str(base), str(data), str(tmp_path / "run"), method="reward", steps=2, learning_rate=0.05)
    result = train(config, Heard())
    found, _ = scored(result.model, tmp_path, pair_rows(3))
    backbone = reward_files.load(str(result.model), tuning="lora", lora=LoraSettings(), device=CPU, new=False)
    merged = backbone.model.merge_and_unload()
    backbone.model, backbone.tuning = merged, "full"
    reward_files.save(backbone, tmp_path / "merged", {1})
    rows = pair_rows(3)
    expected = plain(tmp_path / "merged", [row["prompt"] + row["chosen"] + " <eos>" for row in rows])
    assert [row["score_chosen"] for row in found] == pytest.approx(expected, abs=1e-4)


def test_rpo_reads_it_again(base, model, tmp_path):
    found, _ = scored(model, tmp_path, pair_rows(8))
    assert len(found) == 8
    config = TrainConfig(
        str(base),
        str(tmp_path / "out.jsonl"),
        str(tmp_path / "run"),
        method="rpo",
        options={"variant": "reward_aware"},
        steps=1,
        sample_prompts=0,
        reference="live",
    )
    heard = Heard()
    train(config, heard)
    assert "8 rows read = 8 kept" in heard.line("  8 rows")


def test_rows_that_cannot_be_scored_are_left_out_and_counted(model, tmp_path):
    rows = pair_rows(2)
    bad = [{"prompt": 3}, {"prompt": "w1", "chosen": " w2", "rejected": " w2"}]
    heard = Heard()
    found, result = scored(model, tmp_path, [rows[0], *bad, rows[1]], heard)
    assert [row["prompt"] for row in found] == [row["prompt"] for row in rows]
    assert result.scored == 2 and sum(result.left_out.values()) == 2
    assert "2 rows scored" in heard.line("2 rows scored") and "left out" in heard.line("2 rows scored")


def test_standard_output(model, tmp_path, capsys):
    data = write_rows(tmp_path / "data.jsonl", pair_rows(2))
    score(ScoreConfig(str(model), str(data)), Heard())
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 2 and all("score_chosen" in row for row in printed)


def test_what_is_refused(base, model, tmp_path, monkeypatch):
    data = write_rows(tmp_path / "data.jsonl", pair_rows(2))
    with pytest.raises(ModelError, match="is no reward model"):
        score(ScoreConfig(str(base), str(data)), Heard())
    (tmp_path / "there.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        score(ScoreConfig(str(model), str(data), str(tmp_path / "there.jsonl")), Heard())
    assert (tmp_path / "there.jsonl").read_text() == "mine"
    right = recipe.score_examples
    monkeypatch.setattr(recipe, "score_examples", lambda *a, **k: [v * float("nan") for v in right(*a, **k)])
    with pytest.raises(NonFiniteError, match=r"data\.jsonl:1: a score is"):
        score(ScoreConfig(str(model), str(data), str(tmp_path / "new.jsonl")), Heard())
    assert not (tmp_path / "new.jsonl").exists()
