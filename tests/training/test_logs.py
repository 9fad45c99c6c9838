"""Logs: whole lines, cut back exactly on resume, and nothing lost that was written."""

import errno
import json
import os
import signal

import pytest

from pairwright.errors import CheckpointError, NonFiniteError, StorageError
from pairwright.training import files
from pairwright.training.logs import LineLog


def test_lines_are_on_disk_at_once(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    log = LineLog(path)
    log.append({"step": 1, "loss": 0.1})
    assert path.read_bytes() == b'{"step": 1, "loss": 0.1}\n'
    log.append({"step": 2, "text": "é\n\u2028😀\ud800"})
    lines = path.read_bytes().split(b"\n")
    assert len(lines) == 3 and lines[2] == b""
    assert json.loads(lines[1]) == {"step": 2, "text": "é\n\u2028😀\ud800"}
    assert "é" in lines[1].decode()  # people read samples.jsonl
    log.close()


def test_a_kill_loses_no_finished_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    child = os.fork()
    if child == 0:
        log = LineLog(path)
        for step in range(3):
            log.append({"step": step})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_bytes() == b'{"step": 0}\n{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize("tail", [b"", b'{"step": 3}\n', b'{"step": 3}\n{"st', b'{"st', b"\x00" * 50])
def test_a_resumed_log_has_the_same_bytes_as_one_never_interrupted(tmp_path, tail):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    with LineLog(whole) as log:
        for step in range(1, 6):
            log.append({"step": step, "loss": 1 / step})
    with LineLog(cut) as log:
        for step in range(1, 3):
            log.append({"step": step, "loss": 1 / step})
        length = log.sync()
    assert length == len(b'{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 0.5}\n') == 50
    with cut.open("ab") as file:
        file.write(tail)
    with LineLog(cut, length) as log:
        assert log.sync() == 50
        for step in range(3, 6):
            log.append({"step": step, "loss": 1 / step})
    assert cut.read_bytes() == whole.read_bytes()


def test_a_new_run_starts_an_empty_log(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"old\n")
    with LineLog(path) as log:
        assert path.read_bytes() == b"" and log.sync() == 0


@pytest.mark.parametrize(
    ("content", "start", "message"),
    [
        (None, 12, "0 bytes, but the checkpoint was made at 12"),
        (b'{"step": 1}\n', 13, "12 bytes, but the checkpoint was made at 13"),
        (b'{"step": 10}\n', 12, "no line ends at byte 12"),
    ],
)
def test_a_log_that_is_not_the_checkpoints(tmp_path, content, start, message):
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        LineLog(path, start)
    assert content is None or path.read_bytes() == content


def test_not_a_number_is_refused_and_leaves_nothing(tmp_path):
    with LineLog(tmp_path / "metrics.jsonl") as log:
        with pytest.raises(NonFiniteError, match="loss is nan"):
            log.append({"step": 1, "loss": float("nan")})
        log.append({"step": 2})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 2}\n'


class Disk:
    """The module `os`, on a disk with room for `room` more bytes."""

    def __init__(self, room):
        self.room = room

    def __getattr__(self, name):
        return getattr(os, name)

    def write(self, descriptor, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(descriptor, bytes(data)[: self.room])
        self.room -= written
        return written

    def fsync(self, descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    with LineLog(path) as log:
        monkeypatch.setattr(files, "os", Disk(room=17))
        log.append({"step": 1})  # 12 bytes
        with pytest.raises(StorageError, match=r"writing to metrics\.jsonl failed at .*: the disk is full"):
            log.append({"step": 2})
        assert path.read_bytes() == b'{"step": 1}\n'
        monkeypatch.setattr(files, "os", os)
        log.append({"step": 3})
    assert path.read_bytes() == b'{"step": 1}\n{"step": 3}\n'


def test_a_failing_fsync_is_not_hidden(tmp_path, monkeypatch):
    with LineLog(tmp_path / "metrics.jsonl") as log:
        monkeypatch.setattr(files, "os", Disk(room=100))
        with pytest.raises(StorageError, match="I/O error"):
            log.sync()


def test_a_log_that_cannot_be_opened(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"opening metrics\.jsonl failed"):
        LineLog(tmp_path / "metrics.jsonl")
