"""Songs with their true stems, read one at a time: MUSDB18 and Slakh2100 in their published layouts, and folders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError, UsageError
from qsep_live.evaluation.extra import needs

Tell = Callable[[float], None]
"""Hears how many tracks are done."""
STEMS = ("vocals", "drums", "bass", "other")
SPLITS = ("valid", "test", "train")
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
SLAKH_SPLITS = {"valid": "validation", "test": "test", "train": "train"}


@dataclass(frozen=True)
class Stem:
    """One stem of a Slakh track: its class, its General MIDI program, and the sound, (n, channels)."""

    coarse: str
    fine: str
    audio: NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """A song. Sounds are (n, channels) float32 and equally long."""

    name: str
    rate: int
    mixture: NDArray[np.float32]
    stems: dict[str, NDArray[np.float32]]
    parts: tuple[Stem, ...] = ()
    """Slakh: the single stems that `stems` adds up by coarse class."""


class Tracks(Protocol):
    """A data set's split. Small and picklable; a track is read when it is asked for."""

    @property
    def label(self) -> str:
        """For tables: ``"MUSDB18 valid"``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Track: ...


@dataclass(frozen=True)
class MusdbTracks:
    """MUSDB18's songs below ``root``: ``valid`` is musdb's own 14, ``train`` the other 86, ``test`` the test songs.

    Attributes
    ----------
    limit
        The first so many songs only.
    seconds
        The middle so many seconds of each song only.

    Raises
    ------
    UsageError
        No such songs there, or musdb is not installed. All methods.
    """

    root: Path
    split: str = "valid"
    limit: int | None = None
    seconds: float | None = None

    @property
    def label(self) -> str:
        return f"MUSDB18 {self.split}, {_amount(len(self), self.seconds)}"

    def __len__(self) -> int:
        found = len(_musdb(self.root, self.split))
        return found if self.limit is None else min(found, self.limit)

    def __getitem__(self, index: int) -> Track:
        if index >= len(self):
            raise IndexError(index)
        track = _musdb(self.root, self.split)[index]
        missing = [name for name in STEMS if name not in track.sources]
        if missing:
            raise QsepError(f"{track.path}: has no {missing[0]} stem")
        try:
            sounds = {name: _float32(track.sources[name].audio) for name in STEMS}
            mixture = _float32(track.audio)
        except Exception as error:  # stempeg passes on whatever ffmpeg made it stumble over
            raise QsepError(f"{track.path}: cannot be read ({str(error).splitlines()[0][:80] or 'ffmpeg'})") from None
        # AAC streams of one file may differ by a frame.
        frames = min(len(mixture), *(len(sound) for sound in sounds.values()))
        cut = _middle(frames, track.rate, self.seconds)
        return Track(track.name, int(track.rate), mixture[cut], {name: sound[cut] for name, sound in sounds.items()})


@dataclass(frozen=True)
class SlakhTracks:
    """Slakh2100's songs, ``ROOT/SPLIT/TrackNNNNN`` or ``ROOT/TrackNNNNN``, by ``metadata.yaml`` and ``stems/``.

    The coarse class is ``inst_class``, the fine one ``midi_program_name``. The mixture is the sum of the stems that
    were rendered.

    Raises
    ------
    UsageError
        No such songs there. All methods.
    """

    root: Path
    split: str = "test"
    limit: int | None = None
    seconds: float | None = None

    @property
    def label(self) -> str:
        return f"Slakh {self.split}, {_amount(len(self), self.seconds)}"

    def __len__(self) -> int:
        return len(self._folders())

    def __getitem__(self, index: int) -> Track:
        return _slakh_track(self._folders()[index], self.seconds)

    def _folders(self) -> list[Path]:
        folder = self.root / SLAKH_SPLITS[self.split]
        found = sorted(path.parent for path in folder.glob("*/metadata.yaml"))
        if not found:
            raise UsageError(
                f"{folder}: no TrackNNNNN/metadata.yaml here; give Slakh2100's folder, which holds "
                f"{', '.join(SLAKH_SPLITS.values())}"
            )
        return found[: self.limit]


@dataclass(frozen=True)
class FolderTracks:
    """Songs of one's own: ``ROOT/SONG/vocals.wav``, ``drums.flac`` …, or one song's stems right in ``root``.

    The mixture is their sum; a stem that is missing is silent.

    Raises
    ------
    UsageError
        No song with two stems there. All methods.
    """

    root: Path
    limit: int | None = None
    seconds: float | None = None

    @property
    def label(self) -> str:
        return f"{self.root.name}, {_amount(len(self), self.seconds)}"

    def __len__(self) -> int:
        return len(self._songs())

    def __getitem__(self, index: int) -> Track:
        return _folder_track(self._songs()[index], self.seconds)

    def _songs(self) -> list[Path]:
        folders = [self.root, *sorted(path for path in self.root.glob("*") if path.is_dir())]
        found = [folder for folder in folders if len(_stem_files(folder)) > 1]
        if not found:
            raise UsageError(f"{self.root}: no song here; a song is a folder with {', '.join(STEMS)} as sound files")
        return found[: self.limit]


def quiet(_done: float) -> None:
    """Tell nobody."""


def each(tracks: Tracks, tell: Tell = quiet) -> Iterator[Track]:
    """All tracks in order; ``tell`` hears how many are done."""
    for index in range(len(tracks)):
        yield tracks[index]
        tell(index + 1)


@functools.lru_cache(maxsize=8)
def _musdb(root: Path, split: str) -> Any:
    musdb = needs("musdb")
    if split not in SPLITS:
        raise UsageError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
    subset = "test" if split == "test" else "train"
    folder = root / subset
    stems, hq = any(folder.glob("*.stem.mp4")), any(folder.glob("*/mixture.wav"))
    if not stems and not hq:
        raise UsageError(f"{folder}: no *.stem.mp4 and no SONG/mixture.wav here; give MUSDB18's own folder")
    tracks = musdb.DB(root=str(root), is_wav=not stems, subsets=subset, split=None if subset == "test" else split)
    if not len(tracks):
        raise UsageError(f"{folder}: none of the songs of musdb's split {split!r} is here")
    return tracks


def _stem_files(folder: Path) -> dict[str, Path]:
    found = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES}
    return {name: found[name] for name in STEMS if name in found}


def _folder_track(folder: Path, seconds: float | None) -> Track:
    from qsep_live.audio.files import open_audio

    sounds: dict[str, NDArray[np.float32]] = {}
    rates: dict[str, int] = {}
    for name, path in _stem_files(folder).items():
        with open_audio(path) as reader:
            sounds[name], rates[name] = reader.read(), reader.rate
    shapes = {sound.shape[1] for sound in sounds.values()}
    if len(shapes) > 1 or len(set(rates.values())) > 1:
        raise QsepError(f"{folder}: its stems differ in rate or channels; convert them to one")
    rate = rates.popitem()[1]
    frames = min(len(sound) for sound in sounds.values())
    cut = _middle(frames, rate, seconds)
    stems = {name: sound[cut] for name, sound in sounds.items()}
    mixture: NDArray[np.float32] = np.sum(list(stems.values()), axis=0, dtype=np.float32)
    return Track(folder.name, rate, mixture, {name: stems.get(name, np.zeros_like(mixture)) for name in STEMS})


def _slakh_track(folder: Path, seconds: float | None) -> Track:
    from qsep_live.audio.files import open_audio

    yaml = needs("yaml")
    path = folder / "metadata.yaml"
    try:
        entries = dict(yaml.safe_load(path.read_text(encoding="utf-8"))["stems"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise QsepError(f"{path}: no table of stems here ({type(error).__name__}); is this Slakh2100?") from None
    parts, rate = [], 0
    for name, entry in sorted(entries.items()):
        file = folder / "stems" / f"{name}.flac"
        if not entry.get("audio_rendered", True) or not file.is_file():
            continue
        with open_audio(file) as reader:
            if rate not in (0, reader.rate):
                raise QsepError(f"{file}: {reader.rate} Hz, the other stems have {rate} Hz")
            rate = reader.rate
            audio = reader.read()
        coarse = "Drums" if entry.get("is_drum") else str(entry.get("inst_class", ""))
        fine = coarse if entry.get("is_drum") else str(entry.get("midi_program_name", ""))
        if not coarse or not fine:
            raise QsepError(f"{path}: stem {name} has no inst_class or midi_program_name")
        parts.append(Stem(coarse, fine, audio))
    if not parts:
        raise QsepError(f"{folder / 'stems'}: none of the stems that metadata.yaml lists is here")
    frames = min(len(part.audio) for part in parts)
    cut = _middle(frames, rate, seconds)
    parts = [Stem(part.coarse, part.fine, part.audio[cut]) for part in parts]
    stems: dict[str, NDArray[np.float32]] = {}
    for part in parts:
        stems[part.coarse] = stems.get(part.coarse, np.float32(0.0)) + part.audio
    mixture: NDArray[np.float32] = np.sum(list(stems.values()), axis=0, dtype=np.float32)
    return Track(folder.name, rate, mixture, stems, tuple(parts))


def _middle(frames: int, rate: float, seconds: float | None) -> slice:
    length = frames if seconds is None else min(frames, round(seconds * rate))
    start = (frames - length) // 2
    return slice(start, start + length)


def _amount(tracks: int, seconds: float | None) -> str:
    return f"{tracks} track{'s' * (tracks != 1)}" + ("" if seconds is None else f" of {seconds:g} s")


def _float32(audio: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(audio, np.float32)
