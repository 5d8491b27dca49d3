"""Music that is made while it is heard: melodies and spectrograms into the engine, and melodies to a MIDI port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal as filters

from qsep_live.audio.resample import resample
from qsep_live.cli.spectrogram import network_path
from qsep_live.compose.composer import Composer
from qsep_live.compose.emotions import DEFAULT
from qsep_live.compose.mel import FRAMES_A_SECOND, RATE
from qsep_live.compose.mel_generator import MelGenerator
from qsep_live.compose.mel_inversion import LOOKAHEAD, StreamInversion
from qsep_live.compose.mel_net_file import load_mel_net
from qsep_live.compose.perform import Tune, find_soundfont, render

CHUNK = 8192
DRY = ("--preset", "vocals", "--wet", "0", "--no-midi")


def tune(emotion: str, seed: int, bpm: float) -> Tune:
    """What `compose melody` makes of them."""
    composer = Composer()
    latent = composer.steer(composer.draw(seed), DEFAULT[emotion])
    return Tune(composer.melody(latent), bpm, 0)


def found(heard: NDArray[np.float32], expected: NDArray[np.float32]) -> list[float]:
    """For each loud chunk of ``heard``, its correlation with the place of ``expected`` that it is most like."""
    told = []
    power = np.convolve(expected.astype(np.float64) ** 2, np.ones(CHUNK), "valid")
    for start in range(0, len(heard) - CHUNK + 1, CHUNK):
        chunk = heard[start : start + CHUNK].astype(np.float64)
        if np.sqrt(np.mean(chunk**2)) < 1e-3:
            continue
        products = filters.fftconvolve(expected, chunk[::-1], "valid")
        told.append(float(np.max(products / np.sqrt(np.maximum(power, 1e-3) * np.sum(chunk**2)))))
    return told


def listen(live: Any, cable: Any, chunks: int = 6) -> NDArray[np.float32]:
    """The first sound that comes, (n,), and what follows."""
    live.wait(lambda s: s["type"] == "status" and s["state"] == "running", "running")
    cable.plug(inputs=False)
    for _ in range(60):
        heard = cable.play(np.zeros((chunks * CHUNK, 2), np.float32))
        if np.abs(heard).max() > 0.01:
            assert np.array_equal(heard[:, 0], heard[:, 1])
            return np.asarray(heard[:, 0])
    raise AssertionError("no sound came")


def test_an_emotion_is_heard_at_the_interface(jack: Any, program: Any, cable: Any) -> None:
    live = program(jack, "--input", "compose:peaceful:7", *DRY)
    heard = listen(live, cable, 12)
    live.stop()
    made = found(heard, render(tune("peaceful", 7, 120.0), find_soundfont(), 44100))
    # On a busy machine a block may be lost; what is heard is the melody all the same.
    assert made
    assert np.median(made) > 0.99


def test_a_spectrogram_is_heard_while_it_is_made(jack: Any, program: Any, cable: Any) -> None:
    live = program(jack, *DRY, command=("compose", "spectrogram", "generate", "--live", "--seed", "3"))
    heard = listen(live, cable)
    live.stop()
    generator = MelGenerator(load_mel_net(network_path()).network, seed=3)
    stream = StreamInversion(generator.loudest)
    frames = [stream.push(frame) for frame in generator.frames(LOOKAHEAD + round(20 * FRAMES_A_SECOND))]
    made = found(heard, resample(np.concatenate(frames[LOOKAHEAD:])[:, None], RATE, 44100)[:, 0])
    assert made
    # Frame after frame is made from the ones before, so that the last digit of a sum, which differs from processor to
    # processor and with the number of threads, is heard after some seconds: at first it is the same to the sample.
    assert max(made) > 0.9999
    assert np.median(made) > 0.9


class Synth:
    """A MIDI instrument at the server: what comes in, and when."""

    def __init__(self, server: str) -> None:
        jack = pytest.importorskip("jack", reason="the JACK-Client package is not installed")
        self.messages: list[tuple[float, bytes]] = []
        self._client = jack.Client("synth", servername=server, no_start_server=True)
        self._port = self._client.midi_inports.register("keys")
        self._client.set_process_callback(self._process)
        self._client.activate()

    def _process(self, frames: int) -> None:
        now = time.monotonic()
        self.messages += [(now, bytes(data)) for _, data in self._port.incoming_midi_events()]

    def notes(self, on: bool) -> list[tuple[float, int]]:
        """When, and which pitch, of note-ons or note-offs."""
        status = 0x90 if on else 0x80
        return [(when, data[1]) for when, data in self.messages if data[0] & 0xF0 == status]

    def close(self) -> None:
        self._client.deactivate()
        self._client.close()


@pytest.fixture
def synth_server(jack_server: Callable[..., Any]) -> Iterator[Any]:
    """A server that loses no MIDI."""
    server = jack_server("qsep-synth", synchronous=True)
    server.start()
    yield server
    server.stop()


def test_a_melody_is_played_on_a_midi_port(synth_server: Any, tmp_path: Path) -> None:
    synth = Synth(synth_server.name)
    words = "compose melody --emotion lively --seed 5 --bpm 240 --midi-out synth --loop"
    player = subprocess.Popen(
        [sys.executable, "-m", "qsep_live", *words.split()], env={**os.environ, **synth_server.env},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 90.0
        while len(synth.notes(on=True)) < 12 and player.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        player.send_signal(signal.SIGINT)
        out, err = player.communicate(timeout=30)
        time.sleep(0.2)
        begun, ended = synth.notes(on=True), synth.notes(on=False)
    finally:
        player.kill()
        player.wait()
        synth.close()
    assert err == ""
    assert "240 bpm" in out
    written = [event for event in tune("lively", 5, 240.0).events if event.begins][: len(begun)]
    assert len(begun) >= 12
    assert [pitch for _, pitch in begun] == [event.pitch for event in written]
    # In time: the tempo is what was asked for, however late single notes are on a busy machine.
    tempo = np.polyfit([event.seconds for event in written], [when for when, _ in begun], 1)[0]
    assert tempo == pytest.approx(1.0, abs=0.1)
    # Nothing sounds on after Ctrl-C.
    assert [pitch for _, pitch in ended] == [pitch for _, pitch in begun]
    assert synth.messages[-1][1][:2] == bytes([0xB0, 123])
