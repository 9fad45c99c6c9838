"""Any sequence of saves, kills, disk errors and damage, found by hypothesis; a failure replays from its printed seed.

The model of the test: the exact bytes that each save was meant to leave, made in another folder. A checkpoint on the
disk is healthy if its bytes are those of some save. Then:

- `latest` gives the newest healthy checkpoint, and an error only where there are none but damaged ones;
- a checkpoint that `save` returned stays the newest or gives way to a newer one, unless this test damaged it;
- a returned save leaves the `keep` newest healthy ones, and nothing unfinished.
"""

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pairwright.errors import CheckpointError, StorageError
from pairwright.training import files
from pairwright.training.checkpoints import latest, load, save


class Killed(BaseException):
    """The process is gone."""


class Disk:
    """The module `os`, without the time that a real fsync takes; fails or dies at call number `at`."""

    def __init__(self, at=None, error=None):
        self.left, self.error = at, error

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ("open", "write", "fsync", "mkdir", "rename", "unlink", "rmdir", "scandir", "read"):
            return real

        def call(*args, **kwargs):
            if self.left is not None:
                self.left -= 1
                if self.left == -1 or (self.left < 0 and self.error is Killed):
                    raise Killed if self.error is Killed else OSError(self.error, os.strerror(self.error))
            return None if name == "fsync" else real(*args, **kwargs)

        return call


def on(disk, work, *args, **kwargs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "os", disk)
        return work(*args, **kwargs)


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class Checkpoints(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        memory = Path("/dev/shm")
        self.base = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        self.folder, self.scratch = self.base / "checkpoints", self.base / "scratch"
        self.step = self.serial = 0
        self.meant: dict[int, tuple[int, dict[str, bytes]]] = {}
        """serial number of a save -> (step, its bytes)."""
        self.returned: int | None = None
        """Serial number of the last save that returned and was not damaged since."""

    def teardown(self):
        shutil.rmtree(self.base)

    @initialize(keep=st.integers(1, 3))
    def choose(self, keep):
        self.keep = keep

    def healthy(self) -> list[tuple[int, bool, int]]:
        """(step, not put aside, serial) of the healthy checkpoints, from old to new."""
        found = []
        for path in self.folder.iterdir() if self.folder.exists() else ():
            match = re.fullmatch(r"step-(\d{6})(\.old)?", path.name)
            for serial, (step, meant) in self.meant.items():
                if match and int(match[1]) == step and content_of(path) == meant:
                    found.append((step, match[2] is None, serial))
        return sorted(found)

    def prepare(self, forward: int) -> tuple:
        """Arguments of the next save, `forward` steps on; 0 saves the last step again."""
        self.step, self.serial = self.step + forward, self.serial + 1
        tensors = {"model": {"w": torch.full((3,), float(self.serial))}, "rng": {}}
        arguments = (self.step, tensors, {"serial": self.serial})
        path = on(Disk(), save, self.scratch, *arguments, keep=1)
        self.meant[self.serial] = (self.step, content_of(path))
        return arguments

    @rule(forward=st.integers(0, 2))
    def save(self, forward):
        before = {step for step, _, _ in self.healthy()}
        arguments = self.prepare(forward)
        path = on(Disk(), save, self.folder, *arguments, keep=self.keep)
        assert path == self.folder / f"step-{self.step:06d}"
        self.returned = self.serial
        after = {step for step, _, _ in self.healthy()}
        assert after == set(sorted(before | {self.step})[-self.keep :])
        assert not [entry for entry in self.folder.iterdir() if not entry.name.startswith("step-")]

    @rule(forward=st.integers(0, 2), at=st.integers(0, 110))
    def killed_save(self, forward, at):
        arguments = self.prepare(forward)
        try:
            on(Disk(at, Killed), save, self.folder, *arguments, keep=self.keep)
        except Killed:
            return
        self.returned = self.serial

    @rule(
        forward=st.integers(0, 2),
        at=st.integers(0, 110),
        code=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EACCES]),
    )
    def failing_save(self, forward, at, code):
        arguments = self.prepare(forward)
        try:
            on(Disk(at, code), save, self.folder, *arguments, keep=self.keep)
        except StorageError as error:
            assert str(self.folder.parent) in str(error)  # the folder, or that above it when its name was to last
        else:
            self.returned = self.serial

    @precondition(lambda self: self.healthy())
    @rule(data=st.data(), how=st.sampled_from(["flip", "cut", "remove", "add", "swap"]))
    def damage(self, data, how):
        victims = self.healthy()
        step, current, serial = victims[data.draw(st.integers(0, len(victims) - 1), "checkpoint")]
        path = self.folder / (f"step-{step:06d}" + ("" if current else ".old"))
        file = path / data.draw(st.sampled_from(sorted(content_of(path))), "file")
        content = file.read_bytes()
        position = data.draw(st.integers(0, len(content) - 1), "position")
        if how == "flip":
            bit = 1 << data.draw(st.integers(0, 7), "bit")
            file.write_bytes(content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :])
        elif how == "cut":
            file.write_bytes(content[:position])
        elif how == "remove":
            file.unlink()
        elif how == "add":
            (path / "core.1234").write_bytes(b"")
        else:
            file.write_bytes(content[position:] + content[:position] if content[0] != content[-1] else b"")
            if content_of(path) == self.meant[serial][1]:
                return
        if serial == self.returned:
            self.returned = None

    @invariant()
    def latest_is_the_newest_healthy_one(self):
        healthy = self.healthy()
        try:
            path, warnings = on(Disk(), latest, self.folder)
        except CheckpointError:
            assert not healthy
            return
        if path is None:
            assert not healthy and self.returned is None and not warnings
            return
        step, current, serial = healthy[-1]
        assert path.name == f"step-{step:06d}" + ("" if current else ".old")
        tensors, state = on(Disk(), load, path)
        assert state == {"serial": serial} and tensors["model"]["w"].tolist() == [serial] * 3
        assert all("skipped" in line and str(self.folder) in line for line in warnings)
        if self.returned is not None:
            assert serial >= self.returned


Checkpoints.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCheckpoints = Checkpoints.TestCase
