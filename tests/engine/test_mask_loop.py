from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from qsep_live.dsp.grid import BINS, FRAMES, MODEL_RATE, SEGMENT, segment_of
from qsep_live.engine.delay import LIVE_FRAMES
from qsep_live.engine.mask_path import FRESH, MaskPath
from qsep_live.engine.mask_process import MaskLoop
from qsep_live.engine.shared import RING_FRAMES, Board

RATE = 44_100
WINDOW = 2 * SEGMENT


class Network:
    """Stands in for the Separator: cheap, and keeps what it was asked."""

    channels = 2

    def __init__(self) -> None:
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        self.asked.append((shown, z))
        return shown[0] / (1.0 + shown[1])


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board()
    yield made
    made.close()


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def open_stream(board: Board, epoch: int = 1, rate: int = RATE, lockstep: int = 0) -> None:
    board.stream.publish(epoch=epoch, rate=rate, start=board.ring.written, lockstep=lockstep)


def write(board: Board, sound: np.ndarray) -> None:
    for start in range(0, len(sound), 8192):
        board.ring.write(sound[start : start + 8192])


def test_nothing_is_done_before_there_is_a_stream(board: Board) -> None:
    network = Network()
    loop = MaskLoop(board, network)
    write(board, noise(5000))
    assert not loop.step()
    assert network.asked == []


def test_gains_are_those_of_the_mask_path(board: Board) -> None:
    sound = noise(150_000)
    open_stream(board)
    board.control.publish(**{f"z{k}": k / 10 for k in range(32)})
    board.control.refresh()
    network = Network()
    loop = MaskLoop(board, network)
    expected = MaskPath(RATE, Network(), frames=LIVE_FRAMES)
    for piece in np.array_split(sound, 4):
        write(board, piece)
        assert loop.step()
        expected.push(piece)
        wanted = expected.step(np.zeros(32, np.float32))
        got = board.mailbox.collect(1)
        assert got is not None
        assert (got.end, got.first, got.spacing) == (wanted.end, wanted.first, wanted.spacing)
        np.testing.assert_array_equal(got.gains, wanted.gains)
    np.testing.assert_allclose(network.asked[-1][1], np.arange(32) / 10)
    board.mask.refresh()
    assert (board.mask["steps"], board.mask["end"], board.mask["epoch"]) == (4, 150_000, 1)
    assert board.mask["dropped"] == 0


def test_too_little_news_is_not_worth_a_step(board: Board) -> None:
    open_stream(board)
    loop = MaskLoop(board, Network())
    write(board, noise(FRESH - 1))
    assert not loop.step()
    write(board, noise(1))
    assert loop.step()
    assert not loop.step()


def test_a_period_holds_steps_apart(board: Board) -> None:
    open_stream(board)
    loop = MaskLoop(board, Network(), period=3600.0)
    loop._last = -7200.0
    write(board, noise(1000))
    assert loop.step()
    write(board, noise(1000))
    assert not loop.step()


def test_a_new_stream_starts_from_silence_at_its_own_position_and_rate(board: Board) -> None:
    network = Network()
    loop = MaskLoop(board, network)
    open_stream(board)
    write(board, noise(140_000))
    assert loop.step()
    assert network.asked[-1][0][..., 0].any()
    open_stream(board, epoch=2, rate=22_050)
    write(board, noise(10_000))
    assert loop.step()
    assert board.mailbox.collect(2) is not None
    shown = network.asked[-1][0]
    heard = 10_000 // 256
    assert not shown[..., : LIVE_FRAMES - heard - 5].any(), "the old stream must not be heard in the new one"
    assert shown[..., -heard:].any(axis=1).all()
    board.mask.refresh()
    assert (board.mask["end"], board.mask["epoch"], board.mask["dropped"]) == (150_000, 2, 0)


def test_gains_of_an_old_stream_are_not_taken_for_the_new_one(board: Board) -> None:
    loop = MaskLoop(board, Network())
    open_stream(board)
    write(board, noise(10_000))
    loop.step()
    assert board.mailbox.collect(2) is None


def test_a_closed_stream_rests(board: Board) -> None:
    loop = MaskLoop(board, Network())
    open_stream(board)
    write(board, noise(10_000))
    assert loop.step()
    open_stream(board, epoch=2, rate=0)
    write(board, noise(10_000))
    assert not loop.step()


def test_stale_work_is_dropped_and_counted_not_queued(board: Board) -> None:
    network = Network()
    loop = MaskLoop(board, network)
    open_stream(board)
    write(board, noise(1000))
    assert loop.step()
    sound = noise(5 * WINDOW, seed=2)
    write(board, sound)
    assert loop.step()
    assert len(network.asked) == 2, "one step, however much there is"
    board.mask.refresh()
    assert board.mask["end"] == 1000 + len(sound)
    assert len(sound) - 1.1 * WINDOW < board.mask["dropped"] <= len(sound) - WINDOW
    fresh = MaskPath(RATE, Network(), frames=LIVE_FRAMES)
    fresh.push(sound[-WINDOW:])
    got = board.mailbox.collect(1)
    assert got is not None
    np.testing.assert_allclose(got.gains, fresh.step(np.zeros(32, np.float32)).gains, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 48_000, 96_000])
def test_after_a_drop_the_window_is_full(board: Board, rate: int) -> None:
    network = Network()
    loop = MaskLoop(board, network)
    open_stream(board, rate=rate)
    write(board, noise(min(RING_FRAMES - 1, 8 * rate)))
    assert loop.step()
    assert network.asked[-1][0].any(axis=1).all(), "sound in every frame"


def test_a_mask_process_that_starts_late_joins_without_calling_the_past_dropped(board: Board) -> None:
    open_stream(board)
    sound = noise(int(1.3 * RING_FRAMES))
    write(board, sound)
    network = Network()
    assert MaskLoop(board, network).step()
    board.mask.refresh()
    assert board.mask["dropped"] == 0
    fresh = MaskPath(RATE, Network(), frames=LIVE_FRAMES)
    fresh.push(sound[-WINDOW:])
    got = board.mailbox.collect(1)
    assert got is not None
    np.testing.assert_allclose(got.gains, fresh.step(np.zeros(32, np.float32)).gains, atol=1e-5)
    assert got.first == pytest.approx(len(sound) - 2 * segment_of(LIVE_FRAMES) + 1024)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_in_lockstep_every_multiple_of_the_step_gets_its_mask(board: Board, rate: int) -> None:
    step = 3000
    write(board, noise(777))
    open_stream(board, rate=rate, lockstep=step)
    loop = MaskLoop(board, Network())
    ends = []
    sound = noise(5 * step + 100)
    expected = MaskPath(rate, Network(), 777, frames=LIVE_FRAMES)
    for number in range(5):
        piece = sound[number * step : (number + 1) * step]
        for part in np.array_split(piece, 3):
            assert not loop.step(), "before the grid position there is nothing to do"
            write(board, part)
            expected.push(part)
        assert loop.step()
        got = board.mailbox.collect(1)
        assert got is not None
        np.testing.assert_allclose(got.gains, expected.step(np.zeros(32, np.float32)).gains, atol=1e-4)
        ends.append(got.end)
    assert ends == [777 + step * k for k in range(1, 6)]


def test_in_lockstep_a_late_loop_takes_the_positions_one_by_one(board: Board) -> None:
    open_stream(board, lockstep=1000)
    loop = MaskLoop(board, Network())
    write(board, noise(3500))
    ends = []
    while loop.step():
        got = board.mailbox.collect(1)
        assert got is not None
        ends.append(got.end)
    assert ends == [1000, 2000, 3000]


def test_masks_are_as_far_ahead_as_the_sound_will_be_when_they_end(board: Board) -> None:
    """A network that takes as long as 3000 samples: its masks are used until the next one's end, 6000 after theirs."""
    took, sound = 3000, noise(60_000)
    delay, window = 2000, 1024

    class Slow(Network):
        def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
            write(board, sound[:took])
            return super().__call__(shown, z)

    network = Slow()
    board.stream.publish(epoch=1, rate=RATE, start=0, delay=delay, window=window, lag=delay - window / 2)
    loop = MaskLoop(board, network, ahead=20)
    write(board, sound[:20_000])
    hidden = []
    for _ in range(5):
        assert loop.step()
        columns = network.asked[-1][0].any(axis=(0, 1))
        hidden.append(LIVE_FRAMES - 1 - int(np.flatnonzero(columns)[-1]))
    assert hidden[0] == 0, "before a mask has come nobody knows how long they take"
    # A frame is whole 1024 samples after its middle; the signal path asks for a time so much before its newest sample.
    wanted = 2 * took - (delay - window / 2) + 1024
    assert hidden[1:] == [math.ceil(wanted / 512)] * 4
    assert loop.step()
    frames = board.mailbox.collect(1)
    assert frames is not None
    last = frames.first + (LIVE_FRAMES - 1) * frames.spacing
    assert last >= frames.end + 2 * took - (delay - window / 2)


def test_run_beats_and_stops_when_told(board: Board) -> None:
    open_stream(board)
    write(board, noise(1000))
    board.control.publish(stop=1.0)
    MaskLoop(board, Network()).run()
    assert board.beats[1] > 0


def test_the_stand_in_is_a_mask() -> None:
    assert Network()(np.ones((2, BINS, FRAMES), np.float32), np.zeros(32, np.float32)).max() <= 1.0
    assert pytest.approx(WINDOW / RATE) == SEGMENT / MODEL_RATE
