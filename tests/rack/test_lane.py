from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qsep_live.errors import QsepError
from qsep_live.rack.lane import Lane, lanes_for, through

RATE = 44100


class Holder:
    """An effect that keeps the newest ``hold`` frames to itself, for certain channel counts only."""

    def __init__(self, hold: int = 0, widths: tuple[int, ...] = (1, 2)) -> None:
        self.hold = hold
        self.widths = widths
        self.sizes: set[int] = set()
        self.reset()

    def reset(self) -> None:
        self.kept = np.zeros((0, 0), np.float32)

    def process(self, x: NDArray[np.float32], rate: float, buffer_size: int, reset: bool) -> NDArray[np.float32]:
        if x.shape[0] not in self.widths:
            raise ValueError(f"does not support {x.shape[0]}-channel output")
        self.sizes.add(x.shape[1])
        kept = np.concatenate([self.kept, x], axis=1) if self.kept.size else x
        split = max(0, kept.shape[1] - self.hold)
        self.kept = kept[:, split:]
        return kept[:, :split].copy()


def build(effect: Any, channels: int = 2, block: int = 0) -> list[Lane]:
    lanes = lanes_for(lambda: effect, RATE, channels, 256, block)
    for lane in lanes:
        lane.prepare(lane.measure())
    return lanes


@pytest.mark.parametrize("hold", [0, 1, 5, 255, 256, 700, 5000])
def test_measures_what_an_effect_holds(hold: int) -> None:
    lanes = build(Holder(hold))
    assert [lane.delay for lane in lanes] == [hold]
    x = np.random.default_rng(0).standard_normal((2, 12000)).astype(np.float32)
    sizes = [3, 256, 17, 100]
    out, start, step = [], 0, 0
    while start < x.shape[1]:
        piece = x[:, start : start + sizes[step % 4]]
        out.append(through(lanes, np.ascontiguousarray(piece)).copy())
        start, step = start + piece.shape[1], step + 1
    y = np.concatenate(out, axis=1)
    assert y.shape == x.shape
    assert np.array_equal(y[:, hold:], x[:, : x.shape[1] - hold])
    assert not y[:, :hold].any()


def test_an_effect_that_holds_more_later_keeps_its_delay() -> None:
    effect = Holder(10)
    (lane,) = build(effect)
    x = np.arange(1, 1601, dtype=np.float32)[None].repeat(2, axis=0)
    out = []
    for start in range(0, 1600, 100):
        effect.hold = 40 if start == 500 else 10
        out.append(lane.process(np.ascontiguousarray(x[:, start : start + 100])).copy())
    y = np.concatenate(out, axis=1)[0]
    expected = np.concatenate([np.zeros(10), x[0, :-10]])
    late = y != expected
    assert late.sum() == 30
    assert not y[late].any()


def test_refuses_what_holds_more_than_a_second() -> None:
    with pytest.raises(QsepError, match="not for live use"):
        build(Holder(RATE + 1))


def test_a_constant_block_is_kept_and_counted() -> None:
    effect = Holder(0)
    lanes = lanes_for(lambda: effect, RATE, 2, 256, 64)
    effect.sizes.clear()
    delay = lanes[0].measure()
    lanes[0].prepare(delay)
    x = np.random.default_rng(0).standard_normal((2, 3000)).astype(np.float32)
    y = np.concatenate(
        [lanes[0].process(np.ascontiguousarray(x[:, i : i + 7])).copy() for i in range(0, 3000, 7)], axis=1
    )
    assert delay == 63
    assert effect.sizes == {64}
    assert np.array_equal(y[:, 63:], x[:, :-63])


def test_mono_through_a_stereo_only_effect() -> None:
    lanes = build(Holder(4, widths=(2,)), channels=1)
    x = np.arange(20, dtype=np.float32)[None]
    assert np.array_equal(through(lanes, x)[0, 4:], x[0, :-4])


def test_stereo_through_mono_only_effects_stays_stereo() -> None:
    lanes = lanes_for(lambda: Holder(0, widths=(1,)), RATE, 2, 256)
    for lane in lanes:
        lane.prepare(lane.measure())
    x = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    assert len(lanes) == 2
    assert np.array_equal(through(lanes, x), x)


def test_an_effect_that_takes_no_channels_says_why() -> None:
    with pytest.raises(QsepError, match="cannot run at 44100 Hz: does not support 2-channel output"):
        build(Holder(0, widths=()))
