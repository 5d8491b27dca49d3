from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import BINS
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.foresight import (
    EDGES,
    FEATURES,
    SEEN,
    UNSEEN,
    Foresight,
    features,
    foresight_file,
    load_foresight,
    rise,
    save_foresight,
    smoothed,
)
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.heard import Heard
from qsep_live.engine.signal_path import SignalPath
from qsep_live.errors import QsepError

BANDS = len(EDGES) - 1
SHAPE = len(SEEN), len(UNSEEN), FEATURES, BANDS, 33


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def some(seed: int = 0, size: float = 0.02) -> np.ndarray:
    return (size * random(seed).standard_normal(SHAPE)).astype(np.float32)


def test_smoothed_is_a_mean_over_the_bins_that_there_are() -> None:
    power = random().random((2, BINS)).astype(np.float32)
    found = smoothed(power)
    assert found.shape == (2, 3, BINS)
    for row, width in enumerate((3, 31, 201)):
        for place in (0, 1, 250, BINS - 1):
            around = power[:, max(0, place - width // 2) : place + width // 2 + 1]
            np.testing.assert_allclose(found[:, row, place], around.mean(axis=1), rtol=1e-5)


@given(st.floats(-60, 60))
def test_a_rise_is_in_nepers_and_bounded_whatever_the_level(decibels: float) -> None:
    power = smoothed(random().random(BINS).astype(np.float32) + 0.1)
    risen = rise(power * np.float32(10 ** (decibels / 10)), power)
    np.testing.assert_allclose(risen, np.clip(decibels / 20 * np.log(10), -3, 3), atol=1e-3)
    assert not rise(power * 0, power * 0).any()


@settings(deadline=None, max_examples=40)
@given(st.floats(-1, 12), st.floats(-1, 6), st.integers(0, 5))
def test_a_prediction_is_linear_between_its_tables(seen: float, unseen: float, seed: int) -> None:
    draw, coefficients = random(seed), some(seed)
    trend = draw.random(BINS).astype(np.float32)
    terms = draw.standard_normal((FEATURES, BINS)).astype(np.float32)
    latent = draw.standard_normal(32).astype(np.float32)
    here = coefficients[..., 0] + coefficients[..., 1:] @ latent
    at_seen = [
        [[np.interp(seen, SEEN, here[:, u, k, b]) for u in range(len(UNSEEN))] for b in range(BANDS)]
        for k in range(FEATURES)
    ]
    flat = np.array([[np.interp(unseen, UNSEEN, at_seen[k][b]) for b in range(BANDS)] for k in range(FEATURES)])
    expected = np.clip(trend + np.sum(terms * np.repeat(flat, np.diff(EDGES), axis=1), axis=0), 0, 1)
    foresight = Foresight(coefficients)
    nothing = np.zeros(32, np.float32)
    for other, place in ((nothing, 0), (nothing, 1), (latent, 0)):  # asked of other latents first, then of these
        latents = np.stack([latent, other] if place == 0 else [other, latent])
        both = np.stack([trend, trend])
        foresight.predict(both, np.stack([terms, terms], axis=1), latents, seen, unseen)
        np.testing.assert_allclose(both[place], expected, atol=1e-4)


def test_no_coefficients_no_change() -> None:
    trend = random().random((1, BINS)).astype(np.float32)
    out, terms = trend.copy(), np.ones((FEATURES, 1, BINS), np.float32)
    Foresight(np.zeros(SHAPE, np.float32)).predict(out, terms, out[:, :32], 2.0, 1.0)
    np.testing.assert_array_equal(out, trend)


def test_features_are_finite_and_still_where_nothing_moves() -> None:
    gains = random().random((2, BINS)).astype(np.float32)
    still = features(gains, gains, gains, np.zeros((3, BINS), np.float32), np.zeros(BINS, np.float32))
    assert still.shape == (FEATURES, 2, BINS)
    assert not still[:10].any()
    assert np.isfinite(still).all()


def mask(end: int, seed: int, presets: int = 2) -> GainFrames:
    gains = random(seed).random((64, presets * BINS)).astype(np.float32)
    latents = random(seed).standard_normal((presets, 32)).astype(np.float32)
    return GainFrames(end, end - 1024 - 63 * 512.0, 512.0, gains, latents)


def passed(blocks: list[int], foresight: Foresight | None, delay: float = 0.01) -> np.ndarray:
    """A second of noise through the signal path, a mask every 3,000 samples, in these blocks over and over."""
    sound = (0.1 * random(9).standard_normal((24_000, 2))).astype(np.float32)
    field = GainField(foresight)
    signal, out, start, turn = SignalPath(plan_delay(delay, 44_100), 2, field, presets=2), [], 0, 0
    while start < len(sound):
        stop = min(start + blocks[turn % len(blocks)], start + 3000 - start % 3000, len(sound))
        if start and start % 3000 == 0:
            field.publish(mask(start, start))
        out.append(signal.process(sound[start:stop])[0].copy())
        start, turn = stop, turn + 1
    return np.concatenate(out)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=4))
def test_any_blocks_give_what_the_whole_gives(blocks: list[int]) -> None:
    foresight = Foresight(some())
    np.testing.assert_allclose(passed(blocks, foresight), passed([3000], foresight), atol=2e-6)


def test_it_is_heard_where_masks_are_too_old_and_nowhere_else() -> None:
    foresight = Foresight(some())
    assert np.abs(passed([256], foresight) - passed([256], None)).max() > 1e-3
    np.testing.assert_array_equal(passed([256], foresight, 0.15), passed([256], None, 0.15))


@pytest.mark.parametrize("level", [0.0, 1e-12, 1e6])
def test_any_level_gives_gains(level: float) -> None:
    field, heard = GainField(Foresight(some(size=1.0))), Heard(44_100, 2048)
    heard.push(np.float32(level) * np.sign(random().standard_normal((50_000, 2))).astype(np.float32))
    field.publish(mask(45_000, 1))
    out = np.empty(2 * BINS, np.float32)
    assert not field.lookup(49_000.0, out, heard, 50_000)
    assert np.isfinite(out).all()
    assert (out >= 0).all()
    assert (out <= 1).all()


def test_gains_of_nobody_knows_what_go_on_by_their_trend() -> None:
    frames = mask(40_000, 3)
    unknown = GainFrames(frames.end, frames.first, frames.spacing, frames.gains)
    signal = SignalPath(plan_delay(0.0, 44_100), 2, GainField(Foresight(some())), presets=2)
    other = SignalPath(plan_delay(0.0, 44_100), 2, GainField(), presets=2)
    for each in (signal, other):
        each._field.publish(unknown)
    sound = random().standard_normal((4000, 2)).astype(np.float32)
    np.testing.assert_array_equal(signal.process(sound)[0], other.process(sound)[0])


def test_it_lies_beside_its_model_and_belongs_to_it(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    assert foresight_file(model) == tmp_path / "m.foresight.safetensors"
    assert load_foresight(model, "ab") is None
    lying_otherwise = np.ascontiguousarray(some().swapaxes(2, 3)).swapaxes(2, 3)
    save_foresight(lying_otherwise, "ab", "a song", foresight_file(model))
    found = load_foresight(model, "ab")
    assert found is not None
    np.testing.assert_allclose(found.coefficients, some(), atol=1e-4)
    assert load_foresight(model, "cd") is None


@pytest.mark.parametrize("fault", ["nonsense", "shape", "nan"])
def test_a_damaged_file_is_named(fault: str, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    path = foresight_file(model)
    if fault == "nonsense":
        path.write_bytes(b"\x00" * 40)
    else:
        table = some()[..., :-1, :] if fault == "shape" else some() * np.float32("nan")
        save_foresight(table, "ab", "a song", path)
    with pytest.raises(QsepError, match=r"m\.foresight\.safetensors: no foresight .*: qsep-live foresight"):
        load_foresight(model, "ab")
