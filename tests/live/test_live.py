"""The program, live: JACK → qsep-live → JACK."""

from __future__ import annotations

import os
import signal
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from qsep_live.engine.render import RenderSettings, render
from qsep_live.latent.library import PresetLibrary
from qsep_live.nets.inference import open_backend

QUIET = ("--no-midi",)


def tune(seconds: float, rate: int = 44100, seed: int = 1) -> NDArray[np.float32]:
    """Noise bursts and tones, (n, 2), nothing at the edges of a block; below full scale, where the limiter is."""
    random = np.random.default_rng(seed)
    time_axis = np.arange(int(seconds * rate)) / rate
    gate = (np.sin(2 * np.pi * 2.3 * time_axis) > 0)[:, None]
    tones = np.sin(2 * np.pi * np.array([220.0, 331.0]) * time_axis[:, None])
    sound: NDArray[np.float32] = (0.2 * tones + 0.15 * gate * random.standard_normal(tones.shape)).astype(np.float32)
    return sound


def delay_between(played: NDArray[np.float32], heard: NDArray[np.float32], longest: int = 1 << 16) -> int:
    """Samples that ``heard`` is late, by cross-correlation."""
    size = 1 << (len(played) + longest).bit_length()
    spectrum = np.fft.rfft(heard[:, 0], size) * np.conj(np.fft.rfft(played[:, 0], size))
    return int(np.argmax(np.fft.irfft(spectrum)[:longest]))


def test_live_equals_the_offline_render(jack: Any, program: Any, cable: Any, home: Any) -> None:
    """In lockstep, freewheeling, the live engine gives the offline engine's samples."""
    delay, step = 4096 / 44100, 4096 / 44100
    options = ("--preset", "vocals", "--delay", f"{1000 * delay}ms", *QUIET)
    live = program(jack, *options, "--lockstep", str(step))
    first = live.wait(lambda s: s["type"] == "status" and s["state"] == "running", "running")
    cable.plug()
    sound = tune(4.0)
    # On a busy machine the stream has hardly begun: silence until the fade from dry, which every stream begins with, is
    # over.
    silence = 10 * 4096
    heard = cable.play(np.pad(sound, ((silence, 44100), (0, 0))), freewheel=True)[silence:]
    live.stop()
    through = round(first["latency"]["window"] * 44100 + first["latency"]["wait"] * 44100) + 256

    backend = open_backend(home.model, "cpu")
    latent = PresetLibrary([home.folder / "presets"]).get("vocals").latent
    settings = RenderSettings(latent, delay=delay, period=step)
    # The masks' grid counts from the stream's first sample; the cable was plugged in at some block of it.
    worst = []
    for lead in range(4 * 4096, 5 * 4096, 256):
        padded = np.concatenate([np.zeros((lead, 2), np.float32), sound])
        rendered = np.concatenate(list(render([padded], 44100, 2, backend, settings)))[lead:]
        assert np.abs(rendered).max() > 0.01
        worst.append(np.abs(heard[through : through + len(sound)] - rendered).max())
    assert min(worst) < 1e-5
    assert sorted(worst)[1] > 1e-4


def test_printed_latency_is_the_measured_one(jack: Any, program: Any, cable: Any) -> None:
    live = program(jack, "--preset", "vocals", "--wet", "0", "--delay", "40ms", *QUIET)
    latency = live.running()["latency"]
    cable.plug()
    sound = tune(3.0)
    measured = delay_between(sound, cable.play(sound, freewheel=True))
    live.stop()
    # A cable from client to client goes round the server once: one block. The printed device latencies are those of
    # the server's own ports, which the cable replaces.
    printed = 44100 * (latency["window"] + latency["wait"] + latency["rack"])
    assert abs(measured - 256 - printed) <= 1
    total = sum(latency[part] for part in ("device_in", "window", "wait", "rack", "device_out"))
    assert abs(latency["total"] - total) < 1e-5


def test_dry_signal_comes_back_bit_for_bit(jack: Any, program: Any, cable: Any) -> None:
    live = program(jack, "--preset", "vocals", "--wet", "0", *QUIET)
    live.running()
    cable.plug()
    sound = tune(3.0, seed=2)
    heard = cable.play(sound, freewheel=True)
    live.stop()
    late = delay_between(sound, heard)
    assert np.array_equal(heard[late:], sound[: len(sound) - late])


def test_killed_processes_come_back(jack: Any, program: Any, cable: Any) -> None:
    live = program(jack, "--preset", "vocals", "--delay", "50ms", *QUIET)
    live.running()
    for name, libraries in (("mask", ("libopenvino", "libtorch")), ("audio", ("libportaudio",))):
        counter = f"{name}_restarts"
        os.kill(child_with(live.process.pid, libraries), signal.SIGKILL)
        back = live.wait(
            lambda s, counter=counter: (
                s["type"] == "status"
                and s[counter] == 1
                and s["state"] == "running"
                and s["mask_age"] is not None
                and s["mask_age"] < 1.0
            ),
            f"sound after the {name} process was killed",
        )
        assert back["callbacks"] > 0
    cable.plug()
    sound = tune(2.0)
    heard = cable.play(sound)
    assert np.abs(heard[44100:]).max() > 0.01
    assert live.stop()["mask_restarts"] == 1


def child_with(pid: int, libraries: tuple[str, ...]) -> int:
    """The child of ``pid`` that has one of ``libraries`` loaded."""
    for child in psutil.Process(pid).children(recursive=True):
        if any(name in mapped.path for mapped in child.memory_maps() for name in libraries):
            return int(child.pid)
    raise AssertionError(f"no child of {pid} has {libraries} loaded")


def test_a_knob_morphs_while_it_plays(jack: Any, program: Any) -> None:
    rtmidi = __import__("rtmidi")
    os.environ.update({key: jack.env[key] for key in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")})
    knob = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name="knobs")
    knob.open_virtual_port("knob")
    try:
        live = program(jack, "--preset", "vocals,drums,bass", "--midi", "knob")
        assert live.running()["morph"] == 0.0
        for value in range(0, 65, 2):
            knob.send_message([0xB0, 1, value])
            time.sleep(0.01)
        half = lambda s: s["type"] == "status" and abs(s["morph"] - 64 / 127) < 0.01  # noqa: E731
        live.wait(half, "the morph position", nudge=lambda: knob.send_message([0xB0, 1, 64]))
        third = lambda s: s["type"] == "status" and s["morph"] == 1.0  # noqa: E731
        live.wait(third, "the third preset", nudge=lambda: knob.send_message([0xC0, 2]))
        knob.close_port()
        live.wait(lambda s: s["type"] == "event" and "knob" in s["text"], "a word about the lost port")
        assert live.running()["state"] == "running"
        live.stop()
    finally:
        knob.delete()


def test_records_what_is_heard(jack: Any, program: Any, cable: Any, tmp_path: Path) -> None:
    take = tmp_path / "take.wav"
    live = program(jack, "--preset", "vocals", "--wet", "0", "--record", str(take), *QUIET)
    live.running()
    cable.plug()
    sound = tune(2.0)
    heard = cable.play(sound, freewheel=True)
    live.stop()
    recorded = soundfile.read(take, dtype="float32")[0]
    place = delay_between(heard[22050:44100], recorded, len(recorded))
    assert np.abs(recorded[place : place + 22050] - heard[22050:44100]).max() < 2e-7 + 2.0**-23


def test_a_file_plays_out_of_the_interface_and_ends(jack: Any, program: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, tune(2.0), 44100)
    live = program(jack, "--preset", "vocals", "--input", str(source), "--delay", "30ms", *QUIET)
    summary = live.wait(lambda s: s["type"] == "summary", "the summary")
    assert live.process.wait(20) == 0
    assert summary["seconds"] >= 2.0


def test_the_server_dies_and_comes_back(mortal_jack: Any, program: Any) -> None:
    live = program(mortal_jack, "--preset", "vocals", *QUIET)
    live.running()
    mortal_jack.kill()
    live.wait(lambda s: s["type"] == "status" and s["state"] == "waiting", "waiting")
    mortal_jack.start()
    live.wait(lambda s: s["type"] == "status" and s["state"] == "running" and s["audio_restarts"], "running again")
    live.stop()


def test_no_server_is_one_line(program: Any, home: Any) -> None:
    nobody = types.SimpleNamespace(env={"JACK_DEFAULT_SERVER": "qsep-nobody", "JACK_NO_START_SERVER": "1"})
    live = program(nobody, "--preset", "vocals", *QUIET)
    assert live.process.wait(60) in (1, 2)
    lines = [line for line in live.errors().splitlines() if line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("qsep-live: error:")
