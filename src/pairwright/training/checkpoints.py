"""Checkpoints: saved whole or not at all, checked by SHA-256, never pickled.

    FOLDER/step-000200/{NAME.safetensors ..., state.json, manifest.json}

A save writes into FOLDER/.step-000200.tmp: every file with fsync, manifest.json (size and SHA-256 of each file) last,
then fsync of the folder, rename, fsync of FOLDER. Then everything is read back from the disk and compared; only after
that are older checkpoints removed. A kill at any moment leaves a folder that `latest` ignores and the next save
removes; a checkpoint that `save` returned stays the newest until a newer one is complete.

What it leaves out: what goes into a checkpoint (the loop's matter), locking (one process saves). What a damaged or
hostile folder can look like is manifest.py's matter.
"""

import errno
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from pairwright.errors import CheckpointError, ConfigError, NonFiniteError, StorageError
from pairwright.training import files
from pairwright.training.manifest import FOLDER_NAME, GROUP_NAME, MANIFEST, STATE, manifest_bytes, unreadable, verify
from pairwright.training.tensor_files import plan_tensor_file, read_tensor_file

STATE_LIMIT = 64 << 20
"""Bytes of state.json accepted."""
BLOCK = 4096
"""Bytes that a file system may round each file up to."""

LEFTOVER = re.compile(r"\.step-[0-9]{6,}(\.old)?\.(tmp|trash)")


class Latest(NamedTuple):
    """The newest usable checkpoint."""

    path: Path | None
    """None where there is none yet."""
    warnings: list[str]
    """One line for each newer checkpoint that had to be skipped, naming the file and what is wrong with it."""


class _Found(NamedTuple):
    """A checkpoint folder, complete or not. Sorts from old to new."""

    step: int
    current: bool
    """False for step-N.old, what a second save of step N put aside until the new one was verified."""
    path: Path


def save(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], *, keep: int
) -> Path:
    """Save a checkpoint and remove all but the `keep` newest complete ones.

    Args:
        folder: made if missing.
        tensors: {"model": {"layer.weight": tensor, ...}, "optimizer": ...}; a file per group. Any shape, any device,
            also with shared memory or strides; they come back contiguous, on the CPU, with their own memory.
        state: strict JSON; floats come back with the same bits, tuples as lists.

    Returns the checkpoint's folder, after it was read back and found to be as written.

    Raises StorageError (disk full, I/O error, not writable; older checkpoints are untouched unless the message says
    that the new one is complete), CheckpointError (something that safetensors or JSON cannot hold) and NonFiniteError
    (NaN or infinity in a tensor); the last two before anything is written.
    """
    if keep < 1:
        raise ConfigError(f"keep_checkpoints is {keep}; at least 1 must be kept")
    if step < 0:
        raise ConfigError(f"a checkpoint of step {step}: steps count from 0")
    contents = _plan(tensors, state)
    sizes = {name: size for name, (size, _) in contents.items()}
    need = sum(-(-size // BLOCK) * BLOCK for size in sizes.values()) + 3 * BLOCK
    final = folder / f"step-{step:06d}"
    doing = f"saving the checkpoint of step {step}"
    try:
        files.make_folder(folder)
        _sweep(folder)
        free = files.free_bytes(folder)
        if free is not None and free < need:
            raise OSError(errno.ENOSPC, "not enough space", str(folder))
        temporary = folder / f".{final.name}.tmp"
        _write(temporary, step, contents)
        _make_room(final)
        files.rename(temporary, final)
        files.sync_folder(folder)
    except OSError as error:
        left = _clean_up(folder)
        raise files.storage_error(error, doing, folder, need, more=left) from error
    try:
        verify(final)
    except CheckpointError as error:
        message = f"{doing} failed: what was written does not read back. {error} Older checkpoints were kept."
        raise StorageError(message) from error
    try:
        _prune(folder, final, keep)
    except OSError as error:
        raise files.storage_error(error, f"{final} is complete, but removing an older checkpoint", folder) from error
    return final


def latest(folder: Path) -> Latest:
    """The newest checkpoint that is complete and whose every byte is as written.

    Raises CheckpointError where there are checkpoints and all are damaged (starting again silently would lose work),
    StorageError where the folder itself cannot be read.
    """
    try:
        found = _found(folder)
    except FileNotFoundError:
        return Latest(None, [])
    except OSError as error:
        raise files.storage_error(error, "looking for checkpoints", folder) from error
    warnings: list[str] = []
    for _, _, path in reversed(found):
        try:
            verify(path)
        except CheckpointError as error:
            warnings.append(f"{error} This checkpoint is skipped.")
        else:
            return Latest(path, warnings)
    if warnings:
        raise CheckpointError("\n".join([*warnings, f"No checkpoint in {folder} is usable. Train into a new folder."]))
    return Latest(None, [])


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors, by group and name, and the state of a checkpoint, after checking every byte of it.

    Raises CheckpointError naming the file and what is wrong with it.
    """
    names = verify(path)
    try:
        tensors = {Path(name).stem: read_tensor_file(path / name) for name in names if name != STATE}
        data = files.read_small(path / STATE, STATE_LIMIT)
        if data is None:
            raise CheckpointError(f"{path / STATE}: larger than {STATE_LIMIT:,} bytes.")
        state = json.loads(data)
        files.json_bytes(state)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError, NonFiniteError) as error:
        raise CheckpointError(f"{path / STATE}: not strict JSON ({error}).") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path / STATE}: holds a {type(state).__name__}, not an object.")
    return tensors, state


def step_of(path: Path) -> int:
    """The step that a checkpoint's folder is named after."""
    match = FOLDER_NAME.fullmatch(path.name)
    assert match, f"{path} is no checkpoint's folder"
    return int(match[1])


def _plan(
    tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> dict[str, tuple[int, Iterable[bytes | memoryview]]]:
    """{file name: (size, chunks)} of all files but the manifest; raises for whatever cannot be saved."""
    contents: dict[str, tuple[int, Iterable[bytes | memoryview]]] = {}
    for group, members in tensors.items():
        if not GROUP_NAME.fullmatch(group):
            raise CheckpointError(f"{group!r} cannot name a group of tensors: use letters, digits, _ and -")
        plan = plan_tensor_file(group, members)
        contents[f"{group}.safetensors"] = (plan.size, plan.chunks())
    try:
        data = files.json_bytes(dict(state), indent=1)
    except (NonFiniteError, RecursionError, ValueError) as error:
        raise CheckpointError(f"the state cannot be saved: {error}") from error
    if len(data) > STATE_LIMIT:
        raise CheckpointError(f"the state takes {len(data):,} bytes of JSON; put arrays into tensors")
    contents[STATE] = (len(data), [data])
    return contents


def _write(folder: Path, step: int, contents: Mapping[str, tuple[int, Iterable[bytes | memoryview]]]) -> None:
    """All files into a new folder, the manifest last."""
    files.make_folder(folder)
    digests = {name: files.write_file(folder / name, chunks) for name, (_, chunks) in contents.items()}
    files.write_file(folder / MANIFEST, [manifest_bytes(step, digests)])
    files.sync_folder(folder)


def _found(folder: Path) -> list[_Found]:
    """Checkpoint folders from old to new, checked by name only."""
    matches = [match for name in files.names(folder) if (match := FOLDER_NAME.fullmatch(name))]
    return sorted(_Found(int(match[1]), match[2] is None, folder / match[0]) for match in matches)


def _sweep(folder: Path) -> None:
    """Remove what killed saves and prunings left."""
    for name in files.names(folder):
        if LEFTOVER.fullmatch(name):
            files.remove_tree(folder / name)


def _clean_up(folder: Path) -> str:
    """After a failed save: give the space back. Where that fails too, returns a sentence that says so."""
    try:
        _sweep(folder)
    except FileNotFoundError:
        return ""  # the folder itself could not be made
    except OSError as error:
        return f"The unfinished save could not be removed either ({error.strerror}); the next save tries again."
    return ""


def _make_room(final: Path) -> None:
    """Free the name of a step that was saved before, without a moment in which no complete checkpoint of it exists."""
    if not files.exists(final):
        return
    old = final.with_name(f"{final.name}.old")
    if not files.exists(old):
        files.rename(final, old)
    elif _is_complete(final):
        _discard(old)
        files.rename(final, old)
    else:
        _discard(final)


def _prune(folder: Path, saved: Path, keep: int) -> None:
    """Remove what is older than `saved`, but for the newest keep - 1 complete ones. Damaged ones do not count."""
    step = int(saved.name.removeprefix("step-"))
    older = [found for found in _found(folder) if found[:2] < (step, True)]
    complete = {step}
    for step, _, path in reversed(older):
        if step in complete or len(complete) >= keep:
            _discard(path)
        elif len(older) >= keep and _is_complete(path):
            complete.add(step)


def _is_complete(path: Path) -> bool:
    try:
        verify(path)
    except CheckpointError:
        return False
    return True


def _discard(path: Path) -> None:
    """Rename first, so that a kill in the middle does not leave something that looks like a damaged checkpoint."""
    trash = path.with_name(f".{path.name}.trash")
    files.rename(path, trash)
    files.remove_tree(trash)
