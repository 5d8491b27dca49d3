"""Augmentation: what stretches little data. Each kind has a share of the sounds that it happens to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import MODEL_RATE

if TYPE_CHECKING:
    import pedalboard

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class AugmentConfig:
    """Shares, 0 (paper) to 1, and ranges.

    Attributes
    ----------
    speed, pitch, tempo
        Played faster or slower (pitch and tempo together: cheap), shifted in pitch alone, or stretched in time alone
        (Rubber Band through pedalboard: some 50 ms a sound each).
    semitones
        The largest change of each.
    polarity, swap
        The sign is turned; left and right change places.
    pan
        Moved to a side by weakening the other, by up to three quarters.
    equaliser
        A low shelf, a peak and a high shelf, each up to ``equaliser_db`` up or down.
    reverb
        A room of any size, up to a third wet.
    silence
        A stretch of up to half the sound is silent.
    """

    speed: float = 0.0
    pitch: float = 0.0
    tempo: float = 0.0
    semitones: float = 3.0
    polarity: float = 0.0
    swap: float = 0.0
    pan: float = 0.0
    equaliser: float = 0.0
    equaliser_db: float = 6.0
    reverb: float = 0.0
    silence: float = 0.0


@dataclass(frozen=True)
class Variation:
    """What happens to one sound, or to all the sounds of one song alike."""

    speed: float = 1.0
    semitones: float = 0.0
    tempo: float = 1.0
    turned: bool = False
    swapped: bool = False
    balance: float = 0.0
    equaliser: tuple[float, float, float, float] | None = None
    reverb: tuple[float, float, float] | None = None
    silent: tuple[float, float] | None = None


class Augment:
    """Draws variations and applies them."""

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config

    def variation(self, random: np.random.Generator) -> Variation:
        """One variation; which numbers are drawn does not depend on what is switched on."""
        config = self.config
        happens = random.random(9)
        speed, pitch, tempo = random.uniform(-config.semitones, config.semitones, 3)
        low, peak, high = random.uniform(-config.equaliser_db, config.equaliser_db, 3)
        place = float(np.exp(random.uniform(np.log(200.0), np.log(5000.0))))
        room, damping, wet = random.uniform((0.1, 0.0, 0.05), (0.9, 1.0, 0.33))
        balance = random.uniform(-0.75, 0.75)
        length = random.uniform(0.1, 0.5)
        start = random.uniform(0.0, 1.0 - length)
        return Variation(
            speed=float(2.0 ** (speed / 12)) if happens[0] < config.speed else 1.0,
            semitones=float(pitch) if happens[1] < config.pitch else 0.0,
            tempo=float(2.0 ** (tempo / 12)) if happens[2] < config.tempo else 1.0,
            turned=bool(happens[3] < config.polarity),
            swapped=bool(happens[4] < config.swap),
            equaliser=(float(low), float(peak), float(high), place) if happens[5] < config.equaliser else None,
            reverb=(float(room), float(damping), float(wet)) if happens[6] < config.reverb else None,
            balance=float(balance) if happens[8] < config.pan else 0.0,
            silent=(float(start), float(start + length)) if happens[7] < config.silence else None,
        )

    def sound(self, sound: Sound, variation: Variation) -> Sound:
        """``sound`` (channels, samples) with everything done to it but its speed, which belongs to the cutting."""
        length = sound.shape[1]
        if variation.semitones or variation.tempo != 1.0:
            sound = _stretched(sound, variation.tempo, variation.semitones)[:, :length]
            sound = np.pad(sound, ((0, 0), (0, length - sound.shape[1])))
        if effects := _effects(variation):
            from pedalboard._pedalboard import Pedalboard

            sound = Pedalboard(effects)(sound, MODEL_RATE)
        if variation.turned:
            sound = -sound
        if variation.swapped:
            sound = sound[::-1]
        if variation.balance and len(sound) == 2:
            left, right = min(1.0, 1.0 - variation.balance), min(1.0, 1.0 + variation.balance)
            sound = sound * np.array([[left], [right]], np.float32)
        if variation.silent is not None:
            start, end = (round(share * length) for share in variation.silent)
            sound = sound.copy()
            sound[:, start:end] = 0.0
        return sound


def _stretched(sound: Sound, tempo: float, semitones: float) -> Sound:
    from pedalboard import time_stretch

    return time_stretch(np.ascontiguousarray(sound), MODEL_RATE, tempo, semitones)


def _effects(variation: Variation) -> list[pedalboard.Plugin]:
    import pedalboard

    effects: list[pedalboard.Plugin] = []
    if variation.equaliser is not None:
        low, peak, high, place = variation.equaliser
        effects += [
            pedalboard.LowShelfFilter(150.0, low),
            pedalboard.PeakFilter(place, peak, 0.7),
            pedalboard.HighShelfFilter(4000.0, high),
        ]
    if variation.reverb is not None:
        room, damping, wet = variation.reverb
        effects.append(pedalboard.Reverb(room, damping, wet, 1.0 - wet))
    return effects
