"""Checkpoints on a healthy disk: what goes in comes out, in the format it says, and old ones go only when they may."""

import json
import random
import struct

import pytest
import torch
from safetensors.torch import load_file

from pairwright.errors import CheckpointError, ConfigError, NonFiniteError, StorageError
from pairwright.training.checkpoints import latest, load, save


def ids(folder):
    return sorted(entry.name for entry in folder.iterdir())


def simple(value: float) -> dict:
    return {"model": {"w": torch.full((2, 3), value)}}


def test_every_kind_of_tensor_comes_back_with_the_same_bits(tmp_path):
    shared = torch.arange(6, dtype=torch.float32)
    tensors = {
        "model": {
            "layer.0/weight": torch.tensor([[1.5, -2.25], [3.0, 1e-30]]),
            "not contiguous": torch.arange(12, dtype=torch.int64).reshape(3, 4).t(),
            "every other": torch.arange(10, dtype=torch.int16)[::2],
            "expanded": torch.tensor([7], dtype=torch.int32).expand(3),
            "shared a": shared,
            "shared b": shared[2:5],
            "bf16": torch.tensor([1.0, -0.0, 3.389e38], dtype=torch.bfloat16),
            "half": torch.tensor([6e-8, 65504.0], dtype=torch.float16),
            "complex": torch.tensor([1 + 2j, -3j]).conj(),
            "fp8": torch.tensor([0.5, -448.0]).to(torch.float8_e4m3fn),
            "needs grad": torch.nn.Parameter(torch.tensor([4.0])),
        },
        "optimizer": {"step": torch.tensor(9, dtype=torch.int64), "beta": torch.tensor(0.9, dtype=torch.float64)},
        "rng": {"torch": torch.arange(256, dtype=torch.uint8), "flag": torch.tensor([True, False])},
        "empty": {"none": torch.empty(0, 5), "": torch.tensor(-1, dtype=torch.int8)},
        "nothing": {},
    }
    back, _ = load(save(tmp_path, 1, tensors, {}, keep=1))
    assert {group: set(members) for group, members in back.items()} == {
        group: set(members) for group, members in tensors.items()
    }
    for group, members in tensors.items():
        for name, tensor in members.items():
            found, expected = back[group][name], tensor.detach()
            assert found.dtype == expected.dtype and found.shape == expected.shape, name
            assert found.tolist() == expected.tolist(), name
    assert torch.signbit(back["model"]["bf16"]).tolist() == [False, True, False]
    back["model"]["shared a"].zero_()
    assert back["model"]["shared b"].tolist() == [2.0, 3.0, 4.0]  # memory of its own


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b\\c", "new\nline", 'quo"te', "\x00", "é😀", "", " ", "{}", "data_offsets"]
)
def test_tensor_names_may_hold_any_character(tmp_path, name):
    back, _ = load(save(tmp_path, 1, {"m": {name: torch.tensor([5.0])}}, {}, keep=1))
    assert list(back["m"]) == [name] and back["m"][name].item() == 5.0


def test_the_file_is_plain_safetensors(tmp_path):
    """Worked by hand: two values, 1.0 = 00 00 80 3f and 2 (uint8) = 02; the wider type stands first."""
    tensors = {"small": torch.tensor(2, dtype=torch.uint8), "wide": torch.tensor([1.0])}
    path = save(tmp_path, 3, {"m": tensors}, {}, keep=1) / "m.safetensors"
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length]) == {
        "wide": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "small": {"dtype": "U8", "shape": [], "data_offsets": [4, 5]},
    }
    assert data[8 + length :] == bytes.fromhex("0000803f 02")
    assert {name: tensor.tolist() for name, tensor in load_file(path).items()} == {"wide": [1.0], "small": 2}


def test_the_same_content_makes_the_same_bytes(tmp_path):
    one = {"m": {"a": torch.ones(2), "b": torch.zeros(3)}}
    other = {"m": {"b": torch.zeros(3), "a": torch.ones(2)}}
    first, second = save(tmp_path / "1", 7, one, {"x": 1}, keep=1), save(tmp_path / "2", 7, other, {"x": 1}, keep=1)
    assert ids(first) == ids(second) == ["m.safetensors", "manifest.json", "state.json"]
    for name in ids(first):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_state_comes_back_exactly(tmp_path):
    values = random.Random(0)
    floats = [struct.unpack("<d", struct.pack("<Q", values.getrandbits(64)))[0] for _ in range(2000)]
    state = {
        "floats": [value for value in floats if value - value == 0] + [0.1, -0.0, 5e-324, 1.7976931348623157e308],
        "integers": [2**64, -(10**300), 0],
        "names": {"": None, '\u2028\n"': [True, False], "\ud800": "a lone surrogate \udfff, 😀"},
        "tuple": (1, (2.5,)),
    }
    _, back = load(save(tmp_path, 1, {}, state, keep=1))
    assert [value.hex() for value in back["floats"]] == [value.hex() for value in state["floats"]]
    assert back["tuple"] == [1, [2.5]]
    assert back["integers"] == state["integers"] and back["names"] == state["names"]


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"schedule": {"rate": [1.0, float("nan")]}}, r"schedule\.rate\[1\] is nan"),
        ({"loss": float("inf")}, "loss is inf"),
        ({"loss": -float("inf")}, "loss is -inf"),
    ],
)
def test_numbers_that_json_does_not_have_are_refused(tmp_path, state, named):
    with pytest.raises(CheckpointError, match=named):
        save(tmp_path, 1, simple(1.0), state, keep=1)
    assert ids(tmp_path) == []


@pytest.mark.parametrize(("state", "named"), [({"a": {1: 2}}, "key 1 at a"), ({"a": [b"x"]}, r"a\[0\] is a bytes")])
def test_state_that_json_would_change_is_refused(tmp_path, state, named):
    with pytest.raises(TypeError, match=named):
        save(tmp_path, 1, {}, state, keep=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.float8_e5m2])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_state_that_is_not_finite_is_never_saved(tmp_path, dtype, value):
    save(tmp_path, 1, simple(1.0), {}, keep=1)
    bad = torch.tensor([[1.0, value, 2.0]]).to(dtype)
    with pytest.raises(NonFiniteError, match=r"optimizer/exp_avg: values from"):
        save(tmp_path, 2, {"model": {"w": torch.ones(1)}, "optimizer": {"exp_avg": bad}}, {}, keep=1)
    assert ids(tmp_path) == ["step-000001"]


@pytest.mark.parametrize(
    ("name", "tensor", "named"),
    [
        ("__metadata__", torch.ones(1), "reserved"),
        ("\ud800", torch.ones(1), "valid Unicode"),
        ("s", torch.eye(2).to_sparse(), "sparse_coo"),
        ("m", torch.ones(2, device="meta"), "meta"),
        ("q", torch.ones(2, dtype=torch.complex128), "complex128"),
    ],
)
def test_what_the_format_cannot_hold_is_named(tmp_path, name, tensor, named):
    with pytest.raises(CheckpointError, match=named):
        save(tmp_path, 1, {"m": {name: tensor}}, {}, keep=1)
    assert ids(tmp_path) == []


@pytest.mark.parametrize("group", ["", "../x", "a/b", "manifest.json", ".hidden", "a b", "x" * 101])
def test_group_names_are_plain(tmp_path, group):
    with pytest.raises(CheckpointError, match="cannot name a group"):
        save(tmp_path, 1, {group: {}}, {}, keep=1)


def test_settings_that_cannot_be_meant(tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        save(tmp_path, 1, {}, {}, keep=0)
    with pytest.raises(ConfigError, match="count from 0"):
        save(tmp_path, -1, {}, {}, keep=1)


def test_only_the_newest_are_kept(tmp_path):
    for step in (5, 10, 999_999, 1_000_000):  # the seventh digit must not upset the order
        save(tmp_path, step, simple(step), {"step": step}, keep=2)
    assert ids(tmp_path) == ["step-1000000", "step-999999"]
    assert load(latest(tmp_path).path)[1] == {"step": 1_000_000}


def test_no_checkpoint_yet(tmp_path):
    assert latest(tmp_path / "none") == (None, [])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "step-12").mkdir()
    assert latest(tmp_path) == (None, [])
    save(tmp_path, 1, {}, {}, keep=1)
    assert ids(tmp_path) == ["notes.txt", "step-000001", "step-12"]


def test_leftovers_of_a_killed_save_are_ignored_and_then_removed(tmp_path):
    path = save(tmp_path, 4, simple(1.0), {}, keep=2)
    leftovers = [".step-000008.tmp", ".step-000002.trash", ".step-000002.old.trash"]
    for name in leftovers:  # even a complete one: it was never renamed, so its save never returned
        (tmp_path / name).mkdir()
        for file in path.iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    assert latest(tmp_path) == (path, [])
    save(tmp_path, 8, simple(2.0), {}, keep=2)
    assert ids(tmp_path) == ["step-000004", "step-000008"]


def test_a_step_can_be_saved_again(tmp_path):
    save(tmp_path, 1, simple(0.0), {"try": 0}, keep=2)
    save(tmp_path, 2, simple(1.0), {"try": 1}, keep=2)
    save(tmp_path, 2, simple(2.0), {"try": 2}, keep=2)
    assert ids(tmp_path) == ["step-000001", "step-000002"]
    assert load(latest(tmp_path).path)[1] == {"try": 2}


def test_what_a_second_save_put_aside_is_found_after_a_kill(tmp_path):
    """Killed between the two renames: only step-000002.old is there."""
    path = save(tmp_path, 2, simple(1.0), {"try": 1}, keep=1)
    old = path.rename(tmp_path / "step-000002.old")
    assert latest(tmp_path) == (old, [])
    assert load(old)[1] == {"try": 1}
    save(tmp_path, 2, simple(1.0), {"try": 2}, keep=1)
    assert ids(tmp_path) == ["step-000002"]


def test_a_damaged_checkpoint_gives_way_to_the_previous_one(tmp_path):
    first = save(tmp_path, 1, simple(1.0), {"step": 1}, keep=3)
    second = save(tmp_path, 2, simple(2.0), {"step": 2}, keep=3)
    (second / "model.safetensors").write_bytes(b"")
    path, warnings = latest(tmp_path)
    assert path == first and len(warnings) == 1
    assert "step-000002 is damaged: model.safetensors has 0 bytes instead of" in warnings[0]
    with pytest.raises(CheckpointError, match=r"model\.safetensors has 0 bytes"):
        load(second)


def test_damaged_checkpoints_do_not_push_out_healthy_ones(tmp_path):
    save(tmp_path, 1, simple(1.0), {"step": 1}, keep=2)
    (save(tmp_path, 2, simple(2.0), {"step": 2}, keep=2) / "state.json").write_bytes(b"{ }")
    newest = save(tmp_path, 3, simple(3.0), {"step": 3}, keep=2)
    assert ids(tmp_path) == ["step-000001", "step-000002", "step-000003"]
    (newest / "manifest.json").unlink()
    assert load(latest(tmp_path).path)[1] == {"step": 1}
    save(tmp_path, 4, simple(4.0), {"step": 4}, keep=1)
    assert ids(tmp_path) == ["step-000004"]


def test_all_damaged_is_an_error_not_a_new_start(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step, simple(1.0), {}, keep=2) / "manifest.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        latest(tmp_path)
    assert str(caught.value).count("manifest.json is missing") == 2
    assert "No checkpoint in" in str(caught.value)


def test_loading_what_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="step-000009 is missing"):
        load(tmp_path / "step-000009")
    with pytest.raises(CheckpointError, match="not a checkpoint folder"):
        load(tmp_path)


def test_pruned_files_are_not_needed_by_loaded_tensors(tmp_path):
    back, _ = load(save(tmp_path, 1, simple(1.25), {}, keep=1))
    save(tmp_path, 2, simple(2.0), {}, keep=1)
    assert back["model"]["w"].tolist() == [[1.25] * 3] * 2


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"saving the checkpoint of step 1 failed at .*file"):
        save(tmp_path / "file" / "checkpoints", 1, simple(1.0), {}, keep=1)
