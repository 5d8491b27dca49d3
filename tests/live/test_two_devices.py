"""The input on one device, the output on another: two JACK servers, each with a clock and a rate of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

TONE = 1000.0

PLAYER = """
import sys, time, numpy as np, jack
client = jack.Client("player", no_start_server=True)
outs = [client.outports.register(f"out_{n}") for n in (1, 2)]
place = 0
@client.set_process_callback
def process(frames):
    global place
    sound = 0.3 * np.sin(2 * np.pi * float(sys.argv[1]) / client.samplerate * np.arange(place, place + frames))
    place += frames
    for out in outs:
        out.get_array()[:] = sound
client.activate()
while True:
    for out, port in zip(outs, client.get_ports("qsep-live:in", is_input=True)):
        if port not in client.get_all_connections(out):
            client.connect(out, port)
    time.sleep(0.1)
"""


@pytest.fixture
def player() -> Iterator[Callable[[Any], None]]:
    """Play a tone into whoever listens at a server."""
    started: list[subprocess.Popen[bytes]] = []

    def start(server: Any) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", PLAYER, str(TONE)]
        started.append(subprocess.Popen(command, env=server.env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))

    yield start
    for one in started:
        one.kill()
        one.wait()


def tone_in(heard: NDArray[np.float32]) -> float:
    """Hz of the loudest tone, 0.0 in silence."""
    if np.abs(heard).max() < 1e-3:
        return 0.0
    spectrum = np.abs(np.fft.rfft(heard[:, 0] * np.hanning(len(heard))))
    return float(np.argmax(spectrum)) * 44100 / len(heard)


def test_the_input_dies_and_comes_back_and_the_output_plays_on(
    jack: Any, mortal_jack: Any, program: Any, listener: Callable[[str], Any], player: Callable[[Any], None]
) -> None:
    mortal_jack.stop()
    mortal_jack.rate = 48000
    mortal_jack.start()
    player(mortal_jack)
    options = ("--preset", "vocals", "--no-midi", "--wet", "0", "--delay", "20ms")
    live = program(jack, *options, "--input", f"jack:{mortal_jack.name}")

    def running(**counters: int) -> dict[str, Any]:
        asked = time.time()
        found: dict[str, Any] = live.wait(
            lambda s: (
                s["type"] == "status"
                and s["time"] > asked
                and s["state"] == "running"
                and s["level_in"] is not None
                and s["level_in"] > -20
                and all(s[name] >= value for name, value in counters.items())
            ),
            f"sound from the input, with {counters}",
        )
        return found

    first = running()
    assert first["rate"] == 44100
    assert f"{mortal_jack.name} at 48000 Hz → " in first["device"]
    ears = listener(jack.name)
    ears.plug(inputs=False)
    silence = np.zeros((44100, 2), np.float32)
    # Blocks that a busy machine loses move the peak; samples taken at the wrong rate would move it by 9 %.
    assert tone_in(ears.play(silence)) == pytest.approx(TONE, rel=0.05)
    # Two servers that are timed by the same machine drift by little; the delay is that of the join.
    assert 0.01 < first["latency"]["device_in"] < 0.08

    mortal_jack.kill()
    deaf = live.wait(lambda s: s["type"] == "status" and s["state"] == "no input", "a session without input")
    later = live.wait(
        lambda s: s["type"] == "status" and s["callbacks"] > deaf["callbacks"] + 200 and s["level_in"] is not None,
        "callbacks without input",
    )
    assert later["state"] == "no input"
    assert tone_in(ears.play(silence)) == 0.0
    for text in ("the input was lost; silence until it is back", f"no JACK server '{mortal_jack.name}' answers"):
        if not any(text in s.get("text", "") for s in live.seen):
            live.wait(lambda s, text=text: text in s.get("text", ""), repr(text))

    mortal_jack.start()
    player(mortal_jack)
    back = running(input_restarts=1)
    assert tone_in(ears.play(silence)) == pytest.approx(TONE, rel=0.05)
    assert (back["audio_restarts"], back["mask_restarts"]) == (0, 0)
    assert back["callbacks"] > later["callbacks"]

    for child in psutil.Process(live.process.pid).children(recursive=True):
        if any("portaudio" in mapped.path for mapped in child.memory_maps()):
            os.kill(child.pid, signal.SIGKILL)
    running(input_restarts=back["input_restarts"] + 1, audio_restarts=1)
    told = live.stop()
    assert told["missed"] >= 0
    assert live.errors() == ""


def test_a_server_that_is_not_there_is_one_line(jack: Any, program: Any) -> None:
    live = program(jack, "--preset", "vocals", "--no-midi", "--input", "jack:qsep-nobody")
    assert live.process.wait(60) in (1, 2)
    lines = [line for line in live.errors().splitlines() if line]
    assert lines == [
        "qsep-live: error: no JACK server 'qsep-nobody' answers; start it: jackd --name qsep-nobody -d alsa"
    ]
