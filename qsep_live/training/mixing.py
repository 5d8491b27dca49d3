"""Training pairs: mixtures of random classes from random songs, the target group within, and a query (paper §3.4).

Whatever is random in an item comes from (seed, step, item): a run that is resumed, and each rank of a distributed
one, sees what one uninterrupted process would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import SEGMENT
from qsep_live.errors import QsepError
from qsep_live.training.augment import Augment, AugmentConfig
from qsep_live.training.songs import CLASSES, Bank, Song, require_classes

Sound = NDArray[np.float32]
SILENT = 1e-3
"""RMS under which a sound counts as silent, −60 dBFS."""
DRAWN_AT_ONCE = 4
"""Classes that a pair is made of where there are more (paper §3.4)."""
_TRIES = 200


@dataclass(frozen=True)
class MixingConfig:
    """How pairs are drawn.

    Attributes
    ----------
    classes
        What is mixed. Where there are more than four, each pair draws four of them.
    channels
        1: each stem's left, right or mean by chance, as the paper separates channels one by one. 2: stereo.
    keep
        Probability that a class sounds at all: α ~ Bernoulli(keep). Paper: 0.5.
    gain
        Range of β. Paper: [0.25, 1.25].
    single_target
        Share of the pairs whose target group is one class; the rest draw every class to T or R by a fair coin
        (paper: always).
    coherent, coherent_gain
        Share of the pairs whose classes all come from one song and place, and their range of β. A class that the song
        has not got comes from another, as long as it is only one. Paper: 0.
    elsewhere
        Share of the single-class pairs whose query is another place of the target's song, or another song's sound of
        that class, by a fair coin: a latent then says what kind of sound is meant, not which notes. Paper: 0.
    mono
        Share of the stereo pairs that are folded to mono, as many inputs are.
    fine
        Share of the pairs whose target is one fine class ("other/guitar") and whose rest has, beside the other
        classes, another fine class of the same coarse class. Paper: 0.
    anchors
        How many of the classes are asked for in the same mixture beside the target, each by its mean latent. One pass
        of the encoder serves them all, and what tells the answers apart is the latent alone. Paper: 0.
    doubled
        Share of the sounds, where classes come from random songs, that a second sound of the same class joins: two
        singers, two guitars. Paper: 0.
    hidden, hidden_share
        Of this share of the pairs up to ``hidden`` of the newest frames are not heard, and asked for all the same: what
        is learned is to say the gains of frames that are yet to come. Paper: 0.
    """

    classes: tuple[str, ...] = CLASSES
    channels: int = 1
    keep: float = 0.5
    gain: tuple[float, float] = (0.25, 1.25)
    single_target: float = 0.0
    coherent: float = 0.0
    coherent_gain: tuple[float, float] = (0.25, 1.25)
    elsewhere: float = 0.0
    fine: float = 0.0
    mono: float = 0.0
    anchors: int = 0
    doubled: float = 0.0
    hidden: int = 0
    hidden_share: float = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class Pair:
    """Mixture m = s_T + s_R, target s_T, and what the target is asked for with; each float32 (channels, SEGMENT).

    ``stems`` (anchors, channels, SEGMENT) is what some whole classes sound like in the mixture, silence included, and
    ``named`` (anchors,) int64 says which of `MixingConfig.classes` they are. ``hidden`` () int64 is how many of the
    newest frames the network does not hear.
    """

    mixture: Sound
    target: Sound
    query: Sound
    stems: Sound
    named: NDArray[np.int64]
    hidden: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))


@dataclass(frozen=True)
class Batch:
    """Pairs, stacked: each with ``size`` as its first axis."""

    mixture: Sound
    target: Sound
    query: Sound
    stems: Sound
    named: NDArray[np.int64]
    hidden: NDArray[np.int64]


@dataclass(frozen=True)
class _Place:
    """Where a segment lies in a song, 0 to 1, and which channel is heard of a stereo stem: thirds of 0 to 1."""

    start: float
    channel: float

    @classmethod
    def drawn(cls, random: np.random.Generator) -> _Place:
        return cls(random.random(), random.random())


class Mixer:
    """Draws pairs from banks of stems.

    Raises
    ------
    UsageError
        A class has no stem in any bank.
    """

    def __init__(self, banks: Sequence[Bank], config: MixingConfig, seed: int) -> None:
        require_classes(banks, config.classes)
        self.config, self.seed = config, seed
        self._augment = Augment(config.augment)
        self._sources = {name: _holding(banks, (name,)) for name in config.classes}
        self._aligned = _aligned(banks, config.classes) if config.coherent else []
        fine = [name for name in sorted({n for bank in banks for n in bank.fine()}) if _coarse(name) in config.classes]
        self._fine = {name: _holding(banks, (name,)) for name in fine} if config.fine else {}
        self._siblings = {a: [b for b in self._fine if b != a and _coarse(b) == _coarse(a)] for a in self._fine}

    def batch(self, size: int, step: int, first: int = 0) -> Batch:
        """Items ``first`` to ``first + size`` of step ``step``."""
        pairs = [self.pair(np.random.default_rng((self.seed, step, item))) for item in range(first, first + size)]
        return Batch(*(np.stack([getattr(pair, each.name) for pair in pairs]) for each in fields(Batch)))

    def pair(self, random: np.random.Generator) -> Pair:
        """One pair.

        A silent target teaches nothing, since no query could stand for it: such a pair is drawn again.
        """
        for _ in range(_TRIES):
            pair = self._fine_pair(random) if random.random() < self._fine_share else self._coarse_pair(random)
            if _audible(pair.target):
                pair = replace(pair, hidden=self._hidden(random))
                return _folded(pair) if random.random() < self.config.mono else pair
        raise QsepError(f"of {_TRIES} pairs drawn every target was silent: the stems have no sound to learn from")

    def segment(self, name: str, random: np.random.Generator) -> Sound:
        """Three seconds of one class, audible where the song has any such, (channels, SEGMENT)."""
        return self._from(self._sources[name], name, random)[0]

    def sound(self, song: Song, name: str, random: np.random.Generator) -> Sound:
        """Three seconds of one class of a song, augmented, (channels, SEGMENT)."""
        return self._from([(1.0, [song])], name, random)[0]

    @property
    def _fine_share(self) -> float:
        return self.config.fine if any(self._siblings.values()) else 0.0

    def _coarse_pair(self, random: np.random.Generator) -> Pair:
        config = self.config
        names = list(config.classes)
        if len(names) > DRAWN_AT_ONCE:
            names = [names[i] for i in random.choice(len(names), DRAWN_AT_ONCE, replace=False)]
        coherent = bool(self._aligned) and random.random() < config.coherent
        heard = {name: random.random() < config.keep for name in names}
        single = random.random() < config.single_target
        chosen = names[int(random.integers(len(names)))]
        if single:
            in_target = {name: name == chosen for name in names}
            heard[chosen] = True
        else:
            in_target = {name: random.random() < 0.5 for name in names}
        song = _draw(self._aligned, random) if coherent else None
        place, variation = _Place.drawn(random), self._augment.variation(random)
        target, rest = self._silence(), self._silence()
        stems: dict[str, Sound] = {}
        origin = song
        for name in names:
            if not heard[name]:
                continue
            if song is not None and song.of(name) is not None:
                sound = self._augment.sound(self._cut(song, name, place, variation.speed), variation)
                source = song
            else:
                sound, source = self._from(self._sources[name], name, random)
                if song is None and random.random() < config.doubled:
                    sound = sound + np.float32(random.uniform(0.3, 1.0)) * self.segment(name, random)
            stems[name] = np.float32(random.uniform(*(config.coherent_gain if coherent else config.gain))) * sound
            group = target if in_target[name] else rest
            group += stems[name]
            if name == chosen:
                origin = source
        if single and origin is not None and random.random() < config.elsewhere:
            query = self._elsewhere(chosen, origin, self._sources[chosen], random)
        else:
            query = target
        return Pair(target + rest, target, query, *self._anchors(stems, random))

    def _fine_pair(self, random: np.random.Generator) -> Pair:
        config = self.config
        wanted = [name for name, siblings in self._siblings.items() if siblings]
        name = wanted[int(random.integers(len(wanted)))]
        sibling = self._siblings[name][int(random.integers(len(self._siblings[name])))]
        sound, song = self._from(self._fine[name], name, random)
        target = np.float32(random.uniform(*config.gain)) * sound
        rest = np.float32(random.uniform(*config.gain)) * self._from(self._fine[sibling], sibling, random)[0]
        stems = {_coarse(name): target + rest}
        for other in config.classes:
            if other != _coarse(name) and random.random() < config.keep:
                stems[other] = np.float32(random.uniform(*config.gain)) * self.segment(other, random)
                rest = rest + stems[other]
        query = target
        if random.random() < config.elsewhere:
            query = self._elsewhere(name, song, self._fine[name], random)
        return Pair(target + rest, target, query, *self._anchors(stems, random))

    def _anchors(self, stems: Mapping[str, Sound], random: np.random.Generator) -> tuple[Sound, NDArray[np.int64]]:
        """Some classes, in the order that they are listed, and what they sound like; silence where they do not."""
        classes = self.config.classes
        named = np.zeros(0, np.int64)
        if self.config.anchors:
            named = np.sort(random.choice(len(classes), min(self.config.anchors, len(classes)), replace=False))
        sounds = [stems.get(classes[i], self._silence()) for i in named]
        return np.stack([*sounds, self._silence()])[: len(named)], named

    def _elsewhere(
        self, name: str, song: Song, sources: Sequence[tuple[float, Sequence[Song]]], random: np.random.Generator
    ) -> Sound:
        if random.random() < 0.5:
            sources = [(1.0, [song])]
        return self._from(sources, name, random)[0]

    def _from(
        self, sources: Sequence[tuple[float, Sequence[Song]]], name: str, random: np.random.Generator
    ) -> tuple[Sound, Song]:
        """An augmented sound of a class, audible if a few tries find one, and its song."""
        for _ in range(8):
            song = _draw(sources, random)
            variation = self._augment.variation(random)
            sound = self._cut(song, name, _Place.drawn(random), variation.speed)
            if _audible(sound):
                break
        return self._augment.sound(sound, variation), song

    def _hidden(self, random: np.random.Generator) -> NDArray[np.int64]:
        config = self.config
        happens = config.hidden > 0 and random.random() < config.hidden_share
        return np.array(random.integers(1, config.hidden + 1) if happens else 0, np.int64)

    def _silence(self) -> Sound:
        return np.zeros((self.config.channels, SEGMENT), np.float32)

    def _cut(self, song: Song, name: str, place: _Place, speed: float) -> Sound:
        """SEGMENT samples of a stem played ``speed`` times as fast."""
        stem = song.of(name)
        assert stem is not None
        length = int(np.ceil(SEGMENT * speed)) + 1
        start = int(place.start * max(0, song.samples - length))
        piece = stem[:, start : start + length]
        if piece.shape[1] < length:
            piece = _longer(piece, length, alone=len(song.stems) == 1)
        if self.config.channels == 1 and len(piece) > 1:
            channel = int(place.channel * 3)
            piece = piece[channel : channel + 1] if channel < 2 else piece.mean(axis=0, keepdims=True)
        sound = np.divide(piece, 32768, dtype=np.float32)
        if speed == 1.0:
            sound = sound[:, :SEGMENT]
        else:
            at = np.arange(SEGMENT) * speed
            sound = np.stack([np.interp(at, np.arange(length), row).astype(np.float32) for row in sound])
        return np.repeat(sound, self.config.channels, axis=0) if len(sound) < self.config.channels else sound


def _folded(pair: Pair) -> Pair:
    mono = {
        name: sound.mean(axis=-2, keepdims=True).repeat(sound.shape[-2], axis=-2)
        for name, sound in vars(pair).items()
        if name not in ("named", "hidden")
    }
    return replace(pair, **mono)


def _longer(piece: NDArray[np.int16], length: int, alone: bool) -> NDArray[np.int16]:
    """A stem of its own is repeated; one that belongs to others is followed by silence."""
    if alone:
        return np.tile(piece, (1, -(-length // piece.shape[1])))[:, :length]
    return np.pad(piece, ((0, 0), (0, length - piece.shape[1])))


def _holding(banks: Sequence[Bank], names: Sequence[str]) -> list[tuple[float, list[Song]]]:
    """Weight and songs of each bank that has songs with all of ``names``."""
    found = [(bank.weight, bank.holding(names)) for bank in banks]
    return [(weight, songs) for weight, songs in found if songs and weight > 0.0]


def _aligned(banks: Sequence[Bank], names: Sequence[str]) -> list[tuple[float, list[Song]]]:
    """As `_holding`, of songs that have all of ``names``, or, where there are three or more, all but one."""
    most = max(2, len(names) - 1) if len(names) > 1 else 1
    found = [
        (bank.weight, [song for song in bank.songs if sum(song.of(name) is not None for name in names) >= most])
        for bank in banks
        if not bank.instruments
    ]
    return [(weight, songs) for weight, songs in found if songs and weight > 0.0]


def _draw(sources: Sequence[tuple[float, Sequence[Song]]], random: np.random.Generator) -> Song:
    weights = np.array([weight for weight, _ in sources])
    songs = sources[int(random.choice(len(sources), p=weights / weights.sum()))][1]
    return songs[int(random.integers(len(songs)))]


def _coarse(name: str) -> str:
    return name.partition("/")[0]


def _audible(sound: Sound) -> bool:
    return float(np.sqrt(np.mean(np.square(sound)))) > SILENT
