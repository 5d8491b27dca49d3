"""What a stage does to a session: it goes on, says what happened, and nothing louder than full scale comes out.

docs/reliability.md is the table of these. Most tests disturb one and the same session.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from numpy.typing import NDArray

RATE = 44100


def longest_silence(heard: NDArray[np.float32]) -> float:
    """Seconds of the longest stretch without sound, the start apart."""
    heard = heard[RATE // 2 :]
    loud = np.flatnonzero(np.abs(heard).max(axis=1) > 1e-4)
    return float(np.diff(np.concatenate([[0], loud, [len(heard)]])).max()) / RATE


def no_louder_than_full_scale(heard: NDArray[np.float32]) -> bool:
    return bool(np.isfinite(heard).all() and np.abs(heard).max() <= 1.0)


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_bad_input_and_too_much_of_it(stage: Any, cable: Any) -> None:
    """NaN, infinity, DC and squares that are 40 dB too loud: the wires carry them, the loudspeakers do not."""
    before = stage.well()
    cable.plug()
    quarter = RATE // 4
    square = 100.0 * np.sign(np.sin(np.arange(quarter) / 30.0))[:, None] * np.ones((1, 2))
    tone = 0.3 * np.sin(np.arange(2 * RATE) / 10.0)[:, None] * np.ones((1, 2))
    bad = [np.full((quarter, 2), value) for value in (np.nan, np.inf, -np.inf, 100.0, 1.0)]
    heard = cable.play(np.concatenate([tone, *bad, square, tone]).astype(np.float32), freewheel=True)
    assert no_louder_than_full_scale(heard)
    assert np.abs(heard[-quarter:]).max() > 0.01
    after = stage.well(limited=before["limited"] + 1)
    assert after["repaired"] - before["repaired"] == 3 * 2 * quarter
    assert after["audio_restarts"] == before["audio_restarts"]


def test_the_mask_process_is_stopped_for_a_while(stage: Any, cable: Any) -> None:
    before = stage.well()
    cable.plug()
    with stopped(stage.mask):
        heard = cable.listen(1.6)
    after = stage.well(fallbacks=before["fallbacks"] + 1)
    assert longest_silence(heard) < 0.01
    assert no_louder_than_full_scale(heard)
    assert after["mask_restarts"] == before["mask_restarts"]


def test_the_mask_process_is_stopped_for_good(stage: Any, cable: Any) -> None:
    before = stage.well()
    cable.plug()
    mask = stage.mask
    mask.suspend()
    stage.event("the mask process hung; killed")
    heard = cable.listen(3.0)
    stage.well(mask_restarts=before["mask_restarts"] + 1)
    assert not mask.is_running()
    assert longest_silence(heard) < 0.01
    assert no_louder_than_full_scale(heard)


def test_the_mask_process_is_ten_times_slower(stage: Any, cable: Any) -> None:
    """It runs for one millisecond of every ten, as beside nine others on its core."""
    before = stage.well()
    cable.plug()
    mask, over = stage.mask, threading.Event()

    def slow_down() -> None:
        while not over.is_set():
            with stopped(mask):
                time.sleep(0.009)
            time.sleep(0.001)

    thread = threading.Thread(target=slow_down)
    thread.start()
    try:
        heard = cable.listen(3.0)
        time.sleep(2.0)
    finally:
        over.set()
        thread.join()
    after = stage.well(held=before["held"] + 1)
    assert longest_silence(heard) < 0.01
    assert no_louder_than_full_scale(heard)
    assert after["mask_restarts"] == before["mask_restarts"]


def test_the_network_raises(stage: Any, cable: Any) -> None:
    before = stage.well()
    cable.plug()
    (stage.faults / "mask-raises").touch()
    heard = cable.listen(3.0)
    assert "CUDA error: an illegal memory access" in stage.event("mask process: ")
    stage.event("the mask process is back")
    stage.well(mask_restarts=before["mask_restarts"] + 1)
    assert longest_silence(heard) < 0.01
    assert no_louder_than_full_scale(heard)


@pytest.mark.parametrize(
    ("effect", "fault"),
    [
        ("raises", "RuntimeError: the plugin fell over"),
        ("nan", "returned samples that are not finite"),
    ],
)
def test_an_effect_fails(stage: Any, cable: Any, effect: str, fault: str) -> None:
    before = stage.well()
    cable.plug()
    (stage.faults / effect).touch()
    heard = cable.listen(2.0)
    stage.event(f"rack: {effect} is bypassed: {fault}")
    after = stage.well(rack_faults=before["rack_faults"] + 1)
    assert longest_silence(heard) < 0.01
    assert no_louder_than_full_scale(heard)
    assert after["audio_restarts"] == before["audio_restarts"]


def test_an_effect_takes_too_long(stage: Any, cable: Any) -> None:
    before = stage.well()
    cable.plug()
    # In real time, as on stage: a server that changes to freewheel mode meanwhile throws a late client out.
    (stage.faults / "slow").touch()
    stage.event("rack: slow is bypassed: takes longer than the sound lasts")
    after = stage.well(rack_faults=before["rack_faults"] + 1)
    heard = cable.listen(2.0)
    assert longest_silence(heard) < 0.01
    assert no_louder_than_full_scale(heard)
    assert after["audio_restarts"] == before["audio_restarts"]


def test_a_preset_file_is_edited_broken_and_mended(stage: Any) -> None:
    before = stage.well()
    path = stage.presets / "vocals.toml"
    text = path.read_text()
    path.write_text((stage.presets / "bass.toml").read_text())
    stage.event("vocals.toml: read again")
    path.write_text(text[: len(text) // 2])
    assert "vocals stays as it was" in stage.event("vocals.toml")
    path.write_text(text)
    stage.event("vocals.toml: read again")
    after = stage.well(reloads=before["reloads"] + 2)
    assert after["audio_restarts"] == before["audio_restarts"]
    assert after["mask_restarts"] == before["mask_restarts"]


def test_midi_floods_and_talks_nonsense_and_is_pulled_and_put_back(stage: Any, pad: Any) -> None:
    before = stage.well()
    host = psutil.Process(stage.program.process.pid)
    random = np.random.default_rng(0)

    def sweep(value: int) -> None:
        """The whole way there and back to ``value``, so that a soft takeover lets the knob in."""
        for position in [*range(128), *range(126, value - 1, -1)]:
            pad.send([0xB0, 1, position])

    def morphs_to(value: int) -> None:
        stage.program.wait(
            lambda s: s["type"] == "status" and abs(s["morph"] - value / 127) < 0.01,
            f"the morph position {value}",
            nudge=lambda: sweep(value),
        )

    def flood() -> None:
        """Ten thousand controllers a second for two seconds."""
        start = time.monotonic()
        for burst in range(200):
            for n in range(100):
                pad.send([0xB0, 1, (burst + n) % 128])
            time.sleep(max(0.0, start + 0.01 * (burst + 1) - time.monotonic()))

    pad.plug()
    stage.event("pad")
    morphs_to(100)
    size = host.memory_info().rss
    flood()
    morphs_to(30)
    for length in random.integers(1, 12, 2000):
        pad.send(random.integers(0, 256, length).tolist())
    pad.send([0xF7])
    morphs_to(90)
    assert host.memory_info().rss - size < 4e6
    stage.child(("rtmidi",)).kill()
    stage.event("the MIDI process had ended; started again")
    stage.event("is connected")
    morphs_to(60)
    pad.send([0xF0, 1, 2, 3])
    pad.pull()
    stage.event("is gone")
    pad.plug()
    stage.event("is back")
    morphs_to(0)
    after = stage.well()
    assert after["audio_restarts"] == before["audio_restarts"]
    assert after["mask_restarts"] == before["mask_restarts"]


def test_the_machine_is_suspended(stage: Any, cable: Any, jack: Any) -> None:
    """All processes stop for longer than any patience, the server too, and go on."""
    before = stage.well()
    everything = [psutil.Process(pid) for pid in (jack.process.pid, stage.program.process.pid)]
    everything += [stage.audio, stage.mask]
    with stopped(*everything):
        time.sleep(6.0)
    after = stage.well()
    cable.plug()
    heard = cable.listen(2.0)
    assert longest_silence(heard) < 0.01
    assert no_louder_than_full_scale(heard)
    assert after["audio_restarts"] == before["audio_restarts"]
    assert after["mask_restarts"] == before["mask_restarts"]


def test_the_disk_is_full_while_recording(stage: Any, cable: Any) -> None:
    """The recording's process may not make a file any longer, as on a full disk: what fitted is kept."""
    before = stage.well()
    cable.plug()
    stage.audio.rlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    heard = cable.listen(2.0)
    said = stage.event("take.wav cannot be written")
    assert "the file size limit is reached" in said
    assert "s were kept" in said
    assert longest_silence(heard) < 0.01
    sound, rate = soundfile.read(stage.take)
    assert rate == RATE
    assert len(sound) > 3 * RATE
    assert np.abs(sound).max() <= 1.0
    assert stage.well()["audio_restarts"] == before["audio_restarts"]


def test_the_audio_process_is_killed(stage: Any, cable: Any) -> None:
    before = stage.well()
    os.kill(stage.audio.pid, signal.SIGKILL)
    stage.event("the sound was lost; waiting for the device")
    lost = time.monotonic()
    stage.event("sound is back")
    away = time.monotonic() - lost
    after = stage.well(audio_restarts=before["audio_restarts"] + 1)
    cable.plug()
    heard = cable.listen(1.0)
    assert no_louder_than_full_scale(heard)
    assert longest_silence(heard) < 0.01
    assert away < 10.0
    assert after["limited"] >= before["limited"]


def test_two_at_once_and_sigterm_for_one(stage: Any, home: Any, jack: Any, tmp_path: Any, new_stage: Any) -> None:
    """A service manager sends SIGTERM to every process of a session: it ends in good order, its neighbour plays on."""
    before = stage.well()
    second = new_stage(tmp_path, "--no-midi")
    second.program.running()
    assert stage.well()["audio_restarts"] == before["audio_restarts"]
    time.sleep(1.0)
    processes = psutil.Process(second.program.process.pid).children(recursive=True)
    for process in [*processes, second.program.process]:
        process.send_signal(signal.SIGTERM)
    summary = second.program.wait(lambda s: s["type"] == "summary", "the summary")
    assert second.program.process.wait(20) == 0
    assert second.program.errors() == ""
    assert summary["callbacks"] > 0
    assert len(soundfile.read(second.take)[0]) > RATE // 2
    after = stage.well()
    assert after["audio_restarts"] == before["audio_restarts"]
    assert after["callbacks"] > before["callbacks"]


def test_the_server_comes_back_at_a_rate_that_was_not_asked_for(mortal_jack: Any, program: Any) -> None:
    """It is said once, whatever the number of attempts, and the right rate is waited for."""
    live = program(mortal_jack, "--preset", "vocals", "--no-midi", "--rate", "44100")
    live.running()
    mortal_jack.kill()
    live.wait(lambda s: s["type"] == "status" and s["state"] == "waiting", "waiting")
    mortal_jack.rate = 48000
    mortal_jack.start()
    live.wait(lambda s: s["type"] == "event" and "cannot run at 44100 Hz" in s["text"], "what is wrong")
    first = len(live.seen)
    tried = live.wait(lambda s: s["type"] == "status" and s["audio_restarts"] >= 3, "another attempt")
    assert tried["state"] == "waiting"
    mortal_jack.stop()
    mortal_jack.rate = 44100
    mortal_jack.start()
    live.wait(lambda s: s["type"] == "status" and s["state"] == "running", "running again")
    assert not [s for s in live.seen[first:] if "cannot run at 44100 Hz" in s.get("text", "")]
    live.stop()
    assert live.errors() == ""


@pytest.mark.parametrize(("rate", "period"), [(48000, 256), (44100, 1024)])
def test_the_server_comes_back_otherwise(
    mortal_jack: Any, program: Any, listener: Callable[[str], Any], rate: int, period: int
) -> None:
    live = program(mortal_jack, "--preset", "vocals", "--no-midi", "--delay", "50ms")
    live.running()
    mortal_jack.kill()
    live.wait(lambda s: s["type"] == "status" and s["state"] == "waiting", "waiting")
    mortal_jack.rate, mortal_jack.period = rate, period
    mortal_jack.start()
    back = live.wait(
        lambda s: (
            s["type"] == "status" and s["state"] == "running" and s["audio_restarts"] and (s["mask_age"] or 9.0) < 0.9
        ),
        "running again",
    )
    assert (back["rate"], back["blocksize"]) == (rate, period)
    assert abs(back["latency"]["window"] + back["latency"]["wait"] - 0.05) < 1e-3
    cable = listener(mortal_jack.name)
    cable.plug()
    heard = cable.listen(1.0)
    assert np.abs(heard).max() > 0.01
    live.stop()
    assert live.errors() == ""
