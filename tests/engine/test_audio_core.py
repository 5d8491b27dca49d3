from __future__ import annotations

import threading
import tracemalloc
import types
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from qsep_live.audio.stream import StreamTimes
from qsep_live.dsp.grid import BINS
from qsep_live.engine import input_feed, input_process
from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.input_feed import InputFeed
from qsep_live.engine.input_process import Capture
from qsep_live.engine.limiter import Limiter
from qsep_live.engine.mask_path import mid_side_of
from qsep_live.engine.mask_process import MaskLoop
from qsep_live.engine.mix import MODES, Mode
from qsep_live.engine.render import RenderSettings, render
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import SignalPath
from qsep_live.engine.strip import Strip

TIMES = StreamTimes(0.0, 0.0, 0.0)


class Wiener:
    """A mask of the middle, or of how much louder than the side it is; frames ahead are let through."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        power = shown**2
        rest = power[1] if self.channels == 2 else power[0].mean(axis=1, keepdims=True)
        return np.where(shown[0].any(axis=0), power[0] / (power[0] + (1.0 + z[0]) * rest + 1e-9), 1.0)


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


def open_core(
    board: Board, rate: int, delay: float, lockstep: int = 0, strips: Sequence[Strip] | None = None
) -> AudioCore:
    field = GainField()
    patience = np.inf if lockstep else 1.0
    signal = SignalPath(
        plan_delay(delay, rate), 2, field, patience=patience, position=board.ring.written, presets=len(strips or [1])
    )
    core = AudioCore(board, signal, field, 1, 2, strips=strips, lockstep=lockstep)
    plan = signal.plan
    board.stream.publish(
        epoch=1,
        rate=rate,
        start=signal.position,
        lockstep=lockstep,
        delay=plan.samples,
        window=plan.grid.delay,
        lag=plan.lag,
    )
    return core


def play(core: AudioCore, sound: np.ndarray, block: int) -> np.ndarray:
    heard = np.zeros_like(sound)
    for start in range(0, len(sound), block):
        core.process(sound[start : start + block], heard[start : start + block], TIMES)
    return heard


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize(("block", "mode"), [(256, "isolate"), (1000, "remove"), (5000, "balance")])
@pytest.mark.parametrize("ahead", [0, 12])
def test_in_lockstep_live_is_the_offline_render(
    board: Board, rate: int, block: int, mode: Mode, channels: int, ahead: int
) -> None:
    """The mask loop in a thread of its own, over the same shared memory as in a session."""
    delay, step = 0.06, 3000
    board.ring.write(np.ones((777, 2), np.float32))
    wiener = Wiener(channels)
    board.control.publish(mode=MODES.index(mode), gain=-3.0)
    board.control.refresh()
    core = open_core(board, rate, delay, step)
    loop, over = MaskLoop(board, wiener, ahead=ahead), threading.Event()

    def follow() -> None:
        while not over.is_set():
            if not loop.step():
                over.wait(0.0005)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        sound = np.float32(0.7) * noise(40_000)  # the limiter stays out of it
        heard = play(core, sound, block)
    finally:
        over.set()
        thread.join()
    z = np.zeros(32, np.float32)
    z[0] = 0.5
    settings = RenderSettings(z, mode, gain=-3.0, delay=delay, period=step / rate, ahead=ahead)
    expected = np.concatenate(list(render([sound], rate, 2, wiener, settings)))
    late = round(delay * rate)
    np.testing.assert_allclose(heard[late:], expected[: len(sound) - late], atol=1e-5)
    assert np.abs(heard).max() > 0.1


@pytest.mark.parametrize("apart", [False, True])
def test_ten_thousand_blocks_leave_no_allocation_behind(
    board: Board, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fresh masks, moving knobs, sound that is too loud, and an input device of its own in one of the cases."""
    core, block = open_core(board, 44_100, 0.025), 128
    if apart:
        core._source = InputFeed(board, 2, 44_100)
        capture = Capture(board, 44_100)
    sound = 1.5 * noise(64 * block)
    heard, nothing = np.zeros((block, 2), np.float32), np.zeros((block, 0), np.float32)
    gains = np.full((8, BINS), 0.7, np.float32)
    now = [100.0]
    for module in (input_feed, input_process):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def run(blocks: int) -> None:
        for number in range(blocks):
            start = number % 64 * block
            # An interruption now and then, after which an input device's sound begins anew.
            now[0] += 5.0 if number % 1000 == 0 else block / 44_100
            if apart:
                capture.process(sound[start : start + block], nothing, TIMES)
            if number % 16 == 0:
                end = core._signal.position
                board.mailbox.publish(GainFrames(end, end - 7 * 512.0, 512.0, gains), 1)
                board.control.publish(wet=number % 3 / 2, gain=float(number % 5))
            core.process(nothing if apart else sound[start : start + block], heard, TIMES)

    run(500)
    tracemalloc.start()
    try:
        run(500)
        before = tracemalloc.get_traced_memory()[0]
        run(10_000)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # A float here or there is another object than before; a leak of one a block would be 240 kB.
    assert after - before < 4096
    board.audio.refresh()
    assert board.audio["callbacks"] == 11_000
    assert board.audio["limited"] > 0


class Two:
    """`Wiener` for each of several latents."""

    channels = 1

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.stack([Wiener(1)(shown, latent) for latent in z])


def test_presets_at_once_are_each_the_render_of_its_own(board: Board) -> None:
    """Over the same shared memory as in a session: two latents, one mask step, four channels."""
    rate, delay, step = 44_100, 0.06, 3000
    board.control.publish(z0=0.5, z32=20.0)
    strips = [Strip(2, limiter=Limiter(rate), outputs=places) for places in ((2, 3), (0,))]
    core = open_core(board, rate, delay, step, strips)
    loop = MaskLoop(board, Two(), presets=2)
    sound = np.float32(0.7) * noise(30_000)  # the limiter stays out of it
    heard = np.zeros((len(sound), 4), np.float32)
    for start in range(0, len(sound), 500):
        # The mask that the block before waited for would be one block late otherwise.
        loop.step()
        core.process(sound[start : start + 500], heard[start : start + 500], TIMES)
    late = round(delay * rate)
    for places, level in (((2, 3), 0.5), ((0,), 20.0)):
        z = np.zeros(32, np.float32)
        z[0] = level
        settings = RenderSettings(z, delay=delay, period=step / rate)
        alone = np.concatenate(list(render([sound], rate, 2, Wiener(1), settings)))[: len(sound) - late]
        alone = alone if len(places) == 2 else alone.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(heard[late:, places], alone, atol=1e-5)
        assert np.abs(alone).max() > 0.05
    assert not heard[:, 1].any()


def test_a_core_that_waits_for_a_mask_ends_when_told(board: Board) -> None:
    core = open_core(board, 44_100, 0.06, 500)
    threading.Timer(0.2, board.control.publish, kwargs={"stop": 1.0}).start()
    heard = play(core, noise(4000), 250)
    assert len(heard) == 4000


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
    assert audio["frames"] == audio["held"] == 4096 // 256
    assert audio["level_out"] == pytest.approx(0.25, rel=0.05)
    assert board.times.sum() == 16
    assert board.ring.written == 4096
    heard = np.empty((4096, 2), np.float32)
    assert board.ring.at(4096, heard)
    assert heard[[999, 1000, 2000]].tolist() == [[0.25, 0.0], [0.125, -0.125], [0.125, 0.125]]


def test_a_new_stream_begins_to_count_at_zero(board: Board) -> None:
    play(open_core(board, 44_100, 0.025), noise(4096), 256)
    open_core(board, 44_100, 0.025)
    board.audio.refresh()
    assert board.audio["mask_age"] == -1
    assert board.audio["callbacks"] == board.audio["blocksize"] == board.audio["position"] == 0


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


INPUTS = {
    "nan": np.full((1, 2), np.nan, np.float32),
    "infinity": np.array([[np.inf, -np.inf]], np.float32),
    "beyond any sound": np.array([[3e38, -3e38]], np.float32),
    "120 dB over": np.array([[1e6, -1e6]], np.float32),
    "dc": np.ones((1, 2), np.float32),
    "square": np.repeat([[1.0, -1.0], [-1.0, 1.0]], 50, axis=0).astype(np.float32),
    "one of each": np.array([[0.1, 0.1], [np.nan, 0.1], [0.1, np.inf], [9.0, -9.0]], np.float32),
}


class Overloading:
    """A rack whose output is 40 dB louder, with the samples of ``bad`` in it."""

    parameters = ()
    latency = 0
    faults: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, bad: float) -> None:
        self._bad = np.float32(bad)

    def process(self, block: np.ndarray) -> np.ndarray:
        out = 100 * block
        out[::37] = self._bad
        return out


@pytest.mark.parametrize("wet", [0.0, 1.0])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INPUTS)
def test_nothing_passes_full_scale(board: Board, name: str, mode: Mode, wet: float) -> None:
    """Bad input for a while with the gain all the way up; half a second after it all is as if it had never been."""
    board.control.publish(mode=MODES.index(mode), wet=wet, gain=12.0)
    board.control.refresh()
    bad = np.tile(INPUTS[name], (4000, 1))[:4000]
    quiet = 0.05 * noise(12_000)
    heard = {}
    for ceiling in (1e9, 1.0):
        core = open_core(board, 8000, 0.05, strips=[Strip(2, limiter=Limiter(8000, ceiling))])
        core._field.publish(GainFrames(1 << 40, 0.0, 93.0, np.full((2, BINS), 0.5, np.float32)))
        heard[ceiling] = play(core, np.concatenate([quiet, bad, quiet]), 250)
        board.audio.refresh()
    assert np.isfinite(heard[1.0]).all()
    assert np.abs(heard[1.0]).max() <= 1.0
    assert (board.audio["limited"] > 0) == (np.abs(heard[1e9]).max() > 1.0)
    assert board.audio["repaired"] == np.count_nonzero(~(np.abs(bad) <= 1e6))
    late = 400
    np.testing.assert_allclose(heard[1.0][20_000 + late :], heard[1.0][4000 + late : 12_000], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -3e38, 50.0])
def test_nor_does_what_a_rack_makes(board: Board, bad: float) -> None:
    strip = Strip(2, Overloading(bad), limiter=Limiter(8000))  # type: ignore[arg-type]
    heard = play(open_core(board, 8000, 0.05, strips=[strip]), noise(8000), 250)
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1.0
    board.audio.refresh()
    assert board.audio["limited"] > 0
