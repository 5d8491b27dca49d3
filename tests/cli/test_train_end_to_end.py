"""The whole way, with the real program: stems, training, a kill, the rest of it, a preset, a render."""

from __future__ import annotations

import csv
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from qsep_live.nets.model import load_model

RATE = 22_050
FALL = 0.4
"""The loss at the end, as a share of that at the beginning, at most."""
STEPS = 20


def stems(root: Path) -> Path:
    """Two songs in which each class has a register of its own, and one is so loud that it must be learned to go."""
    random = np.random.default_rng(1)
    when = np.arange(4 * RATE) / RATE
    for song in ("one", "two"):
        for hertz, name in ((1200.0, "vocals"), (6000.0, "drums"), (90.0, "bass"), (3000.0, "other")):
            swell = 0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(0.5, 2.0) * when)
            path = root / song / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = 0.5 if name == "bass" else 0.05
            soundfile.write(path, level * swell * np.sin(2 * np.pi * hertz * random.uniform(0.9, 1.1) * when), RATE)
    return root


def test_from_stems_to_a_rendered_song(start: Callable[..., Any], spawn: Callable[..., Any], work: Path) -> None:
    data = stems(work / "stems")
    settings = (
        "train_query=true mixing.anchors=0 separator.widths=8,8 separator.bands=1 separator.attention=0"
        " query_net.channels=2,2,4,4,4,4 query_net.gru_units=8 schedule.warmup=2 batch=2"
        " losses.kl=0.001 losses.edge=0 mixing.single_target=1 mixing.keep=1 mixing.elsewhere=0"
        " mixing.augment.equaliser=0 mixing.augment.reverb=0 mixing.augment.speed=0 mixing.augment.silence=0"
    )
    every = ["--save-every", 2, "--log-every", 2, "--validate-every", 1000]
    command = ["train", "--stems", data, "--validation", data, "--recipe", "shipped", "-o", "run", "--steps", STEPS]
    command += ["--lr", 0.01, "--threads", 1, "--latent-segments", 2, *every]
    command += [word for each in settings.split() for word in ("--set", each)]
    state = work / "run" / "state.safetensors"

    killed = start(*command, OMP_NUM_THREADS="1")
    until(lambda: state.exists(), killed)
    killed.kill()
    killed.communicate(timeout=60)
    assert not (work / "run" / "model.safetensors").exists()

    log = work / "run" / "log.csv"
    for signalled, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        stopped = start(*command, "--workers", 1, OMP_NUM_THREADS="1")
        before = state.stat().st_mtime_ns
        until(lambda before=before: state.stat().st_mtime_ns != before, stopped)  # type: ignore[misc]
        # As a terminal and a scheduler do: to every process, the workers too.
        parent = psutil.Process(stopped.pid)
        for each in (*parent.children(recursive=True), parent):
            each.send_signal(signalled)
        out, err = stopped.communicate(timeout=60)
        assert stopped.returncode == code, (out, err)
        assert "saved in run/state.safetensors" in out
        assert err.splitlines()[-1] == "qsep-live: interrupted"

    told = spawn(*command, OMP_NUM_THREADS="1")
    assert told.code == 0, told.err
    assert "going on with run" in told.out
    rows = list(csv.DictReader(log.open()))
    assert [int(row["step"]) for row in rows] == sorted({int(row["step"]) for row in rows})
    assert int(rows[-1]["step"]) == STEPS
    # The loss is a negative SDR in dB: as a share of the target's energy.
    first, last = (10.0 ** (float(row["reconstruction"]) / 10.0) for row in (rows[0], rows[-1]))
    assert last < FALL * first, (first, last)
    for name in ("losses.png", "sdr.png", "best.safetensors"):
        assert (work / "run" / name).exists()

    model = work / "run" / "model.safetensors"
    card = load_model(model).card
    assert (card["recipe"], card["steps"], card["windows"]) == ("shipped", STEPS, 2 * STEPS)
    assert set(card["latents"]) == {"vocals", "drums", "bass", "other"}
    query = data / "one" / "bass.wav"
    assert spawn("presets", "new", "low", "--query", query, "--model", model).code == 0
    told = spawn("render", data / "two" / "bass.wav", "-o", "out", "-p", "low", "--model", model, "--threads", 1)
    assert told.code == 0, told.err
    sound, rate = soundfile.read(work / "out" / "bass" / "low.wav")
    assert (len(sound), rate) == (4 * RATE, RATE)
    assert 0.0 < np.abs(sound).max() < 0.1, "what it learned is to be heard: the loud class, 0.5, is gone"


def until(done: Callable[[], bool], process: Any) -> None:
    """Wait while ``process`` runs."""
    end = time.monotonic() + 200
    while not done():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
