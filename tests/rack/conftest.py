"""What the rack's tests share: racks from text, sound, and a real VST3 plugin."""

from __future__ import annotations

import math
import subprocess
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qsep_live.rack.config import RackConfig
from qsep_live.rack.rack import Rack

RATE = 44100
MAX_BLOCK = 512
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def impulse_response(tmp_path: Path) -> Path:
    """A stereo WAV file of 50 ms whose first sample is the loudest."""
    decay = np.exp(-np.arange(2205) / 400) * np.random.default_rng(5).standard_normal(2205) * 0.1
    decay[0] = 0.9
    samples = np.repeat((decay * 32767).clip(-32768, 32767).astype("<i2"), 2)
    path = tmp_path / "impulse.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def make_rack(tmp_path: Path) -> Callable[..., Rack]:
    """Build a rack from the text of its effects."""

    def make(
        effects: str, channels: int = 2, rate: int = RATE, max_block: int = MAX_BLOCK, patience: float = math.inf
    ) -> Rack:
        config = RackConfig.parse(f"schema = 1\n{effects}", tmp_path / "rack.toml")
        return Rack(config, rate, channels, max_block, patience)

    return make


@pytest.fixture
def one_effect(make_rack: Callable[..., Rack], impulse_response: Path) -> Callable[..., Rack]:
    """Build a rack of one effect with its default values."""

    def make(kind: str, channels: int = 2, **values: float | str) -> Rack:
        if kind == "Convolution":
            values["impulse_response"] = str(impulse_response)
        lines = [f"{k} = {v!r}" for k, v in values.items()]
        return make_rack("\n".join([f'[[effect]]\ntype = "{kind}"', "[effect.parameters]", *lines]), channels)

    return make


@pytest.fixture
def play() -> Callable[..., NDArray[np.float32]]:
    """Run sound through a rack in blocks of the given sizes, taken in turn."""

    def run(rack: Rack, sound: NDArray[np.float32], sizes: Sequence[int]) -> NDArray[np.float32]:
        out: list[NDArray[np.float32]] = []
        start = step = 0
        while start < len(sound):
            block = sound[start : start + sizes[step % len(sizes)]]
            out.append(rack.process(block))
            assert out[-1].shape == block.shape
            assert out[-1].dtype == np.float32
            start, step = start + len(block), step + 1
        return np.concatenate(out)

    return run


@pytest.fixture(scope="session")
def vst3_folder() -> Path:
    """The Dragonfly reverbs from Debian, fetched once into the repository's cache."""
    cache = REPOSITORY / ".cache" / "vst3"
    script = Path(__file__).with_name("fetch_vst3.sh")
    try:
        done = subprocess.run(["sh", str(script), str(cache)], capture_output=True, text=True, timeout=180, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no VST3 plugin: {error}")
    if done.returncode != 0:
        pytest.skip(f"no VST3 plugin: {' '.join(done.stderr.split())[-300:]}")
    return Path(done.stdout.strip())
