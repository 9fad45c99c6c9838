"""JSON files that are replaced in one step, and messages about the disk."""

import errno
import json
import os

import pytest

from pairwright.errors import NonFiniteError, StorageError
from pairwright.training import files
from pairwright.training.files import make_folder, readable_bytes, remove_tree, storage_error, write_json_atomic


def test_written_readable_and_exact(tmp_path):
    path = tmp_path / "new" / "folder" / "evaluation.json"
    write_json_atomic(path, {"gold": {"mean": 0.1 + 0.2}, "text": "é"})
    assert path.read_text(encoding="utf-8") == (
        '{\n  "gold": {\n    "mean": 0.30000000000000004\n  },\n  "text": "é"\n}\n'
    )
    assert [entry.name for entry in path.parent.iterdir()] == ["evaluation.json"]


class Disk:
    """The module `os`; call number `at` of those that touch the disk fails, or kills."""

    def __init__(self, at, kill):
        self.at, self.kill, self.count = at, kill, 0

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ("open", "write", "fsync", "close", "replace", "unlink"):
            return real

        def call(*args):
            self.count += 1
            if self.count - 1 == self.at:
                if name == "write":
                    real(args[0], bytes(args[1])[:5])
                if self.kill:
                    os._exit(9)
                if name == "close":
                    real(*args)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args)

        return call


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("old", [None, {"run": 1}])
def test_old_or_new_but_never_a_part(tmp_path, monkeypatch, old, kill):
    """Eight calls: open, write, fsync, close; replace; open, fsync, close of the folder."""
    path = tmp_path / "config.json"
    seen = set()
    for at in range(8):
        path.unlink(missing_ok=True)
        if old:
            path.write_text(json.dumps(old))
        child = os.fork() if kill else 0
        if child == 0:
            with monkeypatch.context() as patch:
                patch.setattr(files, "os", Disk(at, kill))
                with pytest.raises(StorageError, match=r"config\.json.* It needs 15 bytes"):
                    write_json_atomic(path, {"run": 2})
            if kill:
                os._exit(1)
        else:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        content = json.loads(path.read_text()) if path.exists() else None
        assert content in (old, {"run": 2})
        seen.add(str(content))
    assert seen == {str(old), "{'run': 2}"}
    write_json_atomic(path, {"run": 3})
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]


def test_what_json_does_not_have(tmp_path):
    path = tmp_path / "evaluation.json"
    write_json_atomic(path, {"a": 1})
    with pytest.raises(NonFiniteError, match=r"a\[1\]\.b is inf"):
        write_json_atomic(path, {"a": [0, {"b": float("inf")}]})
    with pytest.raises(TypeError, match="a is a PosixPath"):
        write_json_atomic(path, {"a": path})
    assert json.loads(path.read_text()) == {"a": 1}


def test_messages(tmp_path):
    full = storage_error(OSError(errno.ENOSPC, "", "/disk/x"), "saving", tmp_path, 2_500_000)
    assert str(full).startswith("saving failed at /disk/x: the disk is full. It needs 2,500,000 bytes (2.5 MB); ")
    assert str(full).endswith("are free there. Free some space, then go on with --resume.")
    locked = storage_error(PermissionError(errno.EACCES, ""), "saving", tmp_path)
    assert (
        str(locked)
        == f"saving failed at {tmp_path}: permission denied. Make the folder writable or choose another one."
    )
    assert "disk quota" in str(storage_error(OSError(errno.EDQUOT, ""), "saving", tmp_path))
    assert "Stale file handle" in str(storage_error(OSError(errno.ESTALE, ""), "saving", tmp_path))


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1,000 bytes (1.0 kB)"),
        (13_400_000_000, "13,400,000,000 bytes (13.4 GB)"),
    ],
)
def test_readable_bytes(count, words):
    assert readable_bytes(count) == words


def test_removing_does_not_follow_links(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    make_folder(tmp_path / "gone" / "deep")
    (tmp_path / "gone" / "deep" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "gone" / "nowhere").symlink_to(tmp_path / "missing")
    remove_tree(tmp_path / "gone")
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").read_text() == "x"
