"""Writing a page: whole or not at all, and an error of the disk in words."""

from pathlib import Path

from pairwright.errors import StorageError


def write_page(path: Path, text: str) -> Path:
    """Write `text` as UTF-8 and return `path`; an earlier page stays until the new one is complete.

    A lone surrogate, which a model can write, has no UTF-8; it is written as its escape. Raises StorageError.
    """
    data = text.encode("utf-8", "backslashreplace")
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror or type(error).__name__
        raise StorageError(f"{path} could not be written ({len(data):,} bytes): {reason}.") from error
    return path
