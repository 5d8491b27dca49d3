from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from qsep_live.audio.stream import StreamTimes
from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.gain_field import GainField
from qsep_live.engine.mask_path import mid_side_of
from qsep_live.engine.mask_process import MaskLoop
from qsep_live.engine.mix import MODES, Mode
from qsep_live.engine.render import RenderSettings, render
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import SignalPath

TIMES = StreamTimes(0.0, 0.0, 0.0)


class Wiener:
    """A mask of the middle, or of how much louder than the side it is."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        power = shown**2
        rest = power[1] if self.channels == 2 else power[0].mean(axis=1, keepdims=True)
        return power[0] / (power[0] + (1.0 + z[0]) * rest + 1e-9)


class Shut:
    channels = 1

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.zeros_like(shown[0])


def noise(count: int, seed: int = 0) -> np.ndarray:
    swell = 0.5 + 0.5 * np.sin(np.arange(count) / 3000.0)
    return (swell[:, None] * np.random.default_rng(seed).uniform(-1, 1, (count, 2))).astype(np.float32)


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board()
    made.control.publish(wet=1.0, z0=0.5)
    yield made
    made.close()


def open_core(board: Board, rate: int, delay: float, lockstep: int = 0) -> AudioCore:
    field = GainField()
    patience = np.inf if lockstep else 1.0
    signal = SignalPath(plan_delay(delay, rate), 2, field, patience=patience, position=board.ring.written)
    core = AudioCore(board, signal, field, 1, 2, lockstep=lockstep)
    board.stream.publish(epoch=1, rate=rate, start=signal.position, lockstep=lockstep)
    return core


def play(core: AudioCore, sound: np.ndarray, block: int) -> np.ndarray:
    heard = np.zeros_like(sound)
    for start in range(0, len(sound), block):
        core.process(sound[start : start + block], heard[start : start + block], TIMES)
    return heard


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize(("block", "mode"), [(256, "isolate"), (1000, "remove"), (5000, "balance")])
def test_in_lockstep_live_is_the_offline_render(board: Board, rate: int, block: int, mode: Mode, channels: int) -> None:
    """The mask loop in a thread of its own, over the same shared memory as in a session."""
    delay, step = 0.06, 3000
    board.ring.write(np.ones((777, 2), np.float32))
    wiener = Wiener(channels)
    board.control.publish(mode=MODES.index(mode), gain=-3.0)
    board.control.refresh()
    core = open_core(board, rate, delay, step)
    loop, over = MaskLoop(board, wiener), threading.Event()

    def follow() -> None:
        while not over.is_set():
            if not loop.step():
                over.wait(0.0005)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        sound = noise(40_000)
        heard = play(core, sound, block)
    finally:
        over.set()
        thread.join()
    z = np.zeros(32, np.float32)
    z[0] = 0.5
    settings = RenderSettings(z, mode, gain=-3.0, delay=delay, period=step / rate)
    expected = np.concatenate(list(render([sound], rate, 2, wiener, settings)))
    late = round(delay * rate)
    np.testing.assert_allclose(heard[late:], expected[: len(sound) - late], atol=1e-5)
    assert np.abs(heard).max() > 0.1


def test_what_happened_is_on_the_board(board: Board) -> None:
    core = open_core(board, 44_100, 0.025)
    sound = 0.25 * np.ones((4096, 2), np.float32)
    sound[1000, 0], sound[2000, 1] = np.nan, np.inf
    heard = play(core, sound, 256)
    assert np.isfinite(heard).all()
    audio = board.audio
    audio.refresh()
    assert (audio["position"], audio["callbacks"], audio["blocksize"]) == (4096, 16, 256)
    assert audio["repaired"] == 2
    assert audio["mask_age"] == -1
    assert audio["frames"] == audio["held"] == 4096 // 512
    assert audio["level_out"] == pytest.approx(0.25, rel=0.05)
    assert board.times.sum() == 16
    assert board.ring.written == 4096
    heard = np.empty((4096, 2), np.float32)
    assert board.ring.at(4096, heard)
    assert heard[[999, 1000, 2000]].tolist() == [[0.25, 0.0], [0.125, -0.125], [0.125, 0.125]]


def test_a_block_takes_no_new_array_to_be_heard(board: Board) -> None:
    core = open_core(board, 44_100, 0.025)
    block = noise(512)
    play(core, block, 512)
    kept = core._heard
    tracemalloc.start()
    try:
        mid_side_of(block, kept[:512])
        peak = tracemalloc.get_traced_memory()[1]
        play(core, block, 512)
    finally:
        tracemalloc.stop()
    assert core._heard is kept
    assert peak < block.nbytes // 2


def test_a_mask_from_the_board_is_used_and_its_age_told(board: Board) -> None:
    core = open_core(board, 44_100, 0.025)
    loop = MaskLoop(board, Shut())
    sound = noise(44_100)
    heard = np.zeros_like(sound)
    for start in range(0, len(sound), 441):
        core.process(sound[start : start + 441], heard[start : start + 441], TIMES)
        loop.step()
    assert not heard[-22_050:].any()
    board.audio.refresh()
    assert board.audio["mask_age"] == 441
    assert board.audio["fallbacks"] == 0
