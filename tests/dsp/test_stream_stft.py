from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.stream_stft import StreamGrid, StreamingAnalysis, StreamingSynthesis

GRIDS = [
    StreamGrid(2048, 256, 128),
    StreamGrid(2048, 512, 256),
    StreamGrid(2048, 1024, 512),
    StreamGrid(2048, 1024, 128),
    StreamGrid(2048, 2048, 512),
    StreamGrid(2240, 2224, 556),
    StreamGrid(384, 32, 16),
    StreamGrid(16, 16, 8),
    StreamGrid(30, 8, 2),
]


class Thru:
    """Analysis straight into synthesis."""

    def __init__(self, grid: StreamGrid, channels: int) -> None:
        self.analysis, self.synthesis = StreamingAnalysis(grid, channels), StreamingSynthesis(grid, channels)

    def reset(self) -> None:
        self.analysis.reset()
        self.synthesis.reset()

    def process(self, block: np.ndarray) -> np.ndarray:
        self.analysis.push(block)
        while self.analysis.ready():
            self.synthesis.add(self.analysis.frame())
        return self.synthesis.read(block.shape[1]).copy()


def noise(channels: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (channels, count)).astype(np.float32)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_windows_overlap_to_one(grid: StreamGrid) -> None:
    analysis, synthesis = grid.windows()
    assert analysis.shape == (grid.analysis,)
    assert synthesis.shape == (grid.synthesis,)
    product = analysis[-grid.synthesis :].astype(np.float64) * synthesis
    np.testing.assert_allclose(product.reshape(-1, grid.hop).sum(axis=0), 1.0, atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_input_comes_back_one_synthesis_window_later(grid: StreamGrid) -> None:
    sound = noise(2, 5 * grid.analysis + 77)
    out = Thru(grid, 2).process(sound)
    np.testing.assert_allclose(out[:, : grid.synthesis], 0.0, atol=1e-6)
    np.testing.assert_allclose(out[:, grid.synthesis :], sound[:, : -grid.synthesis], atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(GRIDS[:7]), st.lists(st.integers(0, 700), min_size=1, max_size=12), st.integers(0, 99))
def test_any_chunking_gives_the_same_samples_and_so_does_a_reset(grid: StreamGrid, sizes: list[int], seed: int) -> None:
    sound = noise(2, sum(sizes), seed)
    whole = Thru(grid, 2).process(sound)
    part = Thru(grid, 2)
    for _ in range(2):
        pieces = [part.process(piece) for piece in np.split(sound, np.cumsum(sizes)[:-1], axis=1)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
        part.reset()


@pytest.mark.parametrize("grid", GRIDS[:6], ids=str)
def test_a_tone_shows_in_its_bin_at_its_height(grid: StreamGrid) -> None:
    cycles = 100
    tone = np.sin(2 * np.pi * cycles * np.arange(2 * grid.analysis) / grid.analysis).astype(np.float32)
    analysis = StreamingAnalysis(grid, 1)
    analysis.push(tone[None])
    spectra = []
    while analysis.ready():
        spectra.append(np.abs(analysis.frame()[0]))
    assert spectra[0].shape == (grid.analysis // 2 + 1,)
    assert spectra[-1].argmax() == cycles
    assert spectra[-1].max() == pytest.approx(grid.windows()[0].sum() / 2, rel=1e-3)


def test_frames_come_every_hop_from_the_first_sample_on() -> None:
    grid = GRIDS[1]
    analysis = StreamingAnalysis(grid, 1)
    count = 0
    for pushed in range(1, 4 * grid.hop + 1):
        analysis.push(np.ones((1, 1), np.float32))
        while analysis.ready():
            analysis.frame()
            count += 1
        assert count == pushed // grid.hop


@pytest.mark.parametrize(
    ("analysis", "synthesis", "hop"), [(2047, 256, 128), (256, 512, 128), (512, 0, 8), (512, 256, 96), (512, 256, 0)]
)
def test_grids_that_cannot_be_are_refused(analysis: int, synthesis: int, hop: int) -> None:
    with pytest.raises(ValueError, match=f"frame {analysis}, synthesis window {synthesis}, hop {hop}"):
        StreamGrid(analysis, synthesis, hop)
