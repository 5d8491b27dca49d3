"""The demo song's band: drum hits, plucked and struck notes, and a room for them. numpy alone.

Every function returns one sound as float32 (frames,), about full scale at its loudest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]


def hertz(note: float) -> float:
    """Frequency of a MIDI note."""
    return float(440 * 2 ** ((note - 69) / 12))


def kick(rate: int, rng: np.random.Generator) -> Signal:
    """A bass drum: a tone that falls to 50 Hz, and the beater's click."""
    t = _time(0.38, rate)
    body = np.sin(2 * np.pi * np.cumsum(50 + 110 * np.exp(-t / 0.028)) / rate) * np.exp(-t / 0.12)
    click = band(rng.standard_normal(len(t)), rate, 1500, 6000) * np.exp(-t / 0.006)
    return _finish(body + 0.25 * click)


def snare(rate: int, rng: np.random.Generator) -> Signal:
    """A snare drum: two modes of the skin, and wires."""
    t = _time(0.32, rate)
    skin = np.sin(2 * np.pi * (188 * t + 0.9 * (1 - np.exp(-t / 0.02)))) * np.exp(-t / 0.075)
    skin += 0.6 * np.sin(2 * np.pi * 331 * t) * np.exp(-t / 0.045)
    wires = band(rng.standard_normal(len(t)), rate, 350, 7500)
    return _finish(skin + 0.7 * wires * (np.exp(-t / 0.09) + 0.6 * np.exp(-t / 0.012)))


def tom(rate: int, rng: np.random.Generator, pitch: float) -> Signal:
    """A tom of the given pitch in Hz."""
    t = _time(0.5, rate)
    body = np.sin(2 * np.pi * np.cumsum(pitch * (1 + 0.5 * np.exp(-t / 0.04))) / rate) * np.exp(-t / 0.16)
    return _finish(body + 0.2 * band(rng.standard_normal(len(t)), rate, 400, 5000) * np.exp(-t / 0.012))


def cymbal(rate: int, rng: np.random.Generator, decay: float, low: float) -> Signal:
    """Hi-hat (decay 0.03 to 0.2 s) or crash (1 s): noise and many inharmonic partials above ``low`` Hz."""
    t = _time(min(5 * decay, 3.0), rate)
    metal = np.zeros_like(t)
    for partial in low * rng.uniform(1.0, 3.2, 10):
        metal += np.sin(2 * np.pi * partial * t + rng.uniform(0, 6.28))
    noise = band(rng.standard_normal(len(t)), rate, low, 11000)
    return _finish((noise + 0.12 * metal) * np.exp(-t / decay) * (1 - np.exp(-t / 0.0008)))


def pluck(
    note: float,
    seconds: float,
    rate: int,
    *,
    partials: int,
    place: float,
    tilt: float,
    decay: float,
    damping: float,
) -> Signal:
    """A plucked string.

    Parameters
    ----------
    note : float
        MIDI note.
    seconds : float
    rate : int
    partials : int
    place : float
        Where it is plucked, as a part of the string: partials with a node there are missing.
    tilt : float
        Partials start at 1 / k ** tilt.
    decay, damping : float
        The k-th partial fades with ``decay + damping * k`` per second: the tone grows duller.
    """
    t = _time(seconds, rate)
    base = hertz(note)
    count = min(partials, int(0.45 * rate / base))
    step = np.exp((2j * np.pi * base - damping) * t).astype(np.complex64)
    power = np.exp(-decay * t).astype(np.complex64)
    out = np.zeros(len(t), np.float32)
    for k in range(1, count + 1):
        power *= step
        out += np.float32(np.sin(np.pi * k * place) / k**tilt) * power.imag
    fade = np.minimum(1.0, (seconds - t) / 0.02) * np.minimum(1.0, t / 0.002)
    return _finish(out * fade)


def electric_piano(note: float, seconds: float, rate: int) -> Signal:
    """Tine and bar: a tone whose overtones, by frequency modulation, fade faster than itself."""
    t = _time(seconds, rate)
    base = 2 * np.pi * hertz(note)
    bark = 1.4 * np.exp(-t / 0.35) + 0.25
    tone = np.sin(base * t + bark * np.sin(base * t)) + 0.15 * np.sin(base * 7.02 * t) * np.exp(-t / 0.06)
    fade = np.minimum(1.0, (seconds - t) / 0.05) * np.minimum(1.0, t / 0.003)
    return _finish(tone * np.exp(-t / 1.1) * fade)


def pad(notes: tuple[int, ...], seconds: float, rate: int, detune: float) -> Signal:
    """Soft, slightly detuned strings that swell and fade."""
    t = _time(seconds, rate)
    out = np.zeros(len(t), np.float32)
    for note in notes:
        for side in (1 - detune, 1 + detune):
            step = np.exp(2j * np.pi * hertz(note) * side * t).astype(np.complex64)
            power = np.ones(len(t), np.complex64)
            for k in range(1, 13):
                power *= step
                out += np.float32(1 / k**0.9) * power.imag
    swell = np.minimum(1.0, t / 0.35) * np.minimum(1.0, (seconds - t) / 0.3)
    return _finish(out * swell)


def band(signal: NDArray[np.floating], rate: int, low: float, high: float) -> NDArray[np.float64]:
    """Keep what lies between two frequencies in Hz, with gentle slopes; the RMS becomes one."""
    spectrum = np.fft.rfft(signal)
    at = np.fft.rfftfreq(len(signal), 1 / rate) + 1e-3
    spectrum *= 1 / np.sqrt((1 + (low / at) ** 6) * (1 + (at / high) ** 6))
    out = np.fft.irfft(spectrum, len(signal))
    return np.asarray(out / (np.sqrt(np.mean(out * out)) + 1e-12))


def room(signal: Signal, rate: int, seconds: float, rng: np.random.Generator) -> Signal:
    """The reverberation of a mono signal, without the signal itself.

    Returns
    -------
    ndarray
        float32, shape (frames, 2), as loud as the signal.
    """
    length = round(seconds * rate)
    t = np.arange(length) / rate
    impulse = rng.standard_normal((2, length), np.float32)
    impulse *= (np.exp(-6.9 * t / seconds) * (t > 0.012)).astype(np.float32)
    size = -(-(len(signal) + length) // 65536) * 65536
    at = np.fft.rfftfreq(size, 1 / rate) + 1e-3
    # Walls swallow the top, and the send leaves the bottom out.
    colour = (1 / np.sqrt((1 + (250 / at) ** 4) * (1 + (at / 5000) ** 2))).astype(np.float32)
    sent = np.fft.rfft(signal, size) * colour
    wet = np.stack([np.fft.irfft(sent * np.fft.rfft(side, size), size)[: len(signal)] for side in impulse])
    loud = np.sqrt(np.mean(np.square(signal))) / (np.sqrt(np.mean(np.square(wet))) + 1e-12)
    return np.asarray(wet.T * loud, np.float32)


def _time(seconds: float, rate: int) -> NDArray[np.float64]:
    return np.arange(round(seconds * rate)) / rate


def _finish(signal: NDArray[np.floating]) -> Signal:
    return np.asarray(signal / (np.abs(signal).max() + 1e-12), np.float32)
