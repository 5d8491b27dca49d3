"""The density of written music as the document has it: the energy of its spectrogram over windows of time.

`chords.density_loss` is the differentiable form: it counts the chances of note-ons. Here the melody is really
played, with struck tones that all carry the same energy whatever their pitch or length, so the energy in a window
over that of one tone is a number of notes again, and both forms have the same reference.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsep_live.compose.melody import BAR, STEPS, Melody, Note

_RATE = 8000
_STEP = 1000
"""Samples a sixteenth: 120 quarters a minute."""
_DECAY = 0.05
"""Seconds to 1/e: a sixteenth holds 99 % of a tone's energy, so long tones have no more than short ones."""
_PARTIALS = (1.0, 0.5)
_FRAME, _HOP = 500, 125


def energy_density(melody: Melody, window: int = 2 * BAR) -> NDArray[np.float64]:
    """Notes a bar by energy, ``(windows,)``, in windows of ``window`` steps, half overlapping.

    Raises
    ------
    ValueError
        The melody is shorter than a window, or the window is no even number of steps.
    """
    if window < 2 or window % 2 or melody.steps < window:
        raise ValueError(f"windows of {window} steps do not go into a melody of {melody.steps}")
    energy = _energy(_played(melody)) / _energy(_played(Melody((Note(4, 4, 69),), STEPS))).sum()
    halves = energy[: melody.steps // (window // 2) * (window // 2)].reshape(-1, window // 2).sum(axis=1)
    both: NDArray[np.float64] = halves[:-1] + halves[1:]
    return both * BAR / window


def _played(melody: Melody) -> NDArray[np.float64]:
    sound = np.zeros(melody.steps * _STEP)
    for note in melody.notes:
        time = np.arange(note.length * _STEP) / _RATE
        hertz = 440.0 * 2.0 ** ((note.pitch - 69) / 12.0)
        tone = sum(level * np.sin(2.0 * np.pi * hertz * (k + 1) * time) for k, level in enumerate(_PARTIALS))
        sound[note.start * _STEP : note.end * _STEP] = tone * np.exp(-time / _DECAY)
    return sound


def _energy(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy of the spectrogram in each step; a frame belongs to the step of its middle."""
    padded = np.pad(sound, _FRAME)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_FRAME), axis=1))).sum(axis=1)
    middles = np.arange(len(frames)) * _HOP + _FRAME // 2 - _FRAME
    steps = np.clip(middles // _STEP, 0, len(sound) // _STEP - 1)
    energy = np.zeros(len(sound) // _STEP)
    np.add.at(energy, steps, power)
    return energy
