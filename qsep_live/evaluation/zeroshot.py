"""Zero-shot (paper §4.4): instruments picked out by queries of other recordings, and by presets of their name.

The paper's model had been trained on four classes only. A model that has been trained with ``--instruments`` has heard
hi-hats and pianos by themselves; of it this tells how good its instruments are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError, UsageError
from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.oracle import oracle_estimates, stft
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.rendering import rendered
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.sdr import Metric, median, track_scores
from qsep_live.evaluation.tracks import Tell, Track, quiet

CASES: dict[str, tuple[str, ...]] = {
    "hi-hat": ("hi-hat", "kick", "bass"),
    "piano": ("piano", "guitar"),
    "kick": ("kick", "hi-hat", "bass"),
    "snare": ("snare", "kick", "piano"),
    "guitar": ("guitar", "piano"),
    "strings": ("strings", "piano"),
    "brass": ("brass", "guitar"),
    "winds": ("winds", "guitar"),
    "organ": ("organ", "guitar"),
    "synth": ("synth", "piano"),
}
"""What is looked for, and what it is mixed with; each name a folder of sounds. The first two are the paper's."""
RATE = 44_100
SECONDS = 6.0
LEVEL = 0.1
"""Root mean square of every instrument in a mixture."""
QUERY = "query"
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus")
Audio = NDArray[np.float32]


@dataclass(frozen=True)
class ZeroShotMixtures:
    """Mixtures made of a folder of sounds, ``ROOT/**/INSTRUMENT/**``; as many of each case.

    Half of a class's files, drawn by ``seed``, go into mixtures, the other half into queries, so no query has a sound
    of its mixture. Files shorter than a mixture follow one another. A folder's name may be written with or without
    hyphens, spaces and capitals.

    Raises
    ------
    UsageError
        No case has all its folders there, or one has fewer than two sounds. All methods.
    """

    root: Path
    mixtures: int = 8
    seed: int = 0

    @property
    def label(self) -> str:
        return f"{self.mixtures} mixtures of {SECONDS:g} s for each case, seed {self.seed}"

    def cases(self) -> list[str]:
        """The cases all of whose folders are there."""
        found = [case for case, names in CASES.items() if all(self._folder(name) for name in names)]
        if not found:
            wanted = "; or ".join(", ".join(CASES[case]) for case in ("hi-hat", "piano"))
            raise UsageError(f"{self.root}: needs folders of sounds called {wanted}")
        return found

    def __len__(self) -> int:
        return len(self.cases()) * self.mixtures

    def __getitem__(self, index: int) -> Track:
        case = self.cases()[index // self.mixtures]
        number = index % self.mixtures
        stems = {name: self._sound(name, number, query=False) for name in CASES[case]}
        query = self._sound(case, number, query=True)
        mixture: Audio = np.sum(list(stems.values()), axis=0, dtype=np.float32)
        return Track(f"{case} {number + 1}", RATE, mixture, {**stems, QUERY: query})

    def _folder(self, name: str) -> Path | None:
        folders = sorted(path for path in self.root.rglob("*") if path.is_dir())
        return next((path for path in folders if _plain(path.name) == _plain(name)), None)

    def _sound(self, name: str, number: int, query: bool) -> Audio:
        """Mono, as two equal channels, (n, 2)."""
        folder = self._folder(name)
        assert folder is not None
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if len(files) < 2:
            raise UsageError(f"{folder}: {len(files)} sounds; a class needs two or more, for mixtures and for queries")
        np.random.default_rng(self.seed).shuffle(files)
        half = files[len(files) // 2 :] if query else files[: len(files) // 2]
        generator = np.random.default_rng([self.seed, number, query])
        return _strung(half, generator)


def _strung(files: Sequence[Path], generator: np.random.Generator) -> Audio:
    """Random ones of ``files``, one after another, `SECONDS` long and as loud as all."""
    from qsep_live.audio.files import read_audio
    from qsep_live.audio.resample import resample

    frames, pieces, length = round(SECONDS * RATE), [], 0
    while length < frames:
        path = files[int(generator.integers(len(files)))]
        audio, rate = read_audio(path)
        mono = resample(audio.mean(axis=1, keepdims=True), rate, RATE)[:, 0]
        spare = max(0, len(mono) - frames)
        start = int(generator.integers(spare + 1))
        piece = mono[start : start + frames]
        if not np.any(piece):
            raise QsepError(f"{path}: silent; take it out of the folder")
        pieces.append(piece)
        length += len(piece)
    sound = np.concatenate(pieces)[:frames]
    sound = sound * np.float32(LEVEL / np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return np.stack([sound, sound], axis=1)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@dataclass(frozen=True)
class _Found:
    case: str
    mixture: float
    estimate: float
    preset: float
    oracle: float
    pictures: tuple[Audio, Audio, Audio]


@dataclass(frozen=True)
class _Find:
    metric: Metric
    presets: Mapping[str, NDArray[np.float32]]

    def __call__(self, network: Network, track: Track) -> _Found:
        case = track.name.rsplit(" ", 1)[0]
        stems = {name: sound for name, sound in track.stems.items() if name != QUERY}
        latent = network.latent(track.stems[QUERY], track.rate)
        assert latent is not None  # every sound has the same level
        sound = rendered(track.mixture, track.rate, network.separate, latent, [None])[None]
        preset = self.presets.get(case)
        by_name = (
            None if preset is None else rendered(track.mixture, track.rate, network.separate, preset, [None])[None]
        )
        oracle = oracle_estimates(track.mixture, stems)[case]

        def score(estimate: Audio) -> float:
            return track_scores({case: stems[case]}, {case: estimate}, track.rate, self.metric)[case]

        pictures = (_picture(track.mixture), _picture(stems[case]), _picture(sound))
        named = float("nan") if by_name is None else score(by_name)
        return _Found(case, score(track.mixture), score(sound), named, score(oracle), pictures)


def zeroshot_report(
    spec: NetworkSpec,
    mixtures: ZeroShotMixtures,
    presets: Mapping[str, NDArray[np.float32]],
    metric: Metric = "museval",
    jobs: int = 1,
    tell: Tell = quiet,
) -> Report:
    """Median SDR of the query's output, and of the preset's of that name, beside the mixture itself and the oracle."""
    found = list(over_tracks(_Find(metric, presets), spec, mixtures, jobs, tell))
    table = Table("Zero-shot separation by query", ("target", "out of", "mixtures", "the mixture itself", "query",
                                                    "gain", "better in", "preset", "oracle ratio mask"))  # fmt: skip
    examples = []
    for case in mixtures.cases():
        of = [one for one in found if one.case == case]
        gains = [one.estimate - one.mixture for one in of]
        better = f"{sum(gain > 0 for gain in gains)} of {len(of)}"
        mixed, asked, named, best = (
            median([getattr(one, kind) for one in of]) for kind in ("mixture", "estimate", "preset", "oracle")
        )
        table.rows.append((case, " + ".join(CASES[case]), len(of), mixed, asked, median(gains), better, named, best))
        examples.append(of[0])
    table.notes = [
        f"{mixtures.label}; median SDR ({metric}) in dB. Queries are other recordings than the mixtures; instruments "
        "are equally loud."
    ]
    return Report("zeroshot", table, _figure(examples))


def _picture(audio: Audio) -> Audio:
    level: Audio = (20.0 * np.log10(np.abs(stft(audio[:, :1]))[0] + 1e-6)).astype(np.float32)
    return level[:512]


def _figure(examples: Sequence[_Found]) -> Any:
    plt = pyplot()
    figure, grid = plt.subplots(
        len(examples), 3, figsize=(12, 3.2 * len(examples)), layout="constrained", squeeze=False
    )
    for axes, example in zip(grid, examples, strict=True):
        for place, picture, name in zip(axes, example.pictures, ("mixture", "truth", "by query"), strict=True):
            place.imshow(picture, origin="lower", aspect="auto", vmin=-90, vmax=-20, cmap="magma")
            place.set(title=f"{example.case}: {name}", xticks=[], yticks=[])
    plt.close(figure)
    return figure
