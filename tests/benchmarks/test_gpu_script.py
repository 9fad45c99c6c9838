"""benchmarks/gpu.py runs from beginning to end with toy models, here without a GPU and without TRL."""

import json
from importlib.util import find_spec

import pytest
import torch

import gpu


@pytest.fixture(scope="module")
def sections(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("gpu") / "gpu.json"
    gpu.main(["--tiny", "--out", str(path)])
    return json.loads(path.read_text())["sections"]


def test_backends_equal_the_dense_mask_and_a_wrong_mask_does_not(sections):
    parity = sections["parity"]
    assert parity["compared"] == parity["passed"] == 6  # segments, three models, two precisions
    wrong = [entry["float32"] for name, entry in parity["cases"].items() if "wrong mask" in name]
    assert len(wrong) == 3
    assert all(case["logprob_max"] > 0.1 and case["gradient"] > 0.1 for case in wrong)


def test_a_step_starts_at_ln_2_and_falls(sections):
    runs = [cell["pairwright"] for s in sections.values() for cell in s.get("cells", {}).values()]
    if find_spec("bitsandbytes"):
        runs.append(sections["memory_7b_qlora"]["pairwright"])
    assert len(runs) >= 4
    for found in runs:
        assert found["losses"][0] == pytest.approx(0.693147, abs=1e-5)
        assert found["losses"][-1] < found["losses"][0]


@pytest.mark.skipif(not find_spec("bitsandbytes"), reason="bitsandbytes is not installed")
def test_the_plan_stands_beside_the_measurement(sections):
    """A tiny model: some megabytes of weights, adapters and activations, no more than a tenth of a GB."""
    assert 0.0001 < sections["memory_7b_qlora"]["planned_gb"] < 0.1


def test_tokens_are_counted_once(sections):
    # 8 pairs of a prompt of 24 and two answers of 8, whose last tokens predict nothing: 8 * (24 + 7 + 7).
    assert sections["speed_0.5b_lora"]["cells"]["24+8"]["pairwright"]["tokens"] == 304


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        gpu.main(["--out", str(tmp_path / "gpu.json")])
    assert stop.value.code == 2 and "--tiny" in capsys.readouterr().err
    assert not (tmp_path / "gpu.json").exists()
