"""Mel-spectrograms of the document's configuration, by librosa: 2048-point FFT, hop 512, 128 bands, dB.

Every spectrogram is relative to its own loudest band and frame, and ends 80 dB below it, as in the document. Arrays
are frames × bands, float32.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError, UsageError

Array = NDArray[np.float32]

RATE = MODEL_RATE
"""Hz; also what librosa loads files at when nothing is said, so the document's."""
N_FFT = 2048
HOP = 512
BANDS = 128
PIECE = 2048
"""Frames that a spectrogram is cut or padded to, 47.6 s."""
FLOOR = -80.0
"""dB below the loudest band and frame at which a spectrogram ends."""
FRAMES_A_SECOND = RATE / HOP
SILENT = 1e-10
"""Power of the loudest band and frame at or below which a recording is silent."""


@dataclass(frozen=True)
class Mel:
    """A mel-spectrogram.

    Attributes
    ----------
    db
        (frames, BANDS) float32, from FLOOR to 0.
    loudest
        Power of the band and frame that 0 dB stands for.
    """

    db: Array
    loudest: float


def mel_of(sound: Array) -> Mel:
    """The spectrogram of mono ``sound`` (samples,) at RATE; its frames are centred on every 512th sample.

    Raises
    ------
    QsepError
        The sound is shorter than a frame, or silent.
    """
    librosa = library()
    if len(sound) < N_FFT:
        raise QsepError(
            f"{len(sound) / RATE:.3f} s of sound is shorter than a frame of the spectrogram ({N_FFT / RATE:.3f} s)"
        )
    power = librosa.feature.melspectrogram(y=sound, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS)
    loudest = float(power.max())
    if loudest <= SILENT:
        raise QsepError("it is silent")
    db = librosa.power_to_db(power, ref=loudest, top_db=-FLOOR)
    return Mel(np.ascontiguousarray(db.T, np.float32), loudest)


def read_mel(path: str | os.PathLike[str]) -> Mel:
    """The spectrogram of a sound file. Raises QsepError, see `mel_of`."""
    sound = read_mono(path)
    try:
        return mel_of(sound)
    except QsepError as error:
        raise QsepError(f"{path}: {error}") from None


def read_mono(path: str | os.PathLike[str]) -> Array:
    """A sound file, mixed to mono at RATE. Raises QsepError."""
    from qsep_live.audio.files import read_audio
    from qsep_live.audio.resample import resample

    sound, rate = read_audio(path)
    return resample(sound.mean(axis=1, keepdims=True, dtype=np.float32), rate, RATE)[:, 0]


@functools.cache
def filterbank() -> Array:
    """Weights of the bands over the bins of the power spectrum, (BANDS, N_FFT // 2 + 1)."""
    weights: Array = library().filters.mel(sr=RATE, n_fft=N_FFT, n_mels=BANDS)
    return weights


def library() -> Any:
    """librosa.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise UsageError(f"spectrograms need librosa ({error}): pip install 'qsep-live[compose]'") from None
    return librosa
