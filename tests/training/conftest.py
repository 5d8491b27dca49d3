"""Stems that the tests make themselves, and networks small enough to train in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.nets.model import Model
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig
from qsep_live.training.data import CLASSES, Bank, Song, folder_bank

#: Hz: each class has a register of its own, so that a small network can tell them apart.
REGISTERS = {"vocals": 1200.0, "drums": 7000.0, "bass": 90.0, "other": 3000.0}


def voice(name: str, seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A swelling tone in the register of the class, (samples,), with a little of its own noise."""
    random = np.random.default_rng([seed, CLASSES.index(name)])
    time = np.arange(round(seconds * rate)) / rate
    hertz = REGISTERS[name] * random.uniform(0.9, 1.1)
    tone = np.sin(2 * np.pi * hertz * time) * (0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(0.5, 2) * time))
    return (0.3 * tone + 0.005 * random.standard_normal(len(time))).astype(np.float32)


def song(name: str, seconds: float = 4.0, channels: int = 2, seed: int = 0) -> Song:
    stems = {}
    for kind in CLASSES:
        mono = voice(kind, seconds, MODEL_RATE, seed)
        spread = np.stack([mono * (1.0 - 0.2 * channel) for channel in range(channels)])
        stems[kind] = (spread * 32767).astype(np.int16)
    return Song(name, stems)


@pytest.fixture
def bank() -> Bank:
    return Bank((song("one", 4.0), song("two", 3.5, 1, 1), song("three", 1.0, 2, 2)))


@pytest.fixture
def stems(tmp_path: Path) -> Path:
    """A folder with aligned songs and folders of one class, in wav, flac and ogg, at several rates."""
    root = tmp_path / "stems"
    for number, (folder, suffix, rate) in enumerate(
        [("song one", "wav", 44_100), ("song two", "flac", 22_050), ("song three", "ogg", 48_000)]
    ):
        (root / folder).mkdir(parents=True)
        for name in CLASSES:
            mono = voice(name, 4.0, rate, number)
            soundfile.write(root / folder / f"{name}.{suffix}", np.stack([mono, mono], axis=1), rate)
    (root / "bass" / "deeper").mkdir(parents=True)
    soundfile.write(root / "bass" / "deeper" / "solo.WAV", voice("bass", 2.0, 16_000), 16_000)
    (root / "bass" / "notes.txt").write_text("no sound")
    (root / "scores").mkdir()
    return root


@pytest.fixture
def stem_bank(stems: Path) -> Bank:
    return folder_bank(stems)


def small_model(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    separator = SeparatorConfig((2, 2, 4, 4, 4, 4), input_power=0.5, final_adain=False, adain_offset=True)
    return Model(Separator(separator), QueryNet(QueryNetConfig((2, 2, 4, 4, 4, 4), gru_units=8, input_power=0.5)))


@pytest.fixture
def model() -> Model:
    return small_model()


@pytest.fixture
def another_model() -> Model:
    """As small, with other weights."""
    return small_model(seed=1)
