"""Files of a run folder that are either whole or not there.

What it does: writes with fsync, makes folders that survive a power cut, replaces JSON files in one step, reads no
more than it was told to, and turns errors of the disk into a StorageError that names the path and the bytes needed.

What it leaves out: locking (one process writes a run folder) and stores that cannot rename in one step.

Every call to the operating system goes through the name `os` of this module, so a test can put a failing disk there.
"""
# ruff: noqa: PTH102, PTH104, PTH105, PTH106, PTH108, PTH112, PTH114
# (pathlib's methods would go round that name)

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pairwright.errors import NonFiniteError, StorageError

CHUNK = 1 << 20
"""Bytes read at a time."""

NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What file systems without fsync of folders answer (network and FUSE mounts); a failing fsync gives another code."""

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EIO: "the disk reported an I/O error",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


class Digest(NamedTuple):
    bytes: int
    sha256: str


def readable_bytes(count: int) -> str:
    """`1,234,567 bytes (1.2 MB)`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count:,} bytes ({count / size:.1f} {unit})"
    return f"{count:,} bytes"


def storage_error(error: OSError, doing: str, path: Path, need: int | None = None, *, more: str = "") -> StorageError:
    """The message for a failed call of the operating system.

    Args:
        doing: what failed, such as "saving the checkpoint of step 200".
        path: the place, used where the error does not name a file itself.
        need: bytes that the whole of it takes, where that is known.
        more: a sentence to add.
    """
    code = error.errno or 0
    where = error.filename or path
    message = f"{doing} failed at {where}: {REASONS.get(code, os.strerror(code))}."
    if need is not None:
        message += f" It needs {readable_bytes(need)}"
        free = free_bytes(path)
        message += "." if free is None else f"; {readable_bytes(free)} are free there."
    if code in (errno.ENOSPC, errno.EDQUOT):
        message += " Free some space, then go on with --resume."
    elif code in (errno.EACCES, errno.EPERM, errno.EROFS):
        message += " Make the folder writable or choose another one."
    return StorageError(f"{message} {more}".rstrip())


def free_bytes(path: Path) -> int | None:
    """Bytes that may still be written below `path`, or None where the file system does not say."""
    for place in (path, *path.absolute().parents):
        try:
            found = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None  # only used to word a message and to fail early; the write itself still reports its error
        return found.f_bavail * found.f_frsize if found.f_blocks else None
    return None


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Calls on a file descriptor do not say which file it was: add it to their error."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """os.write may write less than it was given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> Digest:
    """Create `path` (it must not exist), write the chunks one after the other, fsync, and digest what was handed over.

    Raises OSError as the system gives it, with the file's name.
    """
    digest, size = hashlib.sha256(), 0
    with named(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                write_all(descriptor, chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return Digest(size, digest.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """A plain file for reading: (descriptor, size). Links are not followed, and devices or pipes are never read."""
    with named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "not a plain file", str(path))
            yield descriptor, found.st_size
        finally:
            os.close(descriptor)


def digest_file(path: Path, expected_size: int) -> Digest:
    """Size and SHA-256 of a file, read from the disk rather than from the memory that holds what was just written.

    A file of another size is not read; its SHA-256 is given as "".
    """
    digest, size = hashlib.sha256(), 0
    with _opened(path) as (descriptor, found_size):
        if found_size != expected_size:
            return Digest(found_size, "")
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while data := os.read(descriptor, CHUNK):
            digest.update(data)
            size += len(data)
    return Digest(size, digest.hexdigest())


def read_small(path: Path, limit: int) -> bytes | None:
    """The bytes of a file of at most `limit` bytes; None where it is larger."""
    with _opened(path) as (descriptor, size):
        if size > limit:
            return None
        parts = []
        while data := os.read(descriptor, CHUNK):
            parts.append(data)
            if sum(map(len, parts)) > limit:
                return None
        return b"".join(parts)


def read_start(path: Path, count: int) -> tuple[bytes, int]:
    """The first `count` bytes of a file (fewer where it is shorter) and the file's size."""
    with _opened(path) as (descriptor, size):
        return os.read(descriptor, count), size


def sync_folder(path: Path) -> None:
    """Make the names in a folder last: a rename is only safe from a power cut after this."""
    with named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in NO_FOLDER_SYNC:
                raise
        finally:
            os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the contents of a file that somebody else wrote last."""
    with named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and those above it that are missing, and make each new name last."""
    missing = []
    for place in (path, *path.parents):
        if os.path.isdir(place):
            break
        missing.append(place)
    for place in reversed(missing):
        os.mkdir(place)
        sync_folder(place.parent)


def names(folder: Path) -> list[str]:
    """What is in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def exists(path: Path) -> bool:
    """Whether the name is taken, be it by a link that points nowhere."""
    return os.path.lexists(path)


def remove_tree(path: Path) -> None:
    """Remove a folder and what is in it, or a single file. Links are removed, never followed."""
    if os.path.isdir(path) and not os.path.islink(path):
        for name in names(path):
            remove_tree(path / name)
        os.rmdir(path)
    else:
        os.unlink(path)


def rename(source: Path, target: Path) -> None:
    """One step: `target` is afterwards the whole of `source`. A folder may only take a name that is free."""
    os.rename(source, target)


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """Strict JSON in UTF-8. Floats are written so that reading gives the same bits.

    Raises NonFiniteError for NaN and infinity, which JSON does not have, and TypeError for values that JSON would
    change or cannot hold (keys that are not strings, arrays). Both say where in the value. Tuples become lists.
    """
    _check_json(value, "")
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent)
    # A lone surrogate has no UTF-8; "backslashreplace" writes it as \udXXX, which is its escape in JSON too.
    return text.encode("utf-8", "backslashreplace")


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise NonFiniteError(f"the value at {where or 'the top'} is {value}, which JSON cannot hold")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} at {where or 'the top'} is a {type(key).__name__}, not a string")
            _check_json(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _check_json(inner, f"{where}[{index}]")
    elif not isinstance(value, (str, int, float, bool, type(None))):
        raise TypeError(f"the value at {where or 'the top'} is a {type(value).__name__}, which JSON cannot hold")


def write_json_atomic(path: Path, value: Any) -> None:
    """Write a JSON file so that readers, and a kill at any moment, find the old content or the new one, never a part.

    Raises StorageError, and NonFiniteError or TypeError as `json_bytes` does.
    """
    data = json_bytes(value, indent=2) + b"\n"
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        make_folder(path.parent)
        if exists(temporary):
            remove_tree(temporary)
        write_file(temporary, [data])
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, f"writing {path.name}", path, len(data)) from error
