from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.audio.fifo import ClockJoin, FrameFifo


def ramp(start: int, count: int) -> np.ndarray:
    return np.repeat(np.arange(start, start + count, dtype=np.float32)[:, None], 2, axis=1)


@given(st.integers(1, 50), st.lists(st.tuples(st.sampled_from("wrsz"), st.integers(0, 40)), max_size=80))
def test_random_traffic_matches_a_list(capacity: int, traffic: list[tuple[str, int]]) -> None:
    fifo, model, next_value = FrameFifo(capacity, 2), [], 1
    for action, count in traffic:
        if action == "w":
            took = fifo.write(ramp(next_value, count))
            assert took == min(count, capacity - len(model))
            model += range(next_value, next_value + took)
            next_value += took
        elif action == "z":
            took = fifo.write_silence(count)
            assert took == min(count, capacity - len(model))
            model += [0] * took
        elif action == "s":
            assert fifo.skip(count) == min(count, len(model))
            del model[:count]
        else:
            out = np.full((count, 2), -1, np.float32)
            got = fifo.read_into(out)
            expected = model[:got] + [0] * (count - got)
            assert got == min(count, len(model))
            assert out[:, 1].tolist() == expected
            del model[:got]
        assert fifo.fill == len(model)


def test_rewind_gives_the_last_frames_again() -> None:
    fifo = FrameFifo(100, 2)
    fifo.write(ramp(1, 30))
    fifo.read_into(np.empty((30, 2), np.float32))
    assert fifo.rewind(10) == 10
    out = np.empty((10, 2), np.float32)
    fifo.read_into(out)
    assert out[:, 0].tolist() == list(range(21, 31))


def test_two_threads_lose_nothing() -> None:
    fifo, total = FrameFifo(1000, 1), 100_000
    values = np.arange(total, dtype=np.float32)[:, None]

    def write() -> None:
        done = 0
        while done < total:
            done += fifo.write(values[done : done + 333])

    thread = threading.Thread(target=write)
    thread.start()
    got, scratch = [], np.empty((257, 1), np.float32)
    count = 0
    while count < total:
        n = fifo.read_into(scratch)
        got.append(scratch[:n].copy())
        count += n
    thread.join()
    assert (np.concatenate(got) == values).all()


def play(join: ClockJoin, blocks: int, block: int, ppm: float) -> tuple[list[int], np.ndarray]:
    """Let the input's clock run faster than the output's by some parts per million."""
    fills, out, written = [], np.empty((blocks * block, 2), np.float32), 0
    for number in range(blocks):
        due = int((number + 1) * block * (1 + ppm * 1e-6)) // block * block
        while written < due:
            join.write(ramp(written + 1, block))
            written += block
        join.read_into(out[number * block : (number + 1) * block])
        fills.append(join.fill)
    return fills, out


@pytest.mark.parametrize("ppm", [0, 3000, -3000])
def test_the_delay_between_two_clocks_stays_bounded(ppm: float) -> None:
    join = ClockJoin(2, 44100, 512)
    fills, out = play(join, 4000, 256, ppm)
    assert max(fills) <= 2 * join.target + 256
    frames = 4000 * 256
    drift = abs(ppm) * 1e-6 * frames
    assert abs(join.dropped - (drift if ppm > 0 else 0)) <= 2048
    assert abs(join.repeated - (drift if ppm < 0 else 0)) <= 2048
    assert join.silent <= 1024
    steps = np.diff(out[1024:, 0])
    assert (steps != 1).sum() == (0 if ppm == 0 else pytest.approx(drift / 512, rel=0.7))


def test_an_input_that_stops_becomes_silence() -> None:
    join = ClockJoin(2, 44100, 512)
    play(join, 50, 256, 0)
    out = np.ones((256, 2), np.float32)
    for _ in range(20):
        join.read_into(out)
    assert not out.any()
    assert join.fill == 0


def test_an_input_that_stalled_comes_back_without_added_delay() -> None:
    join = ClockJoin(2, 44100, 512)
    out = np.empty((256, 2), np.float32)
    for _ in range(40):
        join.write(ramp(1, 256))
    join.read_into(out)
    assert join.fill <= 2 * join.target
