"""A small random model, presets that belong to it in a home of their own, and the command line in two forms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import qsep_live
from qsep_live.cli.main import run as run_main

RATE = 44100


@dataclass(frozen=True)
class Told:
    """What a run came to."""

    code: int
    out: str
    err: str

    def fails(self, code: int, *words: str) -> None:
        """Assert that it failed as it should: one line on stderr that holds ``words``, nothing else said."""
        assert self.code == code, (self.out, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("qsep-live: error: ")
        assert "Traceback" not in self.err
        for word in words:
            assert word in lines[0]


Qsep = Callable[..., Told]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkpoint of random weights and few channels, and its fingerprint."""
    import torch

    from qsep_live.nets.model import Model, save_model
    from qsep_live.nets.query_net import QueryNet, QueryNetConfig
    from qsep_live.nets.separator import Separator, SeparatorConfig

    torch.manual_seed(1)
    separator = Separator(SeparatorConfig(widths=(2, 2, 4, 4, 4, 4)))
    query_net = QueryNet(QueryNetConfig(channels=(2, 2, 4, 4, 4, 4), gru_units=8))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    return path, save_model(Model(separator, query_net), path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: tuple[Path, str]) -> Path:
    """A user's folder with the presets ``one`` and ``two`` of the small model and ``stranger`` of another."""
    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_file import save_preset

    folder = tmp_path / "home"
    monkeypatch.setenv("QSEP_LIVE_HOME", str(folder))
    rng = np.random.default_rng(5)
    for name, model in (("one", tiny_model[1]), ("two", tiny_model[1]), ("stranger", "ab" * 16)):
        latent = rng.standard_normal(32).astype(np.float32)
        save_preset(Preset(name, latent, model, f"the preset {name}"), folder / "presets")
    return folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def qsep(work: Path, capfd: pytest.CaptureFixture[str]) -> Qsep:
    """Run ``qsep-live ARGUMENTS`` in this process."""

    def call(*arguments: object) -> Told:
        capfd.readouterr()
        code = run_main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Told(code, out, err)

    return call


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(work: Path) -> Start:
    """Start ``qsep-live ARGUMENTS`` in a process of its own; it sees this package and no audio server."""
    root = str(Path(qsep_live.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    quiet = {"PYTHONPATH": path, "JACK_DEFAULT_SERVER": "qsep-none", "JACK_NO_START_SERVER": "1"}

    def call(*arguments: object, stdout: int = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "qsep_live", *map(str, arguments)]
        variables = {**os.environ, **quiet, **more}
        return subprocess.Popen(line, stdout=stdout, stderr=subprocess.PIPE, text=True, env=variables)

    return call


@pytest.fixture
def spawn(start: Start) -> Qsep:
    """Run ``qsep-live ARGUMENTS`` to its end in a process of its own."""

    def call(*arguments: object, **more: str) -> Told:
        process = start(*arguments, **more)
        out, err = process.communicate(timeout=200)
        return Told(process.returncode, out, err)

    return call


Write = Callable[..., Path]


@pytest.fixture
def wav(work: Path) -> Write:
    """Write a sound file of quiet noise with a tone in it."""

    def write(name: str, seconds: float = 1.0, rate: int = RATE, channels: int = 2, subtype: str | None = None) -> Path:
        from qsep_live.audio.writer import write_audio

        rng = np.random.default_rng(3)
        frames = round(seconds * rate)
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)[:, None]
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = (tone + 0.05 * rng.standard_normal((frames, channels))).astype(np.float32)
        return write_audio(path, sound, rate, subtype)

    return write
