"""From one instrument to another along the great circle (paper §4.5): who is heard how much, and how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.latents import Latent
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.oracle import stft
from qsep_live.evaluation.plots import rank_correlation
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.rendering import stem_shares
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.sdr import median
from qsep_live.evaluation.tracks import Tell, Track, Tracks, quiet
from qsep_live.latent.slerp import slerp

PAIRS = (("drums", "bass"), ("vocals", "drums"))
STEPS = 11
_SHOWN = 6
_SILENT = 1e-6


class _Sweep(NamedTuple):
    """A song, a pair: energy of each stem in the output against that of the stem, dB (NaN: silent), by α."""

    track: str
    pair: tuple[str, str]
    energies: dict[str, NDArray[np.float64]]
    pictures: list[NDArray[np.float32]]


@dataclass(frozen=True)
class _Slerp:
    pairs: Sequence[tuple[str, str]]
    means: dict[str, Latent]
    pictured: str

    def __call__(self, network: Network, track: Track) -> list[_Sweep]:
        return [self._sweep(network, track, pair) for pair in self.pairs]

    def _sweep(self, network: Network, track: Track, pair: tuple[str, str]) -> _Sweep:
        names, stems = list(track.stems), list(track.stems.values())
        whole = [float(np.mean(np.square(stem, dtype=np.float64))) for stem in stems]
        energies, pictures = np.full((len(names), STEPS), np.nan), []
        for step, alpha in enumerate(alphas()):
            latent = slerp(self.means[pair[0]], self.means[pair[1]], float(alpha))
            shares = stem_shares(stems, track.rate, network.separate, latent)
            for number, share in enumerate(shares):
                if whole[number] > _SILENT:
                    heard = float(np.mean(np.square(share, dtype=np.float64)))
                    energies[number, step] = 10.0 * np.log10(max(heard, 1e-12) / whole[number])
            if track.name == self.pictured and step % ((STEPS - 1) // (_SHOWN - 1)) == 0:
                pictures.append(_picture(np.sum(shares, axis=0)))
        return _Sweep(track.name, pair, dict(zip(names, energies, strict=True)), pictures)


def alphas() -> NDArray[np.float64]:
    """The steps from 0 to 1."""
    return np.linspace(0.0, 1.0, STEPS)


def slerp_report(
    spec: NetworkSpec, tracks: Tracks, means: dict[str, Latent], jobs: int = 1, tell: Tell = quiet,
    pairs: Sequence[tuple[str, str]] = PAIRS,
) -> Report:  # fmt: skip
    """The median energies over α, whether they are monotone, and the first song's spectrograms."""
    pictured = tracks[0].name
    work = _Slerp(pairs, means, pictured)
    sweeps = [sweep for found in over_tracks(work, spec, tracks, jobs, tell) for sweep in found]
    table = Table("Slerp between classes", ("pair", "stem", *(f"α {alpha:.1f}" for alpha in alphas()), "monotone"))
    curves: dict[tuple[str, str], dict[str, NDArray[np.float64]]] = {}
    for pair in pairs:
        of = [sweep for sweep in sweeps if sweep.pair == pair]
        curves[pair] = {}
        for name in of[0].energies:
            energies = np.array([sweep.energies[name] for sweep in of])
            curve = np.array([median(column) for column in energies.T])
            curves[pair][name] = curve
            direction = {pair[0]: -1.0, pair[1]: 1.0}.get(name, 0.0)
            table.rows.append((" → ".join(pair), name, *map(float, curve), _monotone(curve, direction)))
            if direction:
                songs = energies[~np.isnan(energies).any(axis=1)]
                right = sum(_right_steps(song, direction) == STEPS - 1 for song in songs)
                table.notes.append(
                    f"{' → '.join(pair)}: {name} {'rises' if direction > 0 else 'falls'} at every step in {right} of "
                    f"{len(songs)} songs; rank correlation of its median with α "
                    f"{rank_correlation(list(alphas()), list(curve)):.2f}."
                )
    table.notes.append(
        f"{tracks.label}. Each number is the energy of a true stem in the output against all of that stem's energy, "
        "dB, median over songs: the gains of the separated mixture applied to the stem alone."
    )
    return Report("slerp", table, _figure(curves, [s for s in sweeps if s.track == pictured], pictured))


def _right_steps(curve: NDArray[np.float64], direction: float) -> int:
    return int(np.count_nonzero(direction * np.diff(curve) >= 0.0))


def _monotone(curve: NDArray[np.float64], direction: float) -> str:
    if not direction or np.isnan(curve).any():
        return "–"
    right = _right_steps(curve, direction)
    return "yes" if right == len(curve) - 1 else f"{right} of {len(curve) - 1} steps"


def _picture(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Level in dB of the mono spectrogram, (bins, frames); few enough frames to be drawn."""
    level = 20.0 * np.log10(np.abs(stft(audio.mean(axis=1, keepdims=True)))[0] + 1e-6)
    picture: NDArray[np.float32] = level[:512, :: max(1, level.shape[1] // 600)].astype(np.float32)
    return picture


def _figure(curves: dict[tuple[str, str], dict[str, NDArray[np.float64]]], sweeps: Sequence[_Sweep], song: str) -> Any:
    plt = pyplot()
    figure, grid = plt.subplots(
        len(curves), _SHOWN + 1, figsize=(3 * (_SHOWN + 1), 3.2 * len(curves)), layout="constrained", squeeze=False
    )
    figure.suptitle(f"slerp: median energies, and spectrograms of {song}")
    shown = alphas()[:: (STEPS - 1) // (_SHOWN - 1)]
    for axes, sweep in zip(grid, sweeps, strict=True):
        for name, curve in curves[sweep.pair].items():
            axes[0].plot(alphas(), curve, marker=".", label=name)
        axes[0].set(xlabel="α", ylabel="energy (dB)", title=" → ".join(sweep.pair))
        axes[0].legend(fontsize="x-small")
        for place, picture, alpha in zip(axes[1:], sweep.pictures, shown, strict=True):
            place.imshow(picture, origin="lower", aspect="auto", vmin=-90, vmax=-20, cmap="magma")
            place.set(title=f"α {alpha:.2f}", xticks=[], yticks=[])
    plt.close(figure)
    return figure
