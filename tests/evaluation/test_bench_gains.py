from __future__ import annotations

import numpy as np
import pytest

from qsep_live.dsp.grid import BINS
from qsep_live.dsp.stream_filter import FilterGrid
from qsep_live.engine.gain_field import GainFrames
from qsep_live.evaluation import bench_gains
from qsep_live.evaluation.bench_gains import (
    DIAL,
    FILTER,
    HELD,
    MINIMUM,
    SMOOTHED,
    TREND,
    GainsBench,
    HeldField,
    SmoothedField,
)
from qsep_live.evaluation.network import NetworkSpec
from qsep_live.evaluation.rendering import Live

from .conftest import Songs, song


def test_a_minimum_phase_filter_has_the_gains_magnitudes_and_its_energy_first() -> None:
    gains = np.interp(np.linspace(0, 9, 1025), np.arange(10), np.random.default_rng(0).uniform(0.1, 1.0, 10))
    minimum = bench_gains.MinimumPhase(2048, 256, 0).response(gains.astype(np.float32))
    assert minimum.shape == (1024,)
    np.testing.assert_allclose(np.abs(np.fft.rfft(minimum, 2048)), gains, atol=2e-3)
    whole = FilterGrid(2048, 256, 1024).response(gains.astype(np.float32))
    np.testing.assert_allclose(np.abs(np.fft.rfft(whole)), gains, atol=2e-3)
    # Of all filters with these magnitudes none has more of its energy in its first samples.
    energy = np.cumsum(minimum.astype(np.float64) ** 2) / np.sum(minimum.astype(np.float64) ** 2)
    zero_phase = FilterGrid(2048, 256, 0).response(gains.astype(np.float32))
    assert energy[8] > 0.9
    assert np.sum(minimum[:8] ** 2) > np.sum(zero_phase[:8] ** 2)


def frames() -> GainFrames:
    gains = np.linspace(0.0, 0.9, 10, dtype=np.float32)[:, None] * np.ones((1, BINS), np.float32)
    return GainFrames(10_000, 0.0, 512.0, gains)


def test_a_held_field_stays_at_the_newest_gains() -> None:
    field, out = HeldField(), np.zeros(BINS, np.float32)
    field.publish(frames())
    assert field.lookup(2 * 512.0, out)
    np.testing.assert_allclose(out, 0.2, atol=1e-6)
    assert not field.lookup(30 * 512.0, out)
    np.testing.assert_allclose(out, 0.9, atol=1e-6)


def test_a_smoothed_field_rises_and_falls_with_its_time_constants() -> None:
    for start, end, constant in ((0.0, 1.0, SmoothedField.ATTACK), (1.0, 0.0, SmoothedField.RELEASE)):
        field, out = SmoothedField(44_100), np.zeros(BINS, np.float32)
        assert not field.lookup(0.0, out), "no gains yet"
        field.publish(GainFrames(0, 0.0, 512.0, np.full((4, BINS), start, np.float32)))
        field.lookup(0.0, out)
        field.publish(GainFrames(0, 0.0, 512.0, np.full((4, BINS), end, np.float32)))
        passed = round(constant * 44_100)
        for time in range(100, passed + 1, 100):
            field.lookup(float(time), out)
        share = np.exp(-(passed // 100 * 100) / 44_100 / constant)
        np.testing.assert_allclose(out, end + (start - end) * share, atol=1e-4)


def test_every_way_spends_the_same_delay() -> None:
    for mark in bench_gains.MARKS:
        plans = bench_gains.plans_at(mark, 44_100)
        assert {plan.samples for plan in plans.values()} == {plans[DIAL].samples}
    assert set(bench_gains.plans_at(0.0, 44_100)) == {DIAL, HELD, TREND, SMOOTHED, FILTER, MINIMUM}
    assert {"window of 5.8 ms", "window of 11.6 ms"} < set(bench_gains.plans_at(0.0116, 44_100))
    assert bench_gains.plans_at(0.0464, 44_100)["window of 23.2 ms"].wait == pytest.approx(1024, abs=4)


def test_the_report_has_a_row_for_every_way_and_mark(small: NetworkSpec, means: dict[str, np.ndarray]) -> None:
    bench = GainsBench(means, Live(0.2, 256), (0.0, 0.0116))
    report = bench_gains.gains_report(bench, small, Songs((song("one", 0, 1.2),), "one song"))
    assert [row[:2] for row in report.table.rows] == [
        (name, f"{1e3 * mark:.1f}") for mark in bench.marks for name in bench_gains.plans_at(mark, 22_050)
    ]
    found = {(row[0], row[1]): row[-1] for row in report.table.rows}
    assert all(np.isfinite(value) for value in found.values())
    assert found[DIAL, "0.0"] == pytest.approx(found[FILTER, "0.0"]), "below the shortest window it is the dial's way"
    assert found[MINIMUM, "0.0"] != pytest.approx(found[FILTER, "0.0"])
    assert found[SMOOTHED, "0.0"] != pytest.approx(found[HELD, "0.0"])
