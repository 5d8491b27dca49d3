"""The demo song: eight bars for voice, drums, bass, guitar, electric piano and pad, made by code.

It needs no file and no network, and every stem is known, so that separation of it can be scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.instruments import cymbal, electric_piano, kick, pad, pluck, room, snare, tom
from qsep_live.audio.voice import Note, sing

Stereo = NDArray[np.float32]

_BEAT = 0.625
_BARS = 8
#: One chord a bar: bass note, guitar strings, keys.
_CHORDS = (
    (28, (40, 47, 52, 55, 59, 64), (55, 59, 64)),
    (36, (48, 52, 55, 60, 64), (55, 60, 64)),
    (31, (43, 47, 50, 55, 59, 67), (55, 59, 62)),
    (38, (50, 57, 62, 66), (54, 57, 62)),
)
#: (start in beats, length in beats, MIDI note, syllable); four phrases with rests between them.
_MELODY = (
    (0.5, 0.5, 59, "sa"), (1.0, 0.5, 62, "ma"), (1.5, 1.0, 64, "li"), (2.5, 0.5, 62, "to"),
    (3.0, 1.0, 64, "na"), (4.0, 1.5, 67, "she"), (5.5, 0.5, 66, "vo"), (6.0, 1.4, 64, "la"),
    (8.5, 0.5, 62, "ki"), (9.0, 0.5, 62, "na"), (9.5, 1.0, 67, "so"), (10.5, 0.5, 66, "me"),
    (11.0, 0.9, 62, "yu"), (12.0, 1.0, 66, "ta"), (13.0, 0.5, 64, "li"), (13.5, 1.7, 62, "mo"),
    (16.5, 0.5, 64, "he"), (17.0, 0.5, 67, "la"), (17.5, 1.0, 71, "si"), (18.5, 0.5, 69, "no"),
    (19.0, 1.0, 67, "ma"), (20.0, 1.5, 67, "fa"), (21.5, 0.5, 64, "ti"), (22.0, 1.4, 67, "yo"),
    (24.5, 0.5, 67, "sha"), (25.0, 0.5, 66, "li"), (25.5, 1.0, 62, "ne"), (26.5, 0.5, 64, "ka"),
    (27.0, 0.9, 66, "vu"), (28.0, 1.0, 69, "so"), (29.0, 0.5, 66, "la"), (29.5, 2.0, 64, "na"),
)  # fmt: skip


@dataclass(frozen=True)
class DemoSong:
    """The song.

    Attributes
    ----------
    mixture : ndarray
        float32, shape (frames, 2), peak -1 dBFS; exactly the sum of the stems, added in their order.
    stems : dict
        vocals, drums, bass, other: each float32, shape (frames, 2).
    rate : int
        Sample rate in Hz.
    """

    mixture: Stereo
    stems: dict[str, Stereo]
    rate: int


def demo_song(seconds: float = 20.0, rate: int = 44100, seed: int = 7) -> DemoSong:
    """Make the demo song.

    Parameters
    ----------
    seconds : float
        Length; the eight bars (20 s) are cut, or played again with other small inaccuracies.
    rate : int
        Sample rate in Hz, 16000 or more.
    seed : int
        Equal arguments give equal samples.
    """
    if seconds <= 0 or rate < 16000:
        raise ValueError(f"a song of {seconds} s at {rate} Hz")
    rng = np.random.default_rng(seed)
    frames = round(seconds * rate)
    bars = int(np.ceil(seconds / (4 * _BEAT)))
    raw = {
        "vocals": _vocals(bars, rate, rng),
        "drums": _drums(bars, rate, rng),
        "bass": _bass(bars, rate, rng),
        "other": _other(bars, rate, rng),
    }
    levels = {"vocals": -18.5, "drums": -20.5, "bass": -21.0, "other": -20.5}
    stems = {}
    for name, sound in raw.items():
        power = np.sqrt(np.mean(np.square(sound, dtype=np.float64))) + 1e-12
        stems[name] = (sound[:frames] * (10 ** (levels[name] / 20) / power)).astype(np.float32)
    return _master(stems, rate)


def _master(stems: dict[str, Stereo], rate: int) -> DemoSong:
    """Limit the mix and fade its end by one gain curve for all stems, so that they still add up to it."""
    mix = np.sum([stem.astype(np.float64) for stem in stems.values()], axis=0)
    peak = np.abs(mix).max(axis=1)
    block = max(1, round(0.002 * rate))
    count = -(-len(peak) // block)
    highest = np.pad(peak, (0, count * block - len(peak))).reshape(count, block).max(axis=1)
    wide = np.lib.stride_tricks.sliding_window_view(np.pad(highest, 12, mode="edge"), 25).max(axis=1)
    ceiling = 1.0
    wanted = np.minimum(1.0, ceiling / np.maximum(wide, 1e-9))
    bell = np.hanning(19)[1:-1]
    smooth = np.convolve(np.pad(wanted, 8, mode="edge"), bell / bell.sum(), "valid")
    gain = np.interp(np.arange(len(peak)), (np.arange(count) + 0.5) * block, smooth)
    fade = min(len(gain), round(0.05 * rate))
    gain[len(gain) - fade :] *= np.linspace(1, 0, fade) ** 2
    top = float((peak * gain).max()) or 1.0
    gain = (gain * (10 ** (-1 / 20) / top))[:, None]
    done = {name: (stem * gain).astype(np.float32) for name, stem in stems.items()}
    mixture = np.zeros_like(mix, np.float32)
    for stem in done.values():
        mixture += stem
    return DemoSong(mixture, done, rate)


class _Track:
    """A stereo line that sounds are added to."""

    def __init__(self, bars: int, rate: int) -> None:
        self.rate = rate
        self.sound = np.zeros((round((bars * 4 * _BEAT + 3.0) * rate), 2), np.float32)

    def add(self, beat: float, sound: NDArray[np.float32], level: float, place: float = 0.0) -> None:
        """Add a mono sound at a beat; place from -1 (left) to 1 (right), with constant power."""
        start = max(0, round(beat * _BEAT * self.rate))
        angle = (place + 1) * np.pi / 4
        part = self.sound[start : start + len(sound)]
        gains = np.array([np.cos(angle), np.sin(angle)], np.float32) * np.float32(level)
        part += sound[: len(part), None] * gains

    def reverberated(self, amount: float, seconds: float, rng: np.random.Generator) -> Stereo:
        """The line with a room around it, without the three spare seconds at its end."""
        wet = room(self.sound.mean(axis=1), self.rate, seconds, rng)
        return (self.sound + np.float32(amount) * wet)[: -3 * self.rate]


def _vocals(bars: int, rate: int, rng: np.random.Generator) -> Stereo:
    notes = []
    for first in range(0, bars, _BARS):
        for beat, length, pitch, text in _MELODY:
            start = (beat + 4 * first) * _BEAT + rng.normal(0, 0.008)
            if start + 0.1 < bars * 4 * _BEAT:
                notes.append(Note(max(0.0, start), length * _BEAT - 0.015, pitch, text))
    track = _Track(bars, rate)
    voice = sing(notes, bars * 4 * _BEAT, rate, rng)
    track.add(0.0, voice, 1.0)
    track.add(0.25, voice, 0.08, 0.4)
    return track.reverberated(0.22, 1.4, rng)


def _drums(bars: int, rate: int, rng: np.random.Generator) -> Stereo:
    track = _Track(bars, rate)
    hats = [cymbal(rate, rng, decay, 6500) for decay in (0.028, 0.034, 0.03)]
    kicks, snares = [kick(rate, rng) for _ in range(2)], [snare(rate, rng) for _ in range(3)]
    open_hat, crash = cymbal(rate, rng, 0.16, 6000), cymbal(rate, rng, 0.75, 3200)
    toms = [tom(rate, rng, pitch) for pitch in (165.0, 125.0, 92.0)]

    def hit(beat: float, sound: NDArray[np.float32], level: float, place: float) -> None:
        late = rng.normal(0, 0.004) / _BEAT
        track.add(beat + late, sound, level * rng.uniform(0.85, 1.1), place)

    for bar in range(bars):
        beat, fill = 4.0 * bar, bar % 4 == 3
        if bar % 4 == 0:
            hit(beat, crash, 0.40, 0.35)
        for offset in (0.0, 1.5, 2.0) if bar % 2 == 0 else (0.0, 2.0, 2.75):
            hit(beat + offset, kicks[bar % 2], 1.0, 0.0)
        for offset in (1.0,) if fill else (1.0, 3.0):
            hit(beat + offset, snares[int(rng.integers(3))], 0.75, -0.05)
        for eighth in range(6 if fill else 8):
            last = eighth == 7 and bar % 2 == 1
            loud = 0.20 if eighth % 2 == 0 else 0.13
            hit(beat + eighth / 2, open_hat if last else hats[int(rng.integers(3))], loud, -0.3)
        if fill:
            for number, drum in enumerate((snares[0], toms[0], toms[0], toms[1], toms[1], toms[2])):
                hit(beat + 3 + (number - 2) / 4 + 0.25, drum, 0.6, 0.4 - 0.16 * number)
    return track.reverberated(0.12, 0.5, rng)


def _bass(bars: int, rate: int, rng: np.random.Generator) -> Stereo:
    track = _Track(bars, rate)
    pattern = ((0.0, 0, 1.4), (1.5, 0, 0.5), (2.0, 0, 0.9), (3.0, 7, 0.5), (3.5, 12, 0.5))
    made: dict[tuple[int, float], NDArray[np.float32]] = {}
    for bar in range(bars):
        root = _CHORDS[bar % 4][0]
        for beat, up, length in pattern:
            key = (root + up, length)
            if key not in made:
                made[key] = pluck(
                    root + up,
                    length * _BEAT,
                    rate,
                    partials=24,
                    place=0.18,
                    tilt=1.5,
                    decay=1.2,
                    damping=1.2,
                )
            track.add(4 * bar + beat + rng.normal(0, 0.006), made[key], rng.uniform(0.85, 1.0))
    return track.sound[: -3 * rate]


def _other(bars: int, rate: int, rng: np.random.Generator) -> Stereo:
    track = _Track(bars, rate)
    strings: dict[int, NDArray[np.float32]] = {}
    for _, notes, _ in _CHORDS:
        for note in notes:
            if note not in strings:
                strings[note] = pluck(note, 1.3, rate, partials=36, place=0.13, tilt=0.2, decay=1.4, damping=0.2)
    keys = {n: electric_piano(n, 1.9 * _BEAT, rate) for _, _, notes in _CHORDS for n in notes}
    pads = [[pad(c[2], 4 * _BEAT, rate, wide) for wide in (0.0015, 0.0027)] for c in _CHORDS]
    strums = ((0.0, 1.0, 1), (1.0, 0.7, 1), (1.5, 0.55, -1), (2.5, 0.6, -1), (3.0, 0.85, 1), (3.5, 0.55, -1))
    for bar in range(bars):
        _, notes, chord = _CHORDS[bar % 4]
        for beat, level, way in strums:
            loud = level * rng.uniform(0.85, 1.1) * 0.5
            for number, note in enumerate(notes[::way]):
                late = (0.009 * number + abs(rng.normal(0, 0.003))) / _BEAT
                track.add(4 * bar + beat + late, strings[note], loud * rng.uniform(0.8, 1.0), -0.55)
        for beat in (0.0, 2.0) if bar % 2 == 0 else (0.0, 1.5, 3.0):
            for note in chord:
                track.add(4 * bar + beat + rng.normal(0, 0.006), keys[note], 0.2, 0.5)
        for side, sound in zip((-0.9, 0.9), pads[bar % 4], strict=True):
            track.add(4 * bar, sound, 0.09, side)
    return track.reverberated(0.15, 1.1, rng)
