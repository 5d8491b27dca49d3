"""MUSDB18 (``.stem.mp4``) and MUSDB18-HQ (``SONG/CLASS.wav``) in their published layouts, by the `musdb` package."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.songs import Bank, Song
from qsep_live.training.stems import Loading, Progress, Stem, align, is_audible, read_songs, read_stem, to_int16

SPLITS = ("train", "valid", "test")
_SUFFIX = ".stem.mp4"
_CUT = 0.1
"""Seconds by which a decoded stream may fall short of what the file promises."""


def musdb_bank(
    root: Path, split: str, weight: float = 1.0, *, strict: bool = False, progress: Progress | None = None
) -> Bank:
    """The songs of ``root``, MUSDB18's or MUSDB18-HQ's own folder.

    A song that is not whole is left out. A stem that is silent throughout is left out of a training song, and stays
    in a validation or test song.

    Parameters
    ----------
    split
        ``"train"`` and ``"valid"`` (musdb's own 14 songs) are parts of the folder ``train``; ``"test"``.
    strict
        The first bad file is an error; otherwise each is told on stderr.

    Raises
    ------
    UsageError
        ``root`` is not MUSDB18's folder, or the musdb package is missing.
    QsepError
        ffmpeg is missing, or nothing could be used; with ``strict`` a file is bad.
    """
    if split not in SPLITS:
        raise UsageError(f"MUSDB18 has no split {split!r}; there are {', '.join(SPLITS)}")
    setup = _setup(root)
    subset = "test" if split == "test" else "train"
    folder = root / subset
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    names = [f"{name}.wav" for name in setup["sources"]]
    tracks = {path.name.removesuffix(_SUFFIX): path for path in entries if path.name.endswith(_SUFFIX)}
    tracks |= {path.name: path for path in entries if any((path / name).is_file() for name in names)}
    if not tracks:
        raise UsageError(
            f"{root}: no {subset}/*{_SUFFIX} and no {subset}/SONG/{names[0]} here; give MUSDB18's own folder"
        )
    if subset == "train":
        tracks = {
            name: path for name, path in tracks.items() if (name in setup["validation_tracks"]) == (split == "valid")
        }
    if not tracks:
        raise UsageError(f"{folder}: none of musdb's songs of the split {split!r} is here")
    loading = Loading(strict, progress)
    readers: list[Callable[[], Song | None]] = [
        partial(_read, name, path, setup, split == "train", loading) for name, path in tracks.items()
    ]
    songs = read_songs(readers, loading)
    if not songs:
        raise QsepError(f"{folder}: none of its {len(tracks)} songs could be used")
    return Bank(songs, weight, "MUSDB18")


def _setup(root: Path) -> dict[str, Any]:
    """musdb's table of stems and validation songs."""
    missing = [program for program in ("ffmpeg", "ffprobe") if shutil.which(program) is None]
    if missing:
        raise QsepError(f"{root}: reading MUSDB18 needs {' and '.join(missing)} (Debian: apt-get install ffmpeg)")
    try:
        import musdb
    except ImportError:
        raise UsageError("reading MUSDB18 needs the musdb package: pip install 'qsep-live[train]'") from None
    # The songs are opened one by one here: its constructor opens them all, and one that is damaged ends it.
    setup: dict[str, Any] = musdb.DB(root=str(root), subsets=[]).setup
    return setup


def _read(name: str, path: Path, setup: dict[str, Any], training: bool, loading: Loading) -> Song | None:
    with loading.leaving_out():
        hq = path.is_dir()
        sounds = align(_read_waves(path, setup) if hq else _read_streams(name, path, setup), loading)
        for key in [key for key, sound in sounds.items() if training and not is_audible(sound)]:
            where = path / f"{key}.wav" if hq else path
            loading.object_to(f"{where}: {key} is silent throughout", "left out")
            del sounds[key]
        return Song(name, sounds) if sounds else None
    return None


def _read_waves(path: Path, setup: dict[str, Any]) -> list[Stem]:
    return [read_stem(key, path / file, may_be_silent=True) for key, file in setup["sources"].items()]


def _read_streams(name: str, path: Path, setup: dict[str, Any]) -> list[Stem]:
    import musdb

    ids: dict[str, int] = setup["stem_ids"]
    try:
        track = musdb.MultiTrack(str(path), name, is_wav=False, stem_id=ids["mixture"], sample_rate=MODEL_RATE)
        streams = track.info.nb_audio_streams
        if streams != len(ids):
            raise QsepError(f"{path}: holds {streams} audio streams, not MUSDB18's {len(ids)}: {', '.join(ids)}")
        stems = []
        for key in setup["sources"]:
            audio = musdb.Source(track, name=key, path=str(path), stem_id=ids[key]).audio
            promised = track.info.duration(ids[key])
            if len(audio) / MODEL_RATE < promised - _CUT:
                held = len(audio) / MODEL_RATE
                raise QsepError(f"{path}: {key} is truncated or damaged: {held:.2f} s of {promised:.2f} s can be read")
            stems.append(Stem(key, path, to_int16(audio.T), track.info.rate(ids[key])))
    except QsepError:
        raise
    except Exception as error:  # whatever ffmpeg, its wrapper and stempeg raise, a bare Warning among it
        told = getattr(error, "stderr", None) or str(error).encode()
        lines = told.decode(errors="replace").strip().splitlines() or [type(error).__name__]
        raise QsepError(f"{path}: damaged or no stem file ({lines[-1].removeprefix(f'{path}: ')})") from None
    return stems
