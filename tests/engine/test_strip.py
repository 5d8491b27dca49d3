"""Channel strips: laid out on their channels, and in step whatever their effects take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.engine.part import numbered
from qsep_live.engine.strip import Strip, in_step, lay_out, width_of


class Echo:
    """A rack that gives back what it got, so many samples late."""

    def __init__(self, latency: int) -> None:
        self.latency = latency
        self._held = np.zeros((latency, 2), np.float32)

    def process(self, block: np.ndarray) -> np.ndarray:
        sound = np.concatenate([self._held, block])
        self._held = sound[len(block) :]
        return sound[: len(block)]


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(count).uniform(-1, 1, (count, 2)).astype(np.float32)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.lists(st.integers(0, 50), max_size=20))
def test_strips_are_in_step_however_the_sound_is_cut(latencies: list[int], sizes: list[int]) -> None:
    racks = [Echo(latency) if latency else None for latency in latencies]
    strips = [Strip(2, rack, late) for rack, late in zip(racks, in_step(racks), strict=True)]  # type: ignore[arg-type]
    sound = noise(sum(sizes) + 200)
    pieces = np.split(sound, np.cumsum(sizes))
    heard = [np.concatenate([strip.process(piece, piece, "isolate", 1.0, 0.0) for piece in pieces]) for strip in strips]
    late = max(latencies)
    for each in heard:
        np.testing.assert_array_equal(each[late:], sound[: len(sound) - late])
        assert not each[:late].any()


def test_channels_are_where_they_were_asked_for() -> None:
    one, two = noise(5), noise(6)[:5]
    outputs = [(3, 4), (1,)]
    out = lay_out([one, two], outputs, np.full((5, width_of(outputs)), 7.0, np.float32))
    np.testing.assert_array_equal(out[:, 3:], one)
    np.testing.assert_allclose(out[:, 1], two.mean(axis=1), rtol=1e-6)
    assert (out[:, [0, 2]] == 7.0).all()


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        ("morph", 0, "morph"),
        ("morph", 1, "morph2"),
        ("rack.hall.wet_level", 0, "rack.hall.wet_level"),
        ("rack.hall.wet_level", 2, "rack3.hall.wet_level"),
    ],
)
def test_parameters_of_the_parts(name: str, index: int, expected: str) -> None:
    assert numbered(name, index) == expected
