"""Folders of stems: ``CLASS/*.wav``, ``CLASS/FINE/*.wav`` (one class a file) and ``SONG/CLASS.wav`` (aligned)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from qsep_live.errors import QsepError, UsageError
from qsep_live.training.general_midi import FAMILIES, PROGRAM_NAMES
from qsep_live.training.songs import CLASSES, Bank, Song
from qsep_live.training.stems import Loading, Progress, Stem, align, read_songs, read_stem

SUFFIXES = (".wav", ".flac", ".ogg")
LAYOUTS = "SONG/CLASS.wav, CLASS/FILE.wav or CLASS/FINE/FILE.wav (or flac, ogg)"
KNOWN = (*CLASSES, *FAMILIES, *PROGRAM_NAMES, "keys", "synth", "lead", "pad", "percussion", "voice")
"""Names that a file or folder has for its class; upper and lower case are the same."""


def folder_bank(
    root: Path,
    weight: float = 1.0,
    *,
    classes: Collection[str] = (),
    instruments: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> Bank:
    """Stems below ``root``, as ``SONG/CLASS.wav``, ``CLASS/FILE.wav`` or ``CLASS/FINE/FILE.wav``, mixed as you like.

    A folder without folders is a song where a file in it is called as a class that is known and the folder itself is
    not; the name of any other folder is a class. What begins with a
    dot is left out, as what a program has not finished.

    Parameters
    ----------
    classes
        Names of classes beyond those of `KNOWN`.
    instruments
        See `Bank`.
    strict
        The first bad file is an error; otherwise each is told on stderr and left out.

    Raises
    ------
    UsageError
        There is no such folder, or nothing in it in one of the layouts.
    QsepError
        Nothing in it could be used; with ``strict`` a file is bad.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give one with {LAYOUTS}")
    loading = Loading(strict, progress)
    seen = (path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith("."))
    folders = {path: found for path in seen if (found := _sounds(path))}
    if not folders:
        raise UsageError(f"{root}: no stems in it; a folder of stems has {LAYOUTS}")
    known = {name.lower() for name in (*KNOWN, *classes)}
    readers: list[Callable[[], Song | None]] = []
    for folder, found in folders.items():
        if _is_song(folder, found, known):
            readers.append(partial(_read_song, folder, found, loading))
        else:
            readers += [partial(_read_single, path, _key(folder, path), loading) for path in found]
    songs = read_songs(readers, loading)
    if not songs:
        raise QsepError(f"{root}: none of its {len(readers)} files and songs could be used")
    return Bank(songs, weight, root.name, instruments)


def _sounds(folder: Path) -> list[Path]:
    files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    return [path for path in files if not path.name.startswith(".") and path.is_file()]


def _is_song(folder: Path, found: list[Path], known: set[str]) -> bool:
    flat = all(path.parent == folder for path in found)
    return flat and folder.name.lower() not in known and any(path.stem.lower() in known for path in found)


def _class(name: str) -> str:
    """MUSDB18's spelling for its classes, any other name as it is."""
    return name.lower() if name.lower() in CLASSES else name


def _key(folder: Path, path: Path) -> str:
    below = path.relative_to(folder).parts
    return _class(folder.name) if len(below) == 1 else f"{_class(folder.name)}/{below[0]}"


def _read_single(path: Path, key: str, loading: Loading) -> Song | None:
    with loading.leaving_out():
        return Song(str(path), {key: read_stem(key, path).sound})
    return None


def _read_song(folder: Path, found: list[Path], loading: Loading) -> Song | None:
    stems: list[Stem] = []
    for path in found:
        with loading.leaving_out():
            stems.append(read_stem(_class(path.stem), path))
    return Song(folder.name, align(stems, loading)) if stems else None
