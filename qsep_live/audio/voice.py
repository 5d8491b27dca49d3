"""A sung voice by source and filter: glottal pulses and noise through moving formants. numpy alone.

What makes it a voice to an ear or a network: vibrato that starts late, jitter, pitch that slides into notes,
formants that move between vowels, breath, and consonants of noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]
Track = NDArray[np.float64]


class Note(NamedTuple):
    """One syllable: start and length in seconds, pitch as a MIDI note, its consonant and vowel."""

    start: float
    length: float
    pitch: float
    text: str


#: Formants in Hz.
_VOWELS = {
    "a": (820, 1250, 2700, 3600, 4600),
    "e": (480, 1950, 2700, 3600, 4600),
    "i": (330, 2350, 3050, 3700, 4700),
    "o": (500, 900, 2650, 3500, 4500),
    "u": (370, 800, 2450, 3400, 4500),
}
_BANDWIDTHS = (85, 105, 240, 380, 520)
#: Voiced consonants: formants, and their level against the vowel.
_VOICED = {
    "m": ((280, 1000, 2200, 3300, 4400), 0.30),
    "n": ((300, 1450, 2400, 3400, 4500), 0.32),
    "l": ((360, 1150, 2700, 3500, 4500), 0.50),
    "v": ((320, 1100, 2300, 3400, 4500), 0.25),
    "y": ((300, 2300, 3000, 3700, 4700), 0.60),
}
#: Noise consonants: centre and width in Hz, seconds, level.
_NOISE = {
    "s": (7600, 2800, 0.11, 0.60),
    "sh": (3800, 1700, 0.12, 0.50),
    "t": (4500, 3000, 0.035, 0.70),
    "k": (2200, 1300, 0.040, 0.55),
    "h": (1800, 1500, 0.070, 0.18),
}
_CONTROL = 400.0


def sing(notes: list[Note], seconds: float, rate: int, rng: np.random.Generator) -> Signal:
    """Sing the notes.

    Parameters
    ----------
    notes : list of Note
        In order of time, not overlapping.
    seconds : float
        Length of the result.
    rate : int
        Sample rate in Hz.
    rng : numpy Generator
        Decides jitter, breath and small inaccuracies.

    Returns
    -------
    ndarray
        float32, shape (frames,), dry and mono, about -20 dB RMS.
    """
    frames = round(seconds * rate)
    steps = int(np.ceil(seconds * _CONTROL)) + 1
    level, formants, pitch, vibrato = (
        np.zeros(steps),
        np.tile(np.array(_VOWELS["a"], float), (steps, 1)),
        np.full(steps, float(notes[0].pitch) if notes else 60.0),
        np.zeros(steps),
    )
    noise, centre, width = np.zeros(steps), np.full(steps, 5000.0), np.full(steps, 2000.0)
    previous_end = -1.0
    for note in notes:
        consonant, vowel = note.text[:-1], note.text[-1]
        a, b = (int(x * _CONTROL) for x in (note.start, note.start + note.length))
        pitch[a:] = note.pitch + rng.normal(0, 0.06)
        # A new phrase is reached from below.
        if note.start - previous_end > 0.2:
            pitch[a : a + int(0.06 * _CONTROL)] -= rng.uniform(0.5, 1.5)
        level[a:b] = 0.75 + 0.25 * np.hanning(b - a) if b - a > 1 else 0.8
        level[a:b] *= rng.uniform(0.85, 1.1)
        formants[a:] = np.array(_VOWELS[vowel]) * rng.uniform(0.97, 1.03)
        since = np.arange(b - a) / _CONTROL
        vibrato[a:b] = np.clip((since - 0.22) / 0.3, 0, 1)
        if consonant in _VOICED:
            shape, loud = _VOICED[consonant]
            c = min(b, a + int(0.07 * _CONTROL))
            formants[a:c], level[a:c] = shape, level[a:c] * loud
        elif consonant in _NOISE:
            mid, wide, long, loud = _NOISE[consonant]
            c = min(b, a + int(long * _CONTROL))
            level[a:c], noise[a:c], centre[a:c], width[a:c] = 0.0, loud, mid, wide
        previous_end = note.start + note.length
    time = np.arange(steps) / _CONTROL
    level, noise = _smooth(level, 0.030), _smooth(noise, 0.015)
    pitch = _smooth(pitch, 0.070)
    formants = np.stack([_smooth(column, 0.060) for column in formants.T], axis=1)
    drift = _smooth(rng.normal(0, 1, steps), 0.25) * 1.2 + _smooth(rng.normal(0, 1, steps), 0.012) * 0.09
    rate_of_vibrato = 5.4 + 0.3 * np.sin(2 * np.pi * 0.13 * time)
    wobble = np.sin(2 * np.pi * np.cumsum(rate_of_vibrato) / _CONTROL)
    hertz = 440 * 2 ** ((pitch - 69 + 0.42 * vibrato * wobble + 0.08 * drift) / 12)
    tremolo = 1 + 0.07 * vibrato * np.sin(2 * np.pi * np.cumsum(rate_of_vibrato) / _CONTROL + 1.0)

    at = np.arange(frames) / rate
    pulses = _glottis(np.interp(at, time, hertz) / rate)
    pulses *= np.interp(at, time, level * tremolo)
    pulses *= 1 + 0.06 * np.interp(at, time, _smooth(rng.normal(0, 1, steps), 0.008))
    breath = rng.standard_normal(frames, np.float32)
    voiced = (pulses + 0.035 * breath * np.interp(at, time, level)).astype(np.float32)
    hiss = (breath * np.interp(at, time, noise)).astype(np.float32)

    size = 1 << round(np.log2(rate * 0.0232))
    hop = size // 4
    count = -(-frames // hop) + 6
    when = (np.arange(count) - 2) * hop / rate
    bins = np.fft.rfftfreq(size, 1 / rate).astype(np.float32)
    moved = [np.interp(when, time, column).astype(np.float32) for column in formants.T]
    throat = np.ones((count, len(bins)), np.complex64)
    for middle, band in zip(moved, _BANDWIDTHS, strict=True):
        square = (middle * middle)[:, None]
        throat *= (1 + bins * bins / square) ** 0.5
        throat *= square / (square - bins * bins + 1j * np.float32(band) * bins)
    # What the formants above the fifth, left out here, would hold up.
    throat *= (1 + (bins / 4800) ** 4) ** 0.85
    fc, bw = np.interp(when, time, centre)[:, None], np.interp(when, time, width)[:, None]
    teeth = (8.0 / (1 + ((bins - fc) / bw) ** 4)).astype(np.float32)
    sound = _filter(voiced, throat, size, hop) + _filter(hiss, teeth, size, hop)
    power = float(np.sqrt(np.mean(sound * sound))) or 1.0
    return (sound * (0.1 / power)).astype(np.float32)


def _glottis(step: Track) -> Track:
    """The derivative of a Rosenberg pulse, its edge band-limited, for a phase advance per sample."""
    phase = np.cumsum(step) % 1.0
    rise, fall = 0.42, 0.16
    opening = np.sin(np.pi * phase / rise) * (np.pi / 2 / rise) * (phase < rise)
    closing = (phase >= rise) & (phase < rise + fall)
    edge = np.pi / 2 / fall
    wave = opening - closing * edge * np.sin(np.pi / 2 * (phase - rise) / fall)
    # PolyBLEP: spread the jump back to zero over two samples, so that it does not alias.
    after = (phase - rise - fall) % 1.0
    early, late = after > 1 - step, after < step
    x = np.where(early, (after - 1) / step, after / step)
    wave += edge * 0.5 * np.where(early, (x + 1) ** 2, np.where(late, -((1 - x) ** 2), 0.0))
    return np.asarray(wave * 0.2)


def _filter(signal: Signal, response: NDArray[np.inexact], size: int, hop: int) -> Signal:
    """Multiply short-time spectra: a filter that moves with time."""
    window = np.sqrt(np.hanning(size + 1)[:-1]).astype(np.float32)
    count = len(response)
    padded = np.zeros((count - 1) * hop + size, np.float32)
    lead = size // 2 + 2 * hop
    padded[lead : lead + len(signal)] = signal
    cut = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    out = np.zeros_like(padded)
    alive = np.flatnonzero(np.abs(cut).max(axis=1) > 1e-7)
    for group in np.array_split(alive, max(1, len(alive) // 512)):
        spectra = np.fft.rfft(cut[group] * window) * response[group]
        pieces = np.fft.irfft(spectra, size).astype(np.float32) * window
        for piece, number in zip(pieces, group, strict=True):
            out[number * hop : number * hop + size] += piece
    return out[lead : lead + len(signal)] * np.float32(0.5)


def _smooth(track: Track, seconds: float) -> Track:
    """Convolve a control track with a bell of the given length."""
    bell = np.hanning(max(3, round(seconds * _CONTROL)) + 2)
    half = len(bell) // 2
    padded = np.pad(track, (half, len(bell) - 1 - half), mode="edge")
    return np.convolve(padded, bell / bell.sum(), "valid")
