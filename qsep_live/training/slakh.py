"""Slakh2100 in its published layout: ``SPLIT/TrackNNNNN/{metadata.yaml, mix.flac, stems/SNN.flac}``.

A stem's coarse class is the metadata's ``inst_class``, its fine class the name of its General MIDI program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qsep_live.errors import QsepError, UsageError
from qsep_live.training.general_midi import fine_class
from qsep_live.training.songs import Bank, Song
from qsep_live.training.stems import Loading, Progress, Stem, align, read_songs, read_stem

SPLITS = ("train", "validation", "test")
METADATA = "metadata.yaml"


def slakh_bank(
    root: Path,
    split: str = "train",
    weight: float = 1.0,
    *,
    limit: int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Bank:
    """The tracks of one split of Slakh2100, or of what ``qsep-live slakh render`` made.

    Stems that were not rendered are passed over, and those of the same program are summed. Of a training track a bad
    stem is left out; a validation or test track with one is left out as a whole, since its mixture would be another.

    Parameters
    ----------
    split
        ``"train"``, ``"validation"`` (or ``"valid"``) or ``"test"``.
    limit
        Read so many tracks, the first by name; all of Slakh2100 takes more memory than most machines have.
    strict
        The first bad file is an error; otherwise each is told on stderr.

    Raises
    ------
    UsageError
        There is no such folder, or no track in it.
    QsepError
        Nothing could be used; with ``strict`` a file is bad.
    """
    split = "validation" if split == "valid" else split
    if split not in SPLITS:
        raise UsageError(f"Slakh2100 has no split {split!r}; there are {', '.join(SPLITS)}")
    folder = root / split
    tracks = track_folders(folder)[:limit]
    if not tracks:
        raise UsageError(
            f"{folder}: no TrackNNNNN/{METADATA} here; give Slakh2100's own folder, with {', '.join(SPLITS)}"
        )
    loading = Loading(strict, progress)
    readers: list[Callable[[], Song | None]] = [
        partial(_read_track, track, split == "train", loading) for track in tracks
    ]
    songs = read_songs(readers, loading)
    if not songs:
        raise QsepError(f"{folder}: none of its {len(tracks)} tracks could be used")
    return Bank(songs, weight, "Slakh2100")


def track_folders(folder: Path) -> list[Path]:
    """The tracks of a split's folder, by name."""
    return sorted(path for path in folder.glob("Track*") if (path / METADATA).is_file())


def read_metadata(track: Path) -> dict[str, Any]:
    """A track's metadata.

    Raises
    ------
    QsepError
        It cannot be read, or is not Slakh's.
    UsageError
        The PyYAML package is missing.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError("reading Slakh2100 needs the pyyaml package: pip install 'qsep-live[train]'") from None
    path = track / METADATA
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QsepError(f"{path} cannot be read: {error}") from None
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise QsepError(f"{path}: damaged{where}: {getattr(error, 'problem', None) or 'no YAML'}") from None
    if not isinstance(found, dict) or not isinstance(found.get("stems"), dict):
        raise QsepError(f"{path}: has no table of stems; Slakh2100's metadata has one")
    for name, stem in found["stems"].items():
        if not isinstance(stem, dict) or not isinstance(stem.get("inst_class"), str):
            raise QsepError(f"{path}: stem {name} has no inst_class; Slakh2100's metadata has one for each")
    return found


def _read_track(track: Path, training: bool, loading: Loading) -> Song | None:
    with loading.leaving_out():
        metadata = read_metadata(track)
        folder = track / str(metadata.get("audio_dir") or "stems")
        stems: list[Stem] = []
        for name, stem in metadata["stems"].items():
            if not stem.get("audio_rendered"):
                continue
            key, path = _key(stem), folder / f"{name}.flac"
            if training:
                with loading.leaving_out():
                    stems.append(read_stem(key, path))
            else:
                stems.append(read_stem(key, path, may_be_silent=True))
        if not stems:
            raise QsepError(f"{track}: no stem of it can be used")
        return Song(track.name, align(stems, loading))
    return None


def _key(stem: dict[str, Any]) -> str:
    number = stem.get("program_num")
    program = number if isinstance(number, int) and not stem.get("is_drum") else -1
    coarse: str = "Drums" if stem.get("is_drum") else stem["inst_class"]
    return fine_class(coarse, program, str(stem.get("midi_program_name") or ""))
