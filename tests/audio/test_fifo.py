from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.audio.fifo import FrameFifo


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
