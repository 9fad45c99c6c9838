"""Append-only logs of a run (metrics.jsonl, timings.jsonl, samples.jsonl): one JSON object a line.

Each line reaches the operating system at once, so a kill loses at most a part of the last line. A checkpoint holds the
log's length; a resumed run cuts the file back to that length and goes on, and so writes the same bytes as a run that
was never interrupted.

What it leaves out: writing from several processes, rotation.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pairwright.errors import CheckpointError
from pairwright.training import files


class LineLog:
    """An open log. Use it as a context manager, or close it."""

    def __init__(self, path: Path, start: int = 0) -> None:
        """Open `path` (made if missing) and cut it to its first `start` bytes: 0 for a new run, else `sync`'s value.

        Raises CheckpointError where the file does not have a line that ends there, StorageError for the disk's errors.
        """
        self.path = path
        self._length = start
        flags = files.os.O_RDWR | files.os.O_CREAT | files.os.O_CLOEXEC
        try:
            files.make_folder(path.parent)
            self._descriptor = files.os.open(path, flags, 0o666)
            try:
                self._cut()
                files.sync_folder(path.parent)
            except BaseException:
                files.os.close(self._descriptor)
                raise
        except OSError as error:
            raise files.storage_error(error, f"opening {path.name}", path) from error

    def _cut(self) -> None:
        size = files.os.fstat(self._descriptor).st_size
        if size < self._length:
            raise CheckpointError(f"{self.path}: {size:,} bytes, but the checkpoint was made at {self._length:,}")
        if self._length and files.os.pread(self._descriptor, 1, self._length - 1) != b"\n":
            raise CheckpointError(f"{self.path}: no line ends at byte {self._length:,}; was the file changed?")
        files.os.ftruncate(self._descriptor, self._length)
        files.os.lseek(self._descriptor, self._length, files.os.SEEK_SET)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line.

        Raises NonFiniteError (JSON has no NaN), TypeError, and StorageError; after that one the log ends at its last
        whole line.
        """
        data = files.json_bytes(dict(entry)) + b"\n"
        try:
            files.write_all(self._descriptor, data)
        except OSError as error:
            left = self._cut_again()
            raise files.storage_error(error, f"writing to {self.path.name}", self.path, len(data), more=left) from error
        self._length += len(data)

    def _cut_again(self) -> str:
        """Drop the half of a line that a failed write left. Where that fails too, returns a sentence that says so."""
        try:
            files.os.ftruncate(self._descriptor, self._length)
            files.os.lseek(self._descriptor, self._length, files.os.SEEK_SET)
        except OSError as error:
            return f"Half a line is left at its end ({error.strerror}); a resumed run cuts it off."
        return ""

    def sync(self) -> int:
        """Make all lines last and return the length in bytes, for the checkpoint's state."""
        try:
            files.os.fsync(self._descriptor)
        except OSError as error:
            raise files.storage_error(error, f"writing to {self.path.name}", self.path) from error
        return self._length

    def close(self) -> None:
        files.os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
