"""Files that are written whole or not at all. This module imports no room, so that every room may use it."""

from __future__ import annotations

import os
from pathlib import Path

from qsep_live.errors import QsepError


def write_whole(path: Path, data: bytes) -> None:
    """Write ``path`` atomically and durably; an error leaves what it held before.

    Raises
    ------
    QsepError
        Names the file and the cause.
    """
    partial = path.with_name(f".{path.name}.part")
    kept = "; what it held before is kept" if path.exists() else ""
    try:
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise QsepError(f"{path}: could not be written: {error.strerror or error}{kept}") from None


def _sync_folder(folder: Path) -> None:
    """A rename is only durable once its folder is; Windows cannot open one."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
