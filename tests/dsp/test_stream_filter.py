from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.stream_filter import FilterGrid, StreamingFilter

GRIDS = [FilterGrid(2048, 256, 0), FilterGrid(2048, 256, 255), FilterGrid(384, 32, 48), FilterGrid(30, 8, 15)]


def noise(channels: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (channels, count)).astype(np.float32)


def filtered(
    grid: FilterGrid, sound: np.ndarray, gains: list[np.ndarray], sizes: list[int] | None = None
) -> np.ndarray:
    """``sound`` (channels, n) with one of ``gains`` (responses, 1, bins) after the other, the last for ever."""
    part, coming = StreamingFilter(grid, len(sound), len(gains[0])), [*gains]
    pieces = []
    for piece in np.split(sound, np.cumsum(sizes or [])[:-1].astype(int), axis=1):
        part.push(piece)
        while part.due():
            part.apply(coming.pop(0) if len(coming) > 1 else coming[0])
        pieces.append(part.read(piece.shape[1]).copy())
    return np.concatenate(pieces, axis=1)


def smooth(grid: FilterGrid, seed: int) -> np.ndarray:
    """Gains (1, 1, bins) between 0 and 1, whose response is short beside the grid's."""
    few = np.random.default_rng(seed).random(8)
    bins = grid.analysis // 2 + 1
    return np.interp(np.linspace(0, 7, bins), np.arange(8), few).astype(np.float32)[None, None]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_gains_of_one_are_the_delayed_input(grid: FilterGrid) -> None:
    sound = noise(2, 3000)
    out = filtered(grid, sound, [np.ones((1, 1, grid.analysis // 2 + 1), np.float32)])
    np.testing.assert_allclose(out[:, grid.ahead :], sound[:, : 3000 - grid.ahead], atol=1e-6)
    np.testing.assert_allclose(out[:, : grid.ahead], 0.0, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(GRIDS), st.lists(st.integers(0, 700), min_size=1, max_size=9), st.integers(0, 99))
def test_any_chunking_gives_the_same_samples(grid: FilterGrid, sizes: list[int], seed: int) -> None:
    sound, gains = noise(2, sum(sizes), seed), [smooth(grid, seed + k) for k in range(200)]
    whole = filtered(grid, sound, gains)
    np.testing.assert_allclose(filtered(grid, sound, gains, sizes), whole, atol=2e-6)


def test_with_the_whole_look_ahead_the_phase_is_zero_and_the_gains_are_as_they_were_asked_for() -> None:
    grid = FilterGrid(2048, 256, 1024)
    gains = smooth(grid, 3)
    time = np.arange(20_000)
    for place in (100, 400, 801):
        tone = np.cos(2 * np.pi * place / 2048 * time).astype(np.float32)[None]
        out = filtered(grid, tone, [gains])[0, 8000:]
        np.testing.assert_allclose(out, gains[0, 0, place] * tone[0, 8000 - 1024 : -1024], atol=2e-3)


def test_more_look_ahead_is_nearer_to_the_gains() -> None:
    """The error is what was cut off: nothing is added for it, so it falls with every sample."""
    sound = noise(1, 16_000)
    gains = smooth(FilterGrid(2048, 256, 0), 5)
    wanted = filtered(FilterGrid(2048, 256, 1024), sound, [gains])[:, 1024:]
    errors = []
    for ahead in (0, 2, 8, 32, 128, 512):
        out = filtered(FilterGrid(2048, 256, ahead), sound, [gains])[:, ahead:]
        errors.append(float(np.mean((out[:, 4000:14_000] - wanted[:, 4000:14_000]) ** 2)))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 10 * errors[3] > 0.0


def test_a_change_of_gains_is_a_straight_line_over_a_hop() -> None:
    grid, bins = FilterGrid(512, 100, 40), 257
    gains = [np.full((1, 1, bins), gain, np.float32) for gain in (0.0, 1.0)]
    out = filtered(grid, np.ones((1, 400), np.float32), gains)[0]
    np.testing.assert_allclose(out[:100], 0.0, atol=1e-6)
    np.testing.assert_allclose(out[100:200], np.arange(1, 101) / 100, atol=1e-5)
    np.testing.assert_allclose(out[200:], 1.0, atol=1e-5)


def test_responses_are_each_as_if_alone() -> None:
    grid = GRIDS[2]
    sound, each = noise(2, 1000), [smooth(grid, seed) for seed in range(3)]
    together = filtered(grid, sound, [np.concatenate(each)])
    for index, gains in enumerate(each):
        np.testing.assert_allclose(together[2 * index : 2 * index + 2], filtered(grid, sound, [gains]), atol=1e-6)


def test_a_filter_that_was_reset_is_as_new() -> None:
    grid = GRIDS[1]
    part, sound = StreamingFilter(grid, 2), noise(2, 900)
    heard = []
    for _ in range(2):
        part.push(sound)
        while part.due():
            part.apply(smooth(grid, 1))
        heard.append(part.read(900).copy())
        part.reset()
    np.testing.assert_array_equal(*heard)


@pytest.mark.parametrize(("analysis", "hop", "ahead"), [(31, 8, 0), (32, 0, 0), (32, 8, -1), (32, 8, 17)])
def test_impossible_grids_are_refused(analysis: int, hop: int, ahead: int) -> None:
    with pytest.raises(ValueError, match=f"response {analysis}, hop {hop}, ahead {ahead}"):
        FilterGrid(analysis, hop, ahead)
