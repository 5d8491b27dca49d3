"""Mean latents of the training classes, and SDR per class on validation songs with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qsep_live.dsp.grid import BINS, FRAMES, HOP, N_FFT, SEGMENT
from qsep_live.nets.model import Model
from qsep_live.nets.spectrogram import magnitude, stft
from qsep_live.training.data import CLASSES, Bank, Song
from qsep_live.training.mixing import SILENT, Mixer, MixingConfig


@torch.inference_mode()
def mean_latents(
    model: Model, banks: Sequence[Bank], segments: int = 64, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """z_c: the mean of μ over ``segments`` audible 3-second segments of each class (paper §3.5), each (32,)."""
    mixer = Mixer(banks, MixingConfig(), seed)
    means = {}
    for name in CLASSES:
        mus: list[Tensor] = []
        while len(mus) < segments:
            sound = mixer.segment(name)
            if np.sqrt(np.mean(sound**2)) > SILENT:
                mus.append(model.query_net(magnitude(torch.from_numpy(sound)[None]))[0][0])
        means[name] = torch.stack(mus).mean(dim=0).numpy()
    return means


@torch.inference_mode()
def separate(model: Model, mono: NDArray[np.float32], latent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whole-file separation at 22,050 Hz: windows half overlapped, the middle of each kept; same length out."""
    length = len(mono)
    windows = max(1, -(-(length + N_FFT) // (HOP * FRAMES // 2)))
    padded = np.zeros(SEGMENT + windows * HOP * FRAMES // 2, np.float32)
    lead = HOP * FRAMES // 4
    padded[lead : lead + length] = mono
    spectrum = stft(torch.from_numpy(padded)[None])
    mask = torch.zeros(N_FFT // 2 + 1, spectrum.shape[-1])
    z = torch.from_numpy(latent)[None]
    quarter, half = FRAMES // 4, FRAMES // 2
    for start in range(0, spectrum.shape[-1] - FRAMES + 1, half):
        window = spectrum[:, None, :BINS, start : start + FRAMES].abs()
        gains = model.separator(window, z)[0, 0]
        mask[:BINS, start + quarter : start + quarter + half] = gains[:, quarter : quarter + half]
    mask[BINS] = mask[BINS - 1]
    frames = spectrum[0] * mask
    window = torch.hann_window(N_FFT)
    pieces = torch.fft.irfft(frames, n=N_FFT, dim=0) * window[:, None]
    folded = torch.nn.functional.fold(pieces[None], (1, len(padded)), (1, N_FFT), stride=(1, HOP)).flatten() / 1.5
    return folded[lead : lead + length].numpy()


def sdr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """10·log10(‖s‖² / ‖s − ŝ‖²) over the whole excerpt, dB; NaN for a silent reference."""
    power = float(np.sum(reference.astype(np.float64) ** 2))
    if power < 1e-6 * reference.size:
        return float("nan")
    error = float(np.sum((reference.astype(np.float64) - estimate) ** 2))
    return 10.0 * float(np.log10(power / max(error, 1e-12)))


def validate(model: Model, songs: Sequence[Song], latents: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Median SDR over songs per class, dB, mono at 22,050 Hz."""
    rows: dict[str, list[float]] = {name: [] for name in CLASSES}
    for song in songs:
        stems = {name: _mono(song, name) for name in CLASSES}
        mixture = np.sum(list(stems.values()), axis=0)
        for name in CLASSES:
            rows[name].append(sdr(stems[name], separate(model, mixture, latents[name])))
    return {name: float(np.nanmedian(values)) for name, values in rows.items()}


def mixture_sdr(songs: Sequence[Song]) -> dict[str, float]:
    """What doing nothing scores: median SDR of the mixture itself against each class, dB."""
    rows: dict[str, list[float]] = {name: [] for name in CLASSES}
    for song in songs:
        stems = {name: _mono(song, name) for name in CLASSES}
        mixture = np.sum(list(stems.values()), axis=0)
        for name in CLASSES:
            rows[name].append(sdr(stems[name], mixture))
    return {name: float(np.nanmedian(values)) for name, values in rows.items()}


def _mono(song: Song, name: str) -> NDArray[np.float32]:
    mono: NDArray[np.float32] = np.divide(song.stems[name].mean(axis=0), 32768, dtype=np.float32)
    return mono
