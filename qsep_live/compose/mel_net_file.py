"""A spectrogram generator in a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from qsep_live.compose.mel import BANDS, HOP, N_FFT, RATE
from qsep_live.compose.mel_net import MelConfig, MelNet
from qsep_live.compose.network_file import NetworkFile, load_network, save_network

NETWORK = "mel_net"
_SPECTROGRAM = {"rate": RATE, "n_fft": N_FFT, "hop": HOP, "bands": BANDS}
_LARGEST = 4096


def save_mel_net(net: MelNet, path: Path, card: Mapping[str, Any], dtype: torch.dtype = torch.float16) -> str:
    """Write ``path`` whole or not at all, weights as ``dtype``; returns the fingerprint. Raises QsepError."""
    return save_network(net, NETWORK, {**asdict(net.config), **_SPECTROGRAM}, path, card, dtype)


def load_mel_net(path: Path) -> NetworkFile[MelNet]:
    """Read what `save_mel_net` wrote, to float32 on the CPU and in inference mode.

    Raises
    ------
    QsepError
        The file is missing, damaged, of another network or for other spectrograms.
    """
    return load_network(path, NETWORK, "spectrogram generator", lambda values: MelNet(_config(values)))


def _config(values: dict[str, Any]) -> MelConfig:
    if {name: values.pop(name, None) for name in _SPECTROGRAM} != _SPECTROGRAM:
        raise ValueError("it is for other spectrograms")
    if values.keys() != {each.name for each in fields(MelConfig)}:
        raise ValueError("unknown hyperparameters")
    if not all(type(value) is int and 0 < value <= _LARGEST for value in values.values()):
        raise ValueError(f"sizes must be whole numbers up to {_LARGEST}")
    return MelConfig(**values)
