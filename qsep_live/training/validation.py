"""Mean latents of the training classes, and SDR per class on validation songs with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qsep_live.dsp.grid import BINS, FRAMES, HOP, N_FFT
from qsep_live.errors import QsepError
from qsep_live.nets.band_stream import BandStream
from qsep_live.nets.model import Model
from qsep_live.nets.spectrogram import mid_side, stft
from qsep_live.training.mixing import Mixer, MixingConfig
from qsep_live.training.songs import CLASSES, Bank, Song

_AUDIBLE = 1e-3
_TRIES = 50
_WINDOWS_AT_ONCE = 8
STREAM_LOOK = 1
"""Frames that a network that keeps its state hears past the one it is judged at: 46 ms of delay."""
_KEPT = FRAMES // 2
"""Frames of each window that count: its middle half."""


@torch.inference_mode()
def mean_latents(
    model: Model, banks: Sequence[Bank], segments: int = 64, seed: int = 0, names: Iterable[str] = CLASSES
) -> dict[str, NDArray[np.float32]]:
    """z_c: the mean of μ over ``segments`` audible 3-second segments of each class (paper §3.5), each (latent,).

    Raises
    ------
    QsepError
        A class is silent nearly everywhere.
    """
    names = tuple(names)
    mixer = Mixer(banks, MixingConfig(classes=names), seed)
    means = {}
    for name in names:
        random = np.random.default_rng((seed, segments))
        mus: list[Tensor] = []
        for _ in range(_TRIES * segments):
            sound = mixer.segment(name, random)
            if np.sqrt(np.mean(sound**2)) > _AUDIBLE:
                mus.append(model.query_net(mid_side(torch.from_numpy(sound)[None])[:, :1].abs())[0][0])
            if len(mus) == segments:
                break
        else:
            raise QsepError(f"class {name}: {len(mus)} audible segments in {_TRIES * segments}; its stems are silent")
        means[name] = torch.stack(mus).mean(dim=0).numpy()
    return means


@torch.inference_mode()
def separate(model: Model, audio: NDArray[np.float32], latent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whole-file separation at 22,050 Hz, (channels, samples) in and out: the middle half of each window is kept."""
    channels, length = audio.shape
    # The first frame that counts begins before the sound does, so that every sample lies in four frames.
    lead = HOP * (FRAMES - _KEPT) // 2 + N_FFT
    windows = -(-(length + 2 * N_FFT) // (HOP * _KEPT))
    padded = np.zeros((channels, lead + HOP * (FRAMES + windows * _KEPT)), np.float32)
    padded[:, lead : lead + length] = audio
    sound = torch.from_numpy(padded)
    heard = mid_side(sound[None]).abs()[0]
    heard = heard[: model.channels] if len(heard) >= model.channels else torch.cat([heard, torch.zeros_like(heard)])
    spectrum = stft(sound)
    mask = torch.zeros(N_FFT // 2 + 1, spectrum.shape[-1])
    z = torch.from_numpy(latent)[None]
    if isinstance(model.separator, BandStream):
        mask[:BINS] = model.separator(heard[None], z, STREAM_LOOK)[0, 0]
        return _applied(spectrum, mask, lead, length)
    edge = (FRAMES - _KEPT) // 2
    starts = range(0, windows * _KEPT, _KEPT)
    for first in range(0, windows, _WINDOWS_AT_ONCE):
        some = starts[first : first + _WINDOWS_AT_ONCE]
        gains = model.separator(
            torch.stack([heard[:, :, start : start + FRAMES] for start in some]), z.expand(len(some), -1)
        )
        for start, window in zip(some, gains[:, 0], strict=True):
            mask[:BINS, start + edge : start + edge + _KEPT] = window[:, edge : edge + _KEPT]
    return _applied(spectrum, mask, lead, length)


def _applied(spectrum: Tensor, mask: Tensor, lead: int, length: int) -> NDArray[np.float32]:
    mask[BINS] = mask[BINS - 1]
    samples = N_FFT + HOP * (spectrum.shape[-1] - 1)
    pieces = torch.fft.irfft(spectrum * mask, n=N_FFT, dim=1) * torch.hann_window(N_FFT)[:, None]
    folded = torch.nn.functional.fold(pieces, (1, samples), (1, N_FFT), stride=(1, HOP)) / 1.5
    return folded[:, 0, 0, lead : lead + length].numpy()


def sdr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """10·log10(‖s‖² / ‖s − ŝ‖²) over the whole excerpt and its channels, dB; NaN for a silent reference."""
    power = float(np.sum(reference.astype(np.float64) ** 2))
    if power < 1e-6 * reference.size:
        return float("nan")
    error = float(np.sum((reference.astype(np.float64) - estimate) ** 2))
    return 10.0 * float(np.log10(power / max(error, 1e-12)))


def song_scores(
    model: Model, songs: Sequence[Song], latents: Mapping[str, NDArray[np.float32]]
) -> dict[tuple[int, str], float]:
    """SDR of every song, by its place, and class of ``latents`` that sounds in it, dB, at 22,050 Hz."""
    found = {}
    for place, song in enumerate(songs):
        stems, mixture = _parts(song, latents)
        for name, stem in stems.items():
            value = sdr(stem, separate(model, mixture, latents[name]))
            if not np.isnan(value):
                found[place, name] = value
    return found


def validate(model: Model, songs: Sequence[Song], latents: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Median SDR over songs per class of ``latents``, dB, at 22,050 Hz."""
    scores = song_scores(model, songs, latents)
    return {name: _median([value for (_, kind), value in scores.items() if kind == name]) for name in latents}


def mixture_sdr(songs: Sequence[Song], names: Iterable[str] = CLASSES) -> dict[str, float]:
    """What doing nothing scores: median SDR of the mixture itself against each class, dB."""
    names = tuple(names)
    rows: dict[str, list[float]] = {name: [] for name in names}
    for song in songs:
        stems, mixture = _parts(song, names)
        for name, stem in stems.items():
            rows[name].append(sdr(stem, mixture))
    return {name: _median(values) for name, values in rows.items()}


def _parts(song: Song, names: Iterable[str]) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """The song's stems of ``names`` and the sum of all its stems, each (channels, samples) of one shape."""
    channels = max(stem.shape[0] for stem in song.stems.values())
    mixture = np.zeros((channels, song.samples), np.float32)
    for stem in song.stems.values():
        mixture[:, : stem.shape[1]] += _float(stem)
    stems = {}
    for name in names:
        whole = song.of(name)
        if whole is not None:
            stems[name] = np.zeros_like(mixture)
            stems[name][:, : whole.shape[1]] = _float(whole)
    return stems, mixture


def _float(stem: NDArray[np.int16]) -> NDArray[np.float32]:
    return np.divide(stem, 32768, dtype=np.float32)


def _median(values: Sequence[float]) -> float:
    heard = [value for value in values if not np.isnan(value)]
    return float(np.median(heard)) if heard else float("nan")
