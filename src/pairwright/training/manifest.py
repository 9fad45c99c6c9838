"""The manifest of a checkpoint: size and SHA-256 of each file, and the check of a folder against it.

    {"format": "pairwright checkpoint", "version": 1, "step": 200,
     "files": {"model.safetensors": {"bytes": 4120, "sha256": "9f86d0..."}, ..., "state.json": {...}}}

The check accepts nothing but the very bytes that this module would write for what they say, so every flipped bit of
the manifest shows too. Names in it are plain: no path can point out of the folder, links are not followed.

What it leaves out: signatures. SHA-256 finds damage, not a forger who writes a new manifest; the files named in it can
still hold nothing but numbers and JSON.
"""

import errno
import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from pairwright.errors import CheckpointError, NonFiniteError
from pairwright.training import files

FORMAT, VERSION = "pairwright checkpoint", 1
MANIFEST, STATE = "manifest.json", "state.json"
MANIFEST_LIMIT = 1 << 20
"""Bytes accepted when reading; a larger one is damaged or hostile."""

FOLDER_NAME = re.compile(r"step-([0-9]{6}|[1-9][0-9]{6,17})(\.old)?")
"""Six digits, more only where they are needed: one name a step."""
GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def verify(path: Path) -> list[str]:
    """Compare a checkpoint with its manifest, byte for byte. Returns the names of its files.

    Raises CheckpointError naming the file and what is wrong with it.
    """
    try:
        manifest = _read(path)
        present = set(files.names(path)) - {MANIFEST}
        for name in sorted(present ^ manifest.keys()):
            what = "is not in its manifest" if name in present else "is missing"
            raise CheckpointError(f"{path} is damaged: {name} {what}.")
        for name, expected in manifest.items():
            found = files.digest_file(path / name, expected.bytes)
            if found.bytes != expected.bytes:
                counts = f"{found.bytes:,} bytes instead of {expected.bytes:,}"
                raise CheckpointError(f"{path} is damaged: {name} has {counts}.")
            if found != expected:
                raise CheckpointError(f"{path} is damaged: {name} does not have the SHA-256 of its manifest.")
    except OSError as error:
        raise unreadable(path, error) from error
    return sorted(manifest)


def manifest_bytes(step: int, digests: Mapping[str, files.Digest]) -> bytes:
    entries = {name: digests[name]._asdict() for name in sorted(digests)}
    return files.json_bytes({"format": FORMAT, "version": VERSION, "step": step, "files": entries}, indent=1) + b"\n"


def _read(path: Path) -> dict[str, files.Digest]:
    """Accepts only the bytes that `manifest_bytes` would write for what they say, under the folder's own step."""
    match = FOLDER_NAME.fullmatch(path.name)
    if not match or not stat.S_ISDIR(path.lstat().st_mode):
        raise CheckpointError(f"{path} is not a checkpoint folder (step-000200, say).")
    data = files.read_small(path / MANIFEST, MANIFEST_LIMIT)
    damaged = CheckpointError(f"{path} is damaged: {MANIFEST} is not as it was written.")
    try:
        found = json.loads(data or b"")
        version = found["version"]
        manifest = {str(name): files.Digest(entry["bytes"], entry["sha256"]) for name, entry in found["files"].items()}
        same = manifest_bytes(int(match[1]), manifest) == data
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, NonFiniteError):
        raise damaged from None
    if type(version) is int and version > VERSION:
        raise CheckpointError(f"{path} was written by a newer Pairwright (version {version} of the format).")
    if not same or STATE not in manifest:
        raise damaged
    for name, digest in manifest.items():
        stem, dot, suffix = name.partition(".")
        known = name == STATE or (GROUP_NAME.fullmatch(stem) and dot + suffix == ".safetensors")
        if not known or type(digest.bytes) is not int or digest.bytes < 0 or not SHA256.fullmatch(str(digest.sha256)):
            raise CheckpointError(f"{path} is refused: its manifest names {name!r}, which no checkpoint holds.")
    return manifest


def unreadable(path: Path, error: OSError) -> CheckpointError:
    if error.errno == errno.ENOENT:
        name = Path(error.filename or path).name
        return CheckpointError(f"{path} is damaged: {name} is missing.")
    reason = {errno.ELOOP: "is a link", errno.EINVAL: "is not a plain file"}.get(error.errno or 0)
    reason = reason or f"cannot be read ({files.REASONS.get(error.errno or 0, error.strerror)})"
    return CheckpointError(f"{path} is damaged: {Path(error.filename or path).name} {reason}.")
