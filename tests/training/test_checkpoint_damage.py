"""Damaged and hostile checkpoint folders: each is recognised before anything in it is used."""

import hashlib
import json
import os
import pickle
import random
import resource
import shutil
import struct
import time

import pytest
import torch

from pairwright.errors import CheckpointError
from pairwright.training.checkpoints import latest, load, save
from pairwright.training.tensor_files import HEADER_LIMIT, read_tensor_file


def content(step: int) -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(step)
    weights = {"a": torch.randn(8, 8, generator=generator), "b": torch.randn(5, generator=generator).bfloat16()}
    return {"model": weights, "rng": {"torch": torch.arange(64, dtype=torch.uint8)}}, {"step": step, "rate": 0.1}


def overwrite(path, data):
    """In place: thousands of files made new would keep the disk busy."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


@pytest.fixture
def two(tmp_path):
    """Checkpoints of steps 1 and 2."""
    return [save(tmp_path, step, *content(step), keep=2) for step in (1, 2)]


def test_a_thousand_bit_flips_and_truncations_are_all_detected(two, tmp_path):
    first, second = two
    original = {path: path.read_bytes() for path in sorted(second.iterdir())}
    assert len(original) == 4
    paths, sizes = list(original), [len(data) for data in original.values()]
    chance = random.Random(20261120)
    missed, by_file = [], dict.fromkeys(paths, 0)
    for round_number in range(1000):
        # half of the rounds choose a byte of the whole checkpoint, half a file, so that small files get their share
        path = chance.choices(paths, sizes if round_number % 2 else None)[0]
        data = bytearray(original[path])
        if round_number % 5:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        else:
            del data[chance.randrange(len(data)) :]
        overwrite(path, data)
        by_file[path] += 1
        found, warnings = latest(tmp_path)
        # a changed digest in the manifest is blamed on the file that it belongs to
        named = path.name in "".join(warnings) or path.name == "manifest.json"
        if found != first or len(warnings) != 1 or not named:
            missed.append((path.name, round_number, warnings))
        overwrite(path, original[path])
    assert missed == []
    assert min(by_file.values()) > 100
    assert latest(tmp_path) == (second, [])


def test_every_single_bit_of_the_manifest_counts(two, tmp_path):
    manifest = two[1] / "manifest.json"
    original = manifest.read_bytes()
    for position in range(len(original) * 8):
        data = bytearray(original)
        data[position // 8] ^= 1 << position % 8
        overwrite(manifest, data)
        with pytest.raises(CheckpointError):
            load(two[1])


@pytest.mark.parametrize("name", ["model.safetensors", "rng.safetensors", "state.json", "manifest.json"])
def test_a_missing_file(two, tmp_path, name):
    (two[1] / name).unlink()
    path, warnings = latest(tmp_path)
    assert path == two[0] and f"{name} is missing" in warnings[0]


@pytest.mark.parametrize("name", ["extra.safetensors", "notes.txt", ".hidden", "model.safetensors.bak"])
def test_an_extra_file(two, tmp_path, name):
    (two[1] / name).write_bytes(b"")
    path, warnings = latest(tmp_path)
    assert path == two[0] and f"{name} is not in its manifest" in warnings[0]


def test_a_checkpoint_under_another_step(two, tmp_path):
    moved = two[1].rename(tmp_path / "step-000003")
    path, warnings = latest(tmp_path)
    assert path == two[0] and "step-000003 is damaged: manifest.json" in warnings[0]
    with pytest.raises(CheckpointError):
        load(moved)


def test_files_of_two_checkpoints_mixed(two, tmp_path):
    shutil.copy(two[0] / "model.safetensors", two[1] / "model.safetensors")
    path, warnings = latest(tmp_path)
    assert path == two[0] and "model.safetensors does not have the SHA-256" in warnings[0]


def test_links_and_pipes_are_not_followed(two, tmp_path):
    secret = tmp_path / "secret"
    (two[1] / "model.safetensors").rename(secret)
    (two[1] / "model.safetensors").symlink_to(secret)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is a link"):
        load(two[1])
    (two[1] / "model.safetensors").unlink()
    os.mkfifo(two[1] / "model.safetensors")  # opening it for reading would wait for ever
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not a plain file"):
        load(two[1])
    elsewhere = two[0].rename(tmp_path / "elsewhere")
    (tmp_path / "step-000001").symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match="not a checkpoint folder"):
        load(tmp_path / "step-000001")


def test_a_file_in_place_of_the_folder(two, tmp_path):
    (tmp_path / "step-000003").write_text("")
    path, warnings = latest(tmp_path)
    assert path == two[1] and "not a checkpoint folder" in warnings[0]


def forge(folder, number, data_of: dict[str, bytes], manifest_names: dict[str, str] | None = None, **changes):
    """A checkpoint whose manifest fits its files: what a forger can make. `manifest_names` renames entries."""
    path = folder / f"step-{number:06d}"
    path.mkdir()
    entries = {}
    for name, data in sorted(data_of.items()):
        if "/" not in name:
            (path / name).write_bytes(data)
        entries[(manifest_names or {}).get(name, name)] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    whole = {"format": "pairwright checkpoint", "version": 1, "step": number, "files": entries} | changes
    (path / "manifest.json").write_text(json.dumps(whole, indent=1) + "\n")
    return path


def header(entries: dict | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def test_the_forged_folder_is_a_fair_test(tmp_path):
    data = header({"x": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"\x05\x06")
    tensors, state = load(forge(tmp_path, 1, {"m.safetensors": data, "state.json": b"{}"}))
    assert tensors["m"]["x"].tolist() == [5, 6] and state == {}


PATHS = ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "C:\\x.safetensors"]
OTHERS = ["model.pkl", "m.bin", "model.safetensors.json", "m\x00.safetensors", "\ud800.safetensors"]


@pytest.mark.parametrize("name", [*PATHS, *OTHERS, "x" * 101 + ".safetensors"])
def test_names_that_no_checkpoint_holds_are_refused(tmp_path, name):
    (tmp_path / "secret.safetensors").write_bytes(header({}))
    path = forge(
        tmp_path, 1, {"m.safetensors": header({}), "state.json": b"{}"}, manifest_names={"m.safetensors": name}
    )
    with pytest.raises(CheckpointError):
        load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": 2},
        {"version": True},
        {"format": "other"},
        {"step": 2},
        {"files": []},
        {"files": {}},
        {"files": {"state.json": 1}},
        {"files": {"state.json": {"bytes": -1, "sha256": "0" * 64}}},
        {"files": {"state.json": {"bytes": 2.0, "sha256": hashlib.sha256(b"{}").hexdigest()}}},
        {"files": {"state.json": {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest().upper()}}},
        {"files": {"state.json": {"bytes": 2, "sha256": None}}},
        {"more": 1},
    ],
)
def test_other_manifests_are_refused(tmp_path, changes):
    with pytest.raises(CheckpointError):
        load(forge(tmp_path, 1, {"state.json": b"{}"}, **changes))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"1", b"\xff", b"[" * 100_000, b" " * ((1 << 20) + 1)])
def test_a_manifest_that_is_none(two, data):
    (two[1] / "manifest.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"manifest\.json is not as it was written"):
        load(two[1])


def test_a_newer_format_says_so(tmp_path):
    with pytest.raises(CheckpointError, match=r"newer Pairwright \(version 2 of the format\)"):
        load(forge(tmp_path, 1, {"state.json": b"{}"}, version=2))


NOT_JSON = [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000]
NOT_FINITE = [b'{"x": NaN}', b'{"x": 1e999}', b'{"x": -Infinity}', b'{"x": ' + b"1" * 5000 + b"}"]


@pytest.mark.parametrize("data", [*NOT_JSON, *NOT_FINITE])
def test_states_that_are_not_strict_json_are_refused(tmp_path, data):
    with pytest.raises(CheckpointError, match=r"state\.json"):
        load(forge(tmp_path, 1, {"state.json": data}))


HOSTILE_TENSORS = {
    "empty file": b"",
    "seven bytes": b"\x00" * 7,
    "header of 2^63 bytes": header({}, length=2**63),
    "header of all ones": b"\xff" * 8,
    "header longer than the file": header({}, length=100),
    "header just over the limit": header(b"{" + b" " * HEADER_LIMIT + b"}"),
    "no json": header(b"abc"),
    "not an object": header(b"[]"),
    "not utf-8": header(b"\xff\xff"),
    "deep nesting": header(b'{"a":' * 100_000),
    "offsets beyond the end": header({"x": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}, b"12345678"),
    "negative offset": header({"x": {"dtype": "U8", "shape": [1], "data_offsets": [-1, 0]}}, b"1"),
    "shape against offsets": header({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678"),
    "overflowing shape": header({"x": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 0]}}),
    "overlap": header(
        {
            "x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
            "y": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
        },
        b"1234",
    ),
    "hole": header({"x": {"dtype": "U8", "shape": [1], "data_offsets": [4, 5]}}, b"12345"),
    "bytes behind the last tensor": header({"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"12345"),
    "unknown type": header({"x": {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
    "a pickle": pickle.dumps({"weights": [1.0, 2.0]}),
}


@pytest.mark.parametrize("kind", HOSTILE_TENSORS)
def test_hostile_tensor_files_are_refused(tmp_path, kind):
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load(forge(tmp_path, 1, {"m.safetensors": HOSTILE_TENSORS[kind], "state.json": b"{}"}))


def test_a_header_bomb_is_refused_at_once_and_a_large_header_is_read(tmp_path):
    """RELIABILITY row 11: refused in 5 s under 1 GB. 20 MB of names is over the limit; 34,000 names are within it."""
    entry = b'"%06d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    path = tmp_path / "m.safetensors"
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    path.write_bytes(header(b"{" + b",".join(entry % number for number in range(350_000)) + b"}"))
    with pytest.raises(CheckpointError, match="the header claims"):
        read_tensor_file(path)
    path.write_bytes(header(b"{" + b",".join(entry % number for number in range(34_000)) + b"}"))
    assert len(read_tensor_file(path)) == 34_000
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def test_sparse_giant_files_are_refused_at_once(two, tmp_path):
    """A file of 100 TB (all hole) in place of a small one: its size alone gives it away."""
    with (two[1] / "model.safetensors").open("r+b") as file:
        try:
            file.truncate(10**14)
        except OSError:
            file.truncate(10**12)
    start = time.monotonic()
    path, _ = latest(tmp_path)
    assert path == two[0] and time.monotonic() - start < 1
