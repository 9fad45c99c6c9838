"""Saves on a disk that fails, fills up, or loses power: whatever happens, `latest` gives a complete checkpoint.

The seam is the name `os` in files.py. `Disk` stands in for it: it counts the calls that touch the disk and makes one of
them (or all from one on) fail, or stops the process there. It also keeps account of what a power cut would lose:
file contents without fsync, and names in folders without fsync.
"""

import errno
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch

from pairwright.errors import CheckpointError, StorageError
from pairwright.training import files
from pairwright.training.checkpoints import latest, load, save

CALLS = {"open", "read", "write", "fsync", "close", "fstat", "statvfs", "posix_fadvise"}
CALLS |= {"mkdir", "rename", "replace", "unlink", "rmdir", "scandir"}
CODES = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class Stopped(BaseException):
    """Nothing catches this, and every later call of the disk raises it too: for the disk the process is dead."""


class Disk:
    """A stand-in for the module `os`. `at`: number of the call that fails, from 0; None for none."""

    def __init__(self, at: int | None = None, *, forever: bool = False, code: int = errno.EIO, cut: str = "") -> None:
        self.at, self.forever, self.code, self.cut = at, forever, code, cut
        self.calls: list[str] = []
        self.paths: dict[int, Path] = {}
        self.unsynced: set[Path] = set()
        """Files whose contents a power cut would lose."""
        self.names: list[tuple[Path, Path | None]] = []
        """(new name, old name or None for a new file or folder) that a power cut would undo, in order."""

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*args, **kwargs):
            number = len(self.calls)
            self.calls.append(name)
            forever = self.forever or self.cut == "stop"
            if self.at is not None and (number == self.at or (forever and number > self.at)):
                self._fail(name, real, args)
            result = None if name == "fsync" else real(*args, **kwargs)  # a real fsync would only cost time here
            self._account(name, args, result)
            return result

        return call

    def _fail(self, name, real, args):
        if name == "write":  # torn: half of it arrives
            real(args[0], bytes(args[1])[: len(args[1]) // 2])
        if name == "close":
            real(*args)
        if self.cut == "kill":
            os._exit(9)
        if self.cut == "stop":
            raise Stopped
        raise OSError(self.code, os.strerror(self.code))

    def _account(self, name, args, result):
        if name == "open":
            path = self.paths[result] = Path(args[0])
            if args[1] & os.O_CREAT:
                self.unsynced.add(path)
                self.names.append((path, None))
        elif name == "fsync":
            path = self.paths[args[0]]
            self.unsynced.discard(path)
            self.names = [(new, old) for new, old in self.names if new.parent != path]
        elif name == "mkdir":
            self.names.append((Path(args[0]), None))
        elif name in ("rename", "replace"):
            old, new = map(Path, args)
            moved = [(self._moved(a, old, new), b and self._moved(b, old, new)) for a, b in self.names]
            self.names = [*moved, (new, old)]
            self.unsynced = {self._moved(path, old, new) for path in self.unsynced}

    @staticmethod
    def _moved(path, old, new):
        return new / path.relative_to(old) if path.is_relative_to(old) else path

    def lose_power(self):
        for path in self.unsynced:
            if path.exists():
                os.truncate(path, 0)
        for new, old in reversed(self.names):
            if not new.exists():
                continue
            if old is not None and not old.exists():
                new.rename(old)
            elif old is None:
                shutil.rmtree(new) if new.is_dir() else new.unlink()


def content(step: int) -> tuple[dict, dict]:
    values = torch.arange(6, dtype=torch.float32).reshape(2, 3) * step
    return {"model": {"w": values}, "rng": {"torch": torch.tensor([step], dtype=torch.uint8)}}, {"step": step}


def assert_is(path: Path, step: int, tries: tuple[int, ...] = (0,)) -> int:
    """The whole of a checkpoint, read without the code under test's help but for `load`."""
    tensors, state = load(path)
    assert tensors["model"]["w"].tolist() == [[0, step, 2 * step], [3 * step, 4 * step, 5 * step]]
    assert tensors["rng"]["torch"].tolist() == [step]
    assert state["step"] == step and state.get("try", 0) in tries
    return state.get("try", 0)


# Each scenario: what is in the folder before the save of step 3, and which steps `latest` may give after it fails.
def _first(folder):
    """Nothing yet."""


def _prunes(folder):
    for step in (1, 2):
        save(folder, step, *content(step), keep=2)


def _again(folder):
    save(folder, 3, *content(3), keep=2)


def _leftovers(folder):
    save(folder, 2, *content(2), keep=2)
    shutil.copytree(folder / "step-000002", folder / ".step-000003.tmp")
    shutil.copytree(folder / "step-000002", folder / ".step-000001.trash")


def _again_after_damage(folder):
    """Step 3 is damaged, an older save of it is still aside."""
    save(folder, 3, *content(3), keep=2)
    shutil.copytree(folder / "step-000003", folder / "step-000003.old")
    (folder / "step-000003" / "state.json").write_bytes(b"{}")


SCENARIOS = [
    (_first, {None, 3}),
    (_prunes, {2, 3}),
    (_again, {3}),
    (_leftovers, {2, 3}),
    (_again_after_damage, {3}),
]


def attempt(folder, monkeypatch, disk):
    """Save step 3 (as try 1) on `disk`. Returns the path, or the StorageError."""
    tensors, state = content(3)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", disk)
        try:
            return save(folder, 3, tensors, state | {"try": 1}, keep=2)
        except StorageError as error:
            return error


def check_after(folder, allowed, what):
    """`latest` gives one of `allowed`, and the next save succeeds and leaves nothing behind."""
    path = latest(folder).path
    step = None if path is None else int(path.name[5:11])
    assert step in allowed, what
    if path is not None:
        assert_is(path, step, tries=(0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "os", Disk())  # no fault, only no fsync
        save(folder, 4, *content(4), keep=1)
    assert [entry.name for entry in folder.iterdir()] == ["step-000004"], what
    shutil.rmtree(folder)
    return step


@pytest.fixture(autouse=True)
def one_thread():
    """OpenMP's threads do not survive a fork: a child that wants them waits for ever."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quick_folder(tmp_path):
    """A folder in memory where the system has one: these tests make thousands of small files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def cases(quick_folder, monkeypatch):
    """For each scenario: (name, a function that makes the folder anew, steps allowed, number of calls of a save)."""
    found = []
    for number, (prepare, allowed) in enumerate(SCENARIOS):
        template, folder = quick_folder / f"template{number}", quick_folder / f"case{number}"
        template.mkdir()
        prepare(template)

        def make(template=template, folder=folder):
            shutil.copytree(template, folder)
            return folder

        disk = Disk()
        assert attempt(make(), monkeypatch, disk) == folder / "step-000003"
        assert_is(folder / "step-000003", 3, tries=(1,))
        shutil.rmtree(folder)
        found.append((prepare.__name__, make, allowed, len(disk.calls)))
    return found


def test_a_fault_at_every_call(cases, monkeypatch):
    """Once, or from then on for ever (so that the cleaning up fails too)."""
    failed = 0
    for name, make, allowed, calls in cases:
        for at in range(calls):
            for forever in (False, True):
                code = CODES[at % len(CODES)]
                result = attempt(folder := make(), monkeypatch, Disk(at, forever=forever, code=code))
                what = f"{name}, call {at}, {errno.errorcode[code]}, forever={forever}: {result}"
                if isinstance(result, StorageError):
                    failed += 1
                    assert str(folder) in str(result), what
                    assert check_after(folder, allowed, what) in allowed
                else:
                    assert check_after(folder, {3}, what) == 3
    assert failed > 300


def test_a_kill_at_every_call(cases, monkeypatch):
    """What it wrote stays, half a write included."""
    outcomes = set()
    for name, make, allowed, calls in cases:
        for at in range(calls):
            folder = make()
            with pytest.raises(Stopped):
                attempt(folder, monkeypatch, Disk(at, cut="stop"))
            outcomes.add((name, check_after(folder, allowed, f"{name}, kill at call {at}")))
    assert {("_first", None), ("_first", 3), ("_prunes", 2), ("_prunes", 3), ("_again", 3)} <= outcomes


def test_a_real_kill_at_every_call(cases, monkeypatch):
    """A child process that ends there with os._exit, in the commonest situation (a process for each takes its time)."""
    name, make, allowed, calls = next(case for case in cases if case[0] == "_prunes")
    outcomes = set()
    for at in range(calls):
        folder = make()
        child = os.fork()
        if child == 0:
            try:
                attempt(folder, monkeypatch, Disk(at, cut="kill"))
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        outcomes.add(check_after(folder, allowed, f"{name}, kill at call {at}"))
    assert outcomes == {2, 3}


def test_a_power_cut_at_every_call(cases, monkeypatch):
    """What has had no fsync is gone: contents of files, and new or changed names in folders."""
    outcomes = set()
    for name, make, allowed, calls in cases:
        for at in range(calls):
            folder, disk = make(), Disk(at, cut="stop")
            with pytest.raises(Stopped):
                attempt(folder, monkeypatch, disk)
            disk.lose_power()
            outcomes.add((name, check_after(folder, allowed, f"{name}, power cut at call {at}")))
    assert {("_first", None), ("_first", 3), ("_prunes", 2), ("_prunes", 3), ("_again", 3)} <= outcomes


def test_order_of_the_calls(tmp_path, monkeypatch):
    """Written down by hand: a wrong order would only show when the power fails."""
    save(tmp_path, 1, *content(1), keep=1)
    disk = Disk()
    monkeypatch.setattr(files, "os", disk)
    save(tmp_path, 2, *content(2), keep=1)
    wanted = [call for call in disk.calls if call in ("mkdir", "write", "fsync", "rename", "read", "unlink", "rmdir")]
    writes = ["write", "write", "fsync"]  # a tensor file: header and one tensor
    assert wanted[: wanted.index("rename")] == [
        *("mkdir", "fsync"),  # the temporary folder, and its name
        *(writes * 2),  # model, rng
        *("write", "fsync"),  # state.json
        *("write", "fsync"),  # manifest.json
        "fsync",  # the names in the temporary folder
    ]
    after = wanted[wanted.index("rename") :]
    assert after[:2] == ["rename", "fsync"]
    reads = after[2 : after.index("rename", 1)]
    assert set(reads) == {"read"} and len(reads) == 8  # manifest and three files, each until its end
    assert after[2 + len(reads) :] == ["rename", *["unlink"] * 4, "rmdir"]


def test_what_is_written_wrongly_is_noticed(tmp_path, monkeypatch):
    """A disk that loses one bit of a tensor and reports success: the older checkpoint stays."""

    class Flipping(Disk):
        def write(self, descriptor, data):
            data = bytearray(data)
            if len(data) == 24:
                data[3] ^= 1
            return os.write(descriptor, data)

    first = save(tmp_path, 1, *content(1), keep=1)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", Flipping())
        with pytest.raises(StorageError, match=r"does not read back.*model\.safetensors.*Older checkpoints were kept"):
            save(tmp_path, 2, *content(2), keep=1)
    path, warnings = latest(tmp_path)
    assert path == first and "step-000002 is damaged: model.safetensors" in warnings[0]


def test_writes_may_come_in_parts(tmp_path, monkeypatch):
    class Slow(Disk):
        def write(self, descriptor, data):
            return os.write(descriptor, bytes(data)[:3])

    monkeypatch.setattr(files, "os", Slow())
    assert_is(save(tmp_path, 5, *content(5), keep=1), 5)


def test_folders_without_fsync_are_accepted_but_a_failing_fsync_is_not(tmp_path, monkeypatch):
    class Network(Disk):
        def fsync(self, descriptor):
            if self.paths[descriptor].is_dir():
                raise OSError(errno.EINVAL, "folders cannot be synced")

    with monkeypatch.context() as patch:
        patch.setattr(files, "os", Network())
        assert_is(save(tmp_path, 5, *content(5), keep=1), 5)

    class Broken(Disk):
        def fsync(self, descriptor):
            raise OSError(errno.EINVAL, "files must be")

    monkeypatch.setattr(files, "os", Broken())
    with pytest.raises(StorageError, match=r"model\.safetensors"):
        save(tmp_path, 6, *content(6), keep=1)


def test_too_little_space_is_noticed_before_writing(tmp_path, monkeypatch):
    """Three files: model 1,000,000 + header, rng and state of a block each; two blocks for manifest and folders."""
    first = save(tmp_path, 1, *content(1), keep=1)

    class Full(Disk):
        def statvfs(self, path):
            return os.statvfs_result((4096, 4096, 1000, 100, 100, 0, 0, 0, 0, 255))  # 100 blocks: 409,600 bytes

    monkeypatch.setattr(files, "os", disk := Full())
    tensors = {"model": {"w": torch.zeros(1_000_000, dtype=torch.uint8)}, "rng": {"s": torch.zeros(1)}}
    with pytest.raises(StorageError) as caught:
        save(tmp_path, 2, tensors, {}, keep=1)
    message = str(caught.value)
    assert f"saving the checkpoint of step 2 failed at {tmp_path}: the disk is full." in message
    assert "It needs 1,024,000 bytes (1.0 MB); 409,600 bytes (409.6 kB) are free there." in message
    assert "write" not in disk.calls and latest(tmp_path).path == first


def test_file_systems_that_do_not_count_space(tmp_path, monkeypatch):
    class Unknown(Disk):
        def statvfs(self, path):
            return os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))

    monkeypatch.setattr(files, "os", Unknown())
    assert_is(save(tmp_path, 5, *content(5), keep=1), 5)


def in_child(work) -> str:
    """What `work` returns, run in a forked process, so that limits set there end with it."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, str(work()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_a_limit_of_the_system_in_the_middle_of_a_file(tmp_path):
    first = save(tmp_path, 1, *content(1), keep=1)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            save(tmp_path, 2, {"model": {"w": torch.ones(100_000)}}, {}, keep=1)
        except StorageError as error:
            return error

    message = in_child(limited)
    assert "model.safetensors: the file is larger than the system allows. It needs 4" in message
    assert latest(tmp_path) == (first, [])
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-000001"]


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root; the test with a file size limit covers part of this")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("noticed", ["before", "while writing"])
def test_a_disk_that_is_really_full(small_disk, monkeypatch, noticed):
    first = save(small_disk / "checkpoints", 1, {"model": {"w": torch.ones(100_000)}}, {}, keep=1)
    if noticed == "while writing":
        monkeypatch.setattr(files, "free_bytes", lambda path: None)
    with pytest.raises(StorageError) as caught:
        save(small_disk / "checkpoints", 2, {"model": {"w": torch.ones(200_000)}}, {}, keep=1)
    assert "the disk is full. It needs 8" in str(caught.value) and str(small_disk) in str(caught.value)
    assert latest(small_disk / "checkpoints") == (first, [])
    assert [entry.name for entry in first.parent.iterdir()] == ["step-000001"]
    save(small_disk / "checkpoints", 2, {"model": {"w": torch.ones(120_000)}}, {}, keep=1)


def test_a_read_only_disk(small_disk):
    first = save(small_disk, 1, *content(1), keep=1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="the file system is read-only"):
        save(small_disk, 2, *content(2), keep=1)
    assert_is(latest(small_disk).path, 1)
    assert first.exists()


def test_reading_errors_are_named(tmp_path, monkeypatch):
    first, second = (save(tmp_path, step, *content(step), keep=2) for step in (1, 2))

    class Sector(Disk):
        def read(self, descriptor, count):
            if self.paths[descriptor] == second / "model.safetensors":
                raise OSError(errno.EIO, "bad sector")
            return os.read(descriptor, count)

    monkeypatch.setattr(files, "os", Sector())
    path, warnings = latest(tmp_path)
    assert path == first
    assert "model.safetensors cannot be read (the disk reported an I/O error)" in warnings[0]
    with pytest.raises(CheckpointError, match="I/O error"):
        load(second)
