"""Several presets at once, live: each pair of output channels has what its preset alone gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.engine.render import RenderSettings, render
from qsep_live.latent.library import PresetLibrary
from qsep_live.nets.inference import open_backend
from qsep_live.rack.config import RackConfig

PERIOD = 1024
STEP = 4096
HALF = 'schema = 1\n[[effect]]\ntype = "Gain"\n[effect.parameters]\ngain_db = -6\n'


@pytest.fixture(scope="module")
def wide_jack(jack_server: Callable[..., Any]) -> Iterator[Any]:
    """A running server of an interface with four outputs."""
    server = jack_server("qsep-wide", period=PERIOD, outputs=4)
    server.start()
    yield server
    server.stop()


def test_each_pair_is_the_preset_alone(
    wide_jack: Any, program: Any, listener: Callable[..., Any], home: Any, tmp_path: Path
) -> None:
    """Which, live, is its offline render (`test_live.py::test_live_equals_the_offline_render`)."""
    rack = tmp_path / "half.toml"
    rack.write_text(HALF)
    live = program(
        wide_jack, "--preset", "vocals,bass:1-2", "--preset", "drums:3-4", "--rack", "none", "--rack", str(rack),
        "--delay", f"{1000 * STEP / 44_100}ms", "--lockstep", str(STEP / 44_100), "--no-midi",
    )  # fmt: skip
    latency = live.running()["latency"]
    cable = listener(wide_jack.name, 4)
    cable.plug()
    sound = 0.2 * np.random.default_rng(4).standard_normal((55_125, 2)).astype(np.float32)
    sound[np.arange(len(sound)) // 4410 % 3 == 0] = 0.0
    # Silence until the fade from dry, which every stream begins with, is over.
    silence = 10 * STEP
    heard = cable.play(np.pad(sound, ((silence, 11_025), (0, 0))), freewheel=True)[silence:]
    live.stop()
    assert latency["rack"] > 0.0
    # The vocals are in step with the drums, whose effect takes two samples.
    through = round(44_100 * (latency["window"] + latency["wait"])) + round(44_100 * latency["rack"]) + PERIOD
    heard = heard[through : through + len(sound)]

    backend, library = open_backend(home.model, "cpu"), PresetLibrary([home.folder / "presets"])
    for name, racks, pair in (("vocals", (), heard[:, :2]), ("drums", (RackConfig.load(rack),), heard[:, 2:])):
        settings = RenderSettings(library.get(name).latent, delay=STEP / 44_100, period=STEP / 44_100, racks=racks)
        # The masks' grid counts from the stream's first sample; the cable was plugged in at some block of it.
        worst = []
        for lead in range(4 * STEP, 5 * STEP, PERIOD):
            padded = np.pad(sound, ((lead, 0), (0, 0)))
            alone = np.concatenate(list(render([padded], 44_100, 2, backend, settings)))[lead:]
            assert np.abs(alone).max() > 0.01
            worst.append(float(np.abs(pair - alone).max()))
        assert min(worst) < 1e-5
        assert sorted(worst)[1] > 1e-4


def test_more_channels_than_the_device_has(wide_jack: Any, program: Any) -> None:
    live = program(wide_jack, "--preset", "vocals:1-2", "--preset", "drums:4-5", "--no-midi")
    assert live.process.wait(60) == 2
    (line,) = live.errors().splitlines()
    assert "has 4 output channels; the presets' go up to 5" in line
