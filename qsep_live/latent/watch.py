"""Preset files that change while they are in use: edited, broken, mended.

Threading: one thread, not the audio callback; it reads files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qsep_live.errors import QsepError
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import load_preset


@dataclass
class _File:
    path: Path | None
    preset: Preset
    seen: tuple[int, int, int] | None
    loaded: tuple[int, int, int] | None
    broken: bool = False


class PresetWatch:
    """The presets in use and the files they came from.

    Parameters
    ----------
    presets
        As they were read.
    paths
        Their files, in the same order; None for one that has no file (a model's stem), which stays as it is.
    """

    def __init__(self, presets: Sequence[Preset], paths: Sequence[Path | None]) -> None:
        stamps = [None if path is None else _stamp(path) for path in paths]
        self._files = [_File(*each) for each in zip(paths, presets, stamps, stamps, strict=True)]

    @property
    def presets(self) -> tuple[Preset, ...]:
        """Each as its file said when it last made sense."""
        return tuple(file.preset for file in self._files)

    def look(self) -> list[str]:
        """Look at the files once, about once a second; a line for the user for each that changed.

        A file is read when two looks in a row found it the same, so never halfway through being written. One that is
        gone, broken, or belongs to another model (or needs a stem that it does not have) leaves its preset as it was,
        until it is mended.
        """
        news: list[str] = []
        for file in self._files:
            if file.path is None:
                continue
            stamp = _stamp(file.path)
            settled, file.seen = stamp == file.seen, stamp
            if settled and stamp != file.loaded:
                file.loaded = stamp
                news += self._read(file, file.path)
        return news

    def _read(self, file: _File, path: Path) -> list[str]:
        was_broken = file.broken
        try:
            preset = load_preset(path).beside(file.preset)
        except QsepError as error:
            file.broken = True
            return [f"{error}; {file.preset.name} stays as it was"]
        file.broken = False
        if preset == file.preset:
            return [f"{path}: reads well again"] if was_broken else []
        file.preset = preset
        return [f"{path}: read again"]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
