"""What music that was generated has of the clip that it goes on from, and what it costs.

Threading: one thread makes every call.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass

import numpy as np

from qsep_live.compose.mel import BANDS, FLOOR, FRAMES_A_SECOND, RATE, Array, Mel, mel_of
from qsep_live.compose.mel_generator import MelGenerator
from qsep_live.compose.mel_inversion import StreamInversion, sound_of
from qsep_live.compose.mel_net import MelNet

STRETCH = 10.0
"""Seconds of which each level is taken."""


@dataclass(frozen=True)
class Bands:
    """Mean and standard deviation of each band, each (BANDS,), in dB of power.

    Not relative to the loudest band and frame, as `ClipBands` are, so those of two sounds can be compared. What lies
    more than 80 dB below the clip's loudest counts as 80 dB below.
    """

    mean: Array
    deviation: Array

    def apart(self, other: Bands) -> tuple[float, float]:
        """Root mean square over the bands of the difference in mean and in deviation, dB."""
        pairs = ((self.mean, other.mean), (self.deviation, other.deviation))
        mean, deviation = (float(np.sqrt(np.mean((one - two) ** 2))) for one, two in pairs)
        return mean, deviation


@dataclass(frozen=True)
class Generated:
    """Music that goes on from a clip.

    Attributes
    ----------
    sound
        Mono, (samples,) at RATE.
    mel
        Of the sound, not the frames that it was made from.
    clip, made
        The bands of the clip, and of the sound.
    halves
        How far the clip's own halves are apart, as `Bands.apart`.
    levels
        Of each STRETCH of the sound, dB above the clip's level; what is left over of a stretch is left out.
    drawing, streaming
        Processor seconds for a second of music, all threads together: to draw the frames, and to make them sound as
        they are made, which `generate --live` does.
    """

    sound: Array
    mel: Mel
    clip: Bands
    made: Bands
    halves: tuple[float, float]
    levels: tuple[float, ...]
    drawing: float
    streaming: float

    @property
    def drift(self) -> float:
        """dB from the first stretch to the last."""
        return self.levels[-1] - self.levels[0] if self.levels else math.nan


def generate(net: MelNet, clip: Mel, seconds: float, temperature: float = 1.0, seed: int = 0) -> Generated:
    """Go on from ``clip`` for so many seconds, to a file's sound, and measure it. Raises QsepError, see `mel_of`."""
    frames, drawing = [], time.process_time()
    for frame in MelGenerator(net, clip, temperature, seed).frames(math.ceil(seconds * FRAMES_A_SECOND) + 1):
        frames.append(frame)
    drawing, streaming = time.process_time() - drawing, time.process_time()
    stream = StreamInversion(clip.loudest)
    for frame in frames:
        stream.push(frame)
    streaming = time.process_time() - streaming
    sound = sound_of(Mel(np.stack(frames), clip.loudest))[: round(seconds * RATE)]
    mel, least = mel_of(sound), 10.0 * math.log10(clip.loudest) + FLOOR
    half = len(clip.db) // 2
    first, second = (_bands(Mel(part, clip.loudest), least) for part in (clip.db[:half], clip.db[half:]))
    of_clip = _level(clip.db, clip.loudest)
    edges = [round(edge * STRETCH * FRAMES_A_SECOND) for edge in range(int(len(sound) / RATE / STRETCH) + 1)]
    levels = tuple(_level(mel.db[a:b], mel.loudest) - of_clip for a, b in itertools.pairwise(edges))
    spent = len(frames) / FRAMES_A_SECOND
    return Generated(
        sound, mel, _bands(clip, least), _bands(mel, least), first.apart(second), levels, drawing / spent,
        streaming / spent,
    )  # fmt: skip


def _bands(mel: Mel, least: float) -> Bands:
    db = np.maximum(mel.db + np.float32(10.0 * math.log10(mel.loudest)), np.float32(least))
    return Bands(db.mean(axis=0), db.std(axis=0))


def _level(db: Array, loudest: float) -> float:
    """dB of the mean power of the frames ``db``, all bands together."""
    return 10.0 * math.log10(loudest * BANDS * float(np.mean(10.0 ** (db / 10.0))))
