from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import BIN_HZ, BINS
from qsep_live.engine.gain_field import SLOWING, BinMap, GainField, GainFrames

TRAFFIC = st.lists(
    st.tuples(
        st.sampled_from(["publish", "lookup", "lookup", "lookup", "clear"]),
        st.integers(1, 9),
        st.floats(-5000, 5000),
        st.floats(1, 700),
    ),
    max_size=40,
)


def brute_force(frames: GainFrames, time: float) -> tuple[np.ndarray, bool]:
    """Bin by bin with numpy's own interpolation, which holds the ends; step by step beyond the newest."""
    times = frames.first + frames.spacing * np.arange(len(frames.gains))
    gains = np.stack([np.interp(time, times, frames.gains[:, k]) for k in range(0, BINS, 37)])
    beyond = (time - times[-1]) / frames.spacing
    if beyond > 0 and len(frames.gains) > 2:
        trend = (frames.gains[-1] - frames.gains[-3])[::37].astype(np.float64) / 2
        run = sum(SLOWING**step for step in range(1, int(beyond) + 1))
        # A part of a step is what makes the sum's closed form whole.
        run += SLOWING ** int(beyond) * SLOWING * (1 - SLOWING ** (beyond - int(beyond))) / (1 - SLOWING)
        gains = np.clip(frames.gains[-1, ::37] + trend * run, 0.0, 1.0)
    return gains, bool(times[0] <= time <= times[-1])


@settings(deadline=None, max_examples=60)
@given(TRAFFIC, st.integers(0, 9))
def test_random_traffic_against_brute_force(traffic: list[tuple[str, int, float, float]], seed: int) -> None:
    random = np.random.default_rng(seed)
    field, newest = GainField(), None
    for action, count, time, spacing in traffic:
        if action == "publish":
            gains = random.random((count, BINS)).astype(np.float32)
            newest = GainFrames(int(time), time, spacing, gains)
            field.publish(newest)
        elif action == "clear":
            field.clear()
            newest = None
        elif newest is None:
            untouched = np.full(BINS, 0.25, np.float32)
            assert not field.lookup(time, untouched)
            assert (untouched == 0.25).all()
        else:
            out = np.empty(BINS, np.float32)
            covered = field.lookup(time, out)
            expected, inside = brute_force(newest, time)
            np.testing.assert_allclose(out[::37], expected, atol=1e-4)
            edge = newest.first + newest.spacing * (len(newest.gains) - 1)
            if min(abs(time - newest.first), abs(time - edge)) > 1e-6:
                assert covered is inside
        assert field.end == (None if newest is None else newest.end)


def test_on_a_frame_its_very_gains_are_given() -> None:
    gains = np.random.default_rng(0).random((3, BINS)).astype(np.float32)
    field, out = GainField(), np.empty(BINS, np.float32)
    field.publish(GainFrames(3000, 512.0, 512.0, gains))
    for k in range(3):
        assert field.lookup(512.0 * (k + 1), out)
        np.testing.assert_array_equal(out, gains[k])
    assert not field.lookup(511.0, out)
    np.testing.assert_array_equal(out, gains[0])


def test_beyond_the_newest_gains_go_on_slower_and_slower_and_stay_gains() -> None:
    gains = np.zeros((3, BINS), np.float32)
    gains[:, 1:] = 0.5 + np.linspace(-0.1, 0.1, BINS - 1) * np.arange(3)[:, None]
    gains[:, 0] = 0.0, 0.4, 0.8
    field, out = GainField(), np.empty(BINS, np.float32)
    field.publish(GainFrames(3000, 0.0, 512.0, gains))
    before, steps = gains[2].copy(), []
    for k in range(1, 30):
        assert not field.lookup(512.0 * (2 + k), out)
        assert ((out >= 0.0) & (out <= 1.0)).all()
        steps.append(out[-1] - before[-1])
        before = out.copy()
    assert out[0] == 1.0
    np.testing.assert_allclose(np.divide(steps[1:10], steps[:9]), SLOWING, rtol=0.01)
    assert abs(steps[-1]) < 1e-4


@pytest.mark.parametrize(("frame", "rate"), [(2048, 44_100), (4096, 88_200), (1024, 22_050)])
def test_where_bins_coincide_gains_are_passed_on_bit_for_bit(frame: int, rate: int) -> None:
    model = np.random.default_rng(1).random(BINS).astype(np.float32)
    spread = BinMap(frame, rate).spread(model)
    assert spread.shape == (frame // 2 + 1,)
    np.testing.assert_array_equal(spread[:BINS], model)
    np.testing.assert_allclose(spread[BINS:], model[-16:].mean(), rtol=1e-6)


@pytest.mark.parametrize(("frame", "rate"), [(2240, 48_000), (4480, 96_000), (384, 8000), (1500, 32_000)])
def test_elsewhere_they_are_interpolated_at_the_same_frequency(frame: int, rate: int) -> None:
    model = np.random.default_rng(2).random(BINS).astype(np.float32)
    spread = BinMap(frame, rate).spread(model)
    hertz = np.arange(frame // 2 + 1) * rate / frame
    inside = hertz <= (BINS - 1) * BIN_HZ
    expected = np.interp(hertz[inside], np.arange(BINS) * BIN_HZ, model)
    np.testing.assert_allclose(spread[inside], expected, atol=1e-5)
    if not inside.all():
        np.testing.assert_allclose(spread[~inside], model[-16:].mean(), rtol=1e-6)
    assert inside.all() == (rate == 8000)


@pytest.mark.parametrize(("frame", "rate"), [(2048, 44_100), (2240, 48_000), (384, 8000)])
def test_ones_stay_exactly_ones(frame: int, rate: int) -> None:
    np.testing.assert_array_equal(BinMap(frame, rate).spread(np.ones(BINS, np.float32)), 1.0)
