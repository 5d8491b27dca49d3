"""A mel-spectrogram back to sound: as a whole by librosa, or frame by frame as the frames are made.

Two steps either way. The bands' power becomes the power of 1025 bins: the nearest non-negative one, which librosa
searches for with L-BFGS-B, and the stream with a few multiplicative updates (Lee and Seung 2001, "Algorithms for
Non-negative Matrix Factorization"). The phases are those that make overlapping frames agree: librosa's fast
Griffin-Lim over the whole, or real-time iterative spectrogram inversion with look-ahead (Zhu, Beauregard and Wyse
2007, "Real-Time Signal Estimation From Modified Short-Time Fourier Transform Magnitude Spectra"), which librosa does
not have: Griffin-Lim on the newest frames alone, each of which begins with the phases of what is there already.

Threading: the thread that owns the inversion.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from qsep_live.compose.mel import FLOOR, HOP, N_FFT, RATE, Array, Mel, filterbank, library
from qsep_live.dsp.grid import hann

OVERLAP = N_FFT // HOP
LOOKAHEAD = OVERLAP - 1
"""Frames that a frame waits for before its phases are final: all that overlap it."""
ITERATIONS = 8
_UPDATES = 12
_TINY = 1e-12
_SCALE = 1e3
"""Power that librosa's least squares get for 0 dB: their stopping criterion is absolute, so at a low level they stop
where they begin, and at a high one they take several times as long."""


def sound_of(mel: Mel) -> Array:
    """The whole of ``mel`` as mono sound (samples,) at RATE, by librosa; 32 iterations of fast Griffin-Lim."""
    librosa = library()
    power = np.float32(_SCALE) * librosa.db_to_power(mel.db.T)
    magnitudes = librosa.feature.inverse.mel_to_stft(power, sr=RATE, n_fft=N_FFT)
    # The phases that it begins with are drawn: equal spectrograms are to be equal sounds.
    sound: Array = librosa.griffinlim(magnitudes, n_iter=32, n_fft=N_FFT, hop_length=HOP, random_state=0)
    return sound.astype(np.float32, copy=False) * np.float32(np.sqrt(mel.loudest / _SCALE))


class StreamInversion:
    """Frames in, 512 samples out for each, `LOOKAHEAD` frames later.

    Parameters
    ----------
    loudest
        Power that 0 dB stands for, as in `Mel`.
    iterations
        Of Griffin-Lim, for each new frame; every frame is part of LOOKAHEAD + 1 times as many.
    """

    def __init__(self, loudest: float, iterations: int = ITERATIONS) -> None:
        self._loudest, self._iterations = loudest, iterations
        self._window = hann(N_FFT)
        active, length = LOOKAHEAD + 1, N_FFT + LOOKAHEAD * HOP
        self._magnitudes = np.zeros((active, N_FFT // 2 + 1), np.float32)
        self._parts = np.zeros((active, N_FFT), np.float32)
        self._final = np.zeros(length, np.float32)
        self._weights = np.zeros(length, np.float32)
        for start in range(-(OVERLAP - 1), active):
            window = self._window[max(0, -start * HOP) :] ** 2
            self._weights[max(0, start * HOP) :][: len(window)] += window
        self._random = np.random.default_rng(0)

    def push(self, db: Array) -> Array:
        """Take a frame (BANDS,) in dB; the next HOP samples."""
        self._magnitudes = np.roll(self._magnitudes, -1, axis=0)
        self._parts = np.roll(self._parts, -1, axis=0)
        self._magnitudes[-1] = np.sqrt(bins_of(np.float32(self._loudest) * 10.0 ** (db / 10.0)))
        self._parts[-1] = 0.0
        # What overlaps the new frame says how it begins; where nothing does, chance does.
        begun = self._segments(self._sum())[-1:] + np.float32(1e-9) * self._random.standard_normal((1, N_FFT), "f4")
        self._parts[-1:] = self._impose(begun, self._magnitudes[-1:])
        for _ in range(self._iterations):
            self._parts = self._impose(self._segments(self._sum()), self._magnitudes)
        self._final[:N_FFT] += self._parts[0]
        samples: Array = self._final[:HOP] / self._weights[:HOP]
        self._final[:-HOP] = self._final[HOP:]
        self._final[-HOP:] = 0.0
        return samples

    def flush(self) -> Array:
        """The samples of the frames that were waiting, (LOOKAHEAD × HOP,)."""
        silence = np.full(filterbank().shape[0], FLOOR, np.float32)
        return np.concatenate([self.push(silence) for _ in range(LOOKAHEAD)])

    def _sum(self) -> Array:
        """The sound of the frames that are not final yet, overlapping those that are."""
        total = self._final.copy()
        for index, part in enumerate(self._parts):
            total[index * HOP :][:N_FFT] += part
        total /= np.maximum(self._weights, np.float32(1e-3))
        return total

    def _segments(self, sound: Array) -> Array:
        return np.lib.stride_tricks.sliding_window_view(sound, N_FFT)[::HOP]

    def _impose(self, segments: Array, magnitudes: Array) -> Array:
        """The segments with other magnitudes, windowed twice: before the transform and after it."""
        spectra = fft.rfft(segments * self._window, axis=1)
        spectra *= magnitudes / np.maximum(np.abs(spectra), np.float32(_TINY))
        imposed: Array = fft.irfft(spectra, axis=1)
        return imposed * self._window


def bins_of(power: Array) -> Array:
    """A non-negative power spectrum, (N_FFT // 2 + 1,), whose bands have about ``power`` (BANDS,)."""
    weights, reach = _filters()
    wanted = weights.T @ power
    bins = wanted / reach
    for _ in range(_UPDATES):
        bins *= wanted / np.maximum(weights.T @ (weights @ bins), np.float32(_TINY))
    return bins


@functools.cache
def _filters() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The filterbank, and for each bin what a flat spectrum comes back as through it and its transpose."""
    weights = filterbank().astype(np.float32)
    return weights, np.maximum(weights.T @ weights.sum(axis=1), np.float32(_TINY))
