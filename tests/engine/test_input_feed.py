"""From the input process's callback to the audio process's, through shared memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from qsep_live.audio.devices import DeviceInfo, DeviceNotFoundError
from qsep_live.audio.stream import StreamTimes
from qsep_live.engine import input_feed, input_process
from qsep_live.engine.audio_process import AudioSettings, _Stream
from qsep_live.engine.endpoint import Endpoint
from qsep_live.engine.input_feed import InputFeed
from qsep_live.engine.input_process import Capture
from qsep_live.engine.shared import Board

BLOCK, RATE = 256, 48_000
NOTHING = np.zeros((BLOCK, 0), np.float32)


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board()
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `time.perf_counter` says on both sides."""
    now = [100.0]
    for module in (input_process, input_feed):
        monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def run(capture: Capture | None, feed: InputFeed, clock: list[float], blocks: int, level: float) -> np.ndarray:
    heard = np.zeros((blocks * BLOCK, 2), np.float32)
    sound = np.full((BLOCK, 2), level, np.float32)
    for number in range(blocks):
        clock[0] += BLOCK / RATE
        if capture is not None:
            capture.process(sound, NOTHING, StreamTimes(input_latency=2 * BLOCK / RATE))
        assert feed.read_into(heard[number * BLOCK : (number + 1) * BLOCK]) == BLOCK
    return heard


def test_sound_comes_through_and_another_process_takes_over(board: Board, clock: list[float]) -> None:
    feed = InputFeed(board, 2, RATE)
    assert not run(None, feed, clock, 3, 0.0).any()
    heard = run(Capture(board, RATE), feed, clock, 100, 0.5)
    assert heard[-1000:] == pytest.approx(0.5, abs=1e-4)
    assert feed.missed == 0
    # The device's own block, and from there both sides' blocks, the filter and the margin.
    assert feed.latency == pytest.approx((3 * BLOCK + 50) / RATE + 0.005, abs=0.001)
    quiet = run(None, feed, clock, 100, 0.0)
    assert not quiet[-1000:].any()
    assert feed.latency == 0.0
    heard = run(Capture(board, RATE), feed, clock, 100, 0.25)
    assert heard[-1000:] == pytest.approx(0.25, abs=1e-4)


def test_what_an_earlier_process_left_is_never_heard(board: Board, clock: list[float]) -> None:
    feed = InputFeed(board, 2, RATE)
    run(Capture(board, RATE), feed, clock, 100, 0.9)
    clock[0] += 5.0
    heard = run(Capture(board, RATE), feed, clock, 100, 0.2)
    assert heard.max() < 0.25


def test_where_the_input_is_opened(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    card = DeviceInfo(0, "card", "ALSA", 2, 2, RATE, (RATE,))
    other = DeviceInfo(1, "microphone", "ALSA", 2, 0, RATE, (RATE,))
    device, elsewhere = Endpoint("device"), Endpoint("device", server="usb")

    def asked(input: Endpoint, found: DeviceInfo | None, take: int = 1, apart: bool = False) -> object:
        def find(*_: object) -> DeviceInfo:
            if found is None:
                raise DeviceNotFoundError("gone")
            return found

        monkeypatch.setattr(Endpoint, "find_device", find)
        settings = AudioSettings(input, device, None, 0, 0.05, take=take, apart=apart)
        return _Stream(board, settings)._find_input(card)

    assert asked(device, card) == (card, False)
    assert asked(device, other) == (None, True)
    assert asked(elsewhere, card) == (None, True)
    assert asked(device, card, take=3, apart=True) == (None, True)
    assert asked(Endpoint("demo", "demo"), card) == (None, False)
    # It was there when the session began: the output need not wait for it.
    assert asked(device, None, take=2) == (None, True)
    with pytest.raises(DeviceNotFoundError):
        asked(device, None)
