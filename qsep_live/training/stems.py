"""Stem files into memory, and what becomes of those that are no good.

Threading: songs are read in several threads at once; a `Loading` may be shared by them.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError
from qsep_live.training.songs import Song, mix

AUDIBLE = 2e-3
"""RMS that a stem's loudest second must reach, −54 dBFS; a mixer would wait for ever for a class to sound."""
SLACK = 0.05
"""Seconds by which stems of one song may differ in length: what lossy encoders add."""
READERS = 8
"""Threads that read songs, at most: each holds a few stems in float."""

Progress = Callable[[int, int], None]
"""Called with the songs that are read, and how many there are."""


@dataclass(frozen=True)
class Loading:
    """What to do about bad files: with ``strict`` the first is an error, else each is a line on stderr."""

    strict: bool = False
    progress: Progress | None = None

    def object_to(self, problem: str, remedy: str) -> None:
        """Raise ``problem`` as a QsepError, or tell it, and the remedy that was used."""
        if self.strict:
            raise QsepError(problem)
        sys.stderr.write(f"qsep-live: warning: {problem}; {remedy}\n")
        sys.stderr.flush()

    @contextmanager
    def leaving_out(self) -> Iterator[None]:
        """Within, a QsepError ends the block; unless ``strict`` it is told and goes no further."""
        try:
            yield
        except QsepError as error:
            if self.strict:
                raise
            self.object_to(str(error), "left out")


@dataclass(frozen=True)
class Stem:
    """A file's sound, int16 (channels, samples) at 22,050 Hz, and the rate that it came in, Hz."""

    key: str
    path: Path
    sound: NDArray[np.int16]
    rate: int


def read_stem(key: str, path: Path, may_be_silent: bool = False) -> Stem:
    """Read what libsndfile reads.

    Raises
    ------
    QsepError
        The file is missing, damaged, truncated or empty, holds NaN, has more than two channels, or is silent though
        it may not be.
    """
    from qsep_live.audio.files import open_audio
    from qsep_live.audio.resample import resample

    with open_audio(path) as reader:
        try:
            audio = reader.read()
        except QsepError:
            # Some encoders promise a few milliseconds more than they wrote.
            reader.seek(0)
            audio = reader.read(reader.frames - round(SLACK * reader.rate))
        if reader.repaired:
            raise QsepError(f"{path}: holds {reader.repaired} NaN or infinite samples")
        if reader.channels > 2:
            raise QsepError(f"{path}: has {reader.channels} channels; stems are mono or stereo")
        rate = reader.rate
    sound = to_int16(resample(audio, rate, MODEL_RATE).T)
    if not may_be_silent and not is_audible(sound):
        raise QsepError(f"{path}: silent throughout")
    return Stem(key, path, sound, rate)


def to_int16(audio: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int16]:
    """Full scale is kept, and beyond is cut."""
    return (np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16)


def is_audible(sound: NDArray[np.int16]) -> bool:
    """Whether some second of one channel reaches `AUDIBLE`."""
    for channel in sound:
        for start in range(0, len(channel), MODEL_RATE):
            second = channel[start : start + MODEL_RATE].astype(np.float32)
            if np.sqrt(np.square(second).sum() / MODEL_RATE) >= AUDIBLE * 32768:
                return True
    return False


def align(stems: Sequence[Stem], loading: Loading) -> dict[str, NDArray[np.int16]]:
    """One song's stems by key, all as long as the longest and with as many channels; those of one key are summed.

    Different rates, lengths that differ by more than `SLACK`, and mono beside stereo are objected to.
    """
    rate, _ = Counter(stem.rate for stem in stems).most_common(1)[0]
    longest = max(stems, key=lambda stem: stem.sound.shape[1])
    widest = max(stems, key=lambda stem: stem.sound.shape[0])
    channels, samples = widest.sound.shape[0], longest.sound.shape[1]
    sounds: dict[str, list[NDArray[np.int16]]] = {}
    for stem in stems:
        sound = stem.sound
        if stem.rate != rate:
            loading.object_to(f"{stem.path}: {stem.rate} Hz, and the song's other stems {rate} Hz", "resampled")
        if samples - sound.shape[1] > SLACK * MODEL_RATE:
            lasts, longer = sound.shape[1] / MODEL_RATE, samples / MODEL_RATE
            loading.object_to(
                f"{stem.path}: lasts {lasts:.2f} s, and {longest.path.name} of the same song {longer:.2f} s",
                "filled up with silence",
            )
        if sound.shape[0] < channels:
            loading.object_to(f"{stem.path}: mono, and {widest.path.name} of the same song is stereo", "used as stereo")
            sound = np.repeat(sound, channels, axis=0)
        if sound.shape[1] < samples:
            sound = np.pad(sound, ((0, 0), (0, samples - sound.shape[1])))
        sounds.setdefault(stem.key, []).append(sound)
    return {key: parts[0] if len(parts) == 1 else mix(parts) for key, parts in sounds.items()}


def read_songs(readers: Sequence[Callable[[], Song | None]], loading: Loading) -> tuple[Song, ...]:
    """Call every reader, some at once; the songs that came, in the readers' order."""
    songs: list[Song] = []
    pool = ThreadPoolExecutor(min(READERS, os.cpu_count() or 1))
    try:
        for number, song in enumerate(pool.map(lambda read: read(), readers), 1):
            if song is not None:
                songs.append(song)
            if loading.progress:
                loading.progress(number, len(readers))
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(songs)
