"""pairwright demo, small: what it leaves and what it refuses. Its full size is measured, not tested (docs/LOG.md)."""

import dataclasses
import json

import pytest

from pairwright.errors import ConfigError
from pairwright.miniature import DIMENSIONS
from pairwright.recipes.demo import STAGES, DemoConfig, demo
from pairwright.recipes.display import Display
from tests.tiny import lines

SMALL = dict(seeds=2, demonstrations=32, asked=8, pairs=16, unseen=10)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAIRWRIGHT_CACHE", str(folder / "cache"))
        return demo(DemoConfig(out=str(folder / "out"), **SMALL), Display(quiet=True))


def test_evaluation_holds_every_figure(done):
    """{"base": {"gold": {"mean", "low", "high"}, ...}, "sft": ..., "dpo": ...}, recomputed from the seeds' figures."""
    found = json.loads((done.out / "evaluation.json").read_text())
    for stage in STAGES:
        assert set(found[stage]) == {*DIMENSIONS, "gold"}
        for name, interval in found[stage].items():
            one, other = (seed[name] for seed in found["per_seed"][stage])
            assert 0 <= one <= 1 and 0 <= other <= 1
            assert interval["mean"] == pytest.approx((one + other) / 2)
            # Student's t for two values: 12.706 * |a - b| / 2, cut to what scores can be
            high = min(1.0, interval["mean"] + 12.7062 * abs(one - other) / 2)
            assert interval["high"] == pytest.approx(high, rel=1e-4)
    assert found["about"]["unseen"] == 10 and found["about"]["seconds"] > 0


def test_answers_stand_side_by_side(done):
    rows = lines(done.out / "answers.jsonl")
    assert len(rows) == 10
    assert all(set(row["gold"]) == set(STAGES) and all(stage in row for stage in STAGES) for row in rows)
    found = json.loads((done.out / "evaluation.json").read_text())
    for stage in STAGES:  # the first seed's answers, scored
        mean = sum(row["gold"][stage] for row in rows) / 10
        assert mean == pytest.approx(found["per_seed"][stage][0]["gold"])


def test_every_stage_is_a_run_and_the_report_is_there(done):
    for seed in range(2):
        for stage in ("sft", "dpo"):
            assert (done.out / f"seed-{seed}" / stage / "model" / "model.safetensors").is_file()
    page = done.report.read_text()
    assert done.report.name == "report.html" and "<svg" in page and "gold" in page


def test_an_earlier_demonstration_is_replaced_and_nothing_else(done, tmp_path):
    again = DemoConfig(out=str(tmp_path), seeds=1)
    with pytest.raises(ConfigError, match="an interval needs at least 2"):
        demo(again)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds thesis\.tex, which no demonstration wrote"):
        demo(dataclasses.replace(again, seeds=2))
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    (tmp_path / "mine" / "seed-7").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"holds seed-7, which no demonstration wrote"):
        demo(DemoConfig(out=str(tmp_path / "mine")))
    with pytest.raises(ConfigError, match="--unseen is 0; it must be 1 or more"):
        demo(DemoConfig(out=str(tmp_path / "mine"), unseen=0))
    with pytest.raises(ConfigError, match="is a file"):
        demo(DemoConfig(out=str(tmp_path / "thesis.tex")))
