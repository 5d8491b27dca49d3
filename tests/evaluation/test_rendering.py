from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from qsep_live.dsp.grid import FRAMES
from qsep_live.engine.delay import LIVE_FRAMES
from qsep_live.engine.render import RenderSettings, render
from qsep_live.evaluation.network import Network
from qsep_live.evaluation.rendering import Live, rendered, stem_shares

RATE = 22_050


class Counted:
    """A network that is counted."""

    def __init__(self, separate: Any) -> None:
        self._separate, self.channels, self.calls = separate, separate.channels, 0

    def __call__(self, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self._separate(magnitude, z)


class Constant:
    """A network whose mask is the same everywhere."""

    channels = 1

    def __init__(self, gain: float) -> None:
        self._gain = gain

    def __call__(self, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.full_like(magnitude[0], self._gain)


def test_delays_share_windows_and_give_what_the_renderer_gives(network: Network, songs: Any, means: Any) -> None:
    track, latent = songs[0], means["vocals"]
    counted = Counted(network.separate)
    delays = [None, 0.046, 0.2]
    found = rendered(track.mixture, RATE, counted, latent, delays, Live(period=0.25))
    together = counted.calls
    counted.calls = 0
    for delay in delays:
        settings = RenderSettings(latent, delay=delay, period=0.25)
        alone = np.concatenate(list(render([track.mixture], RATE, 2, counted, settings)))
        assert found[delay].shape == track.mixture.shape
        np.testing.assert_allclose(found[delay], alone, atol=1e-6)
    assert together < 0.7 * counted.calls


def test_the_live_engine_lets_everything_through_where_the_mask_is_open(songs: Any, means: Any) -> None:
    mixture = songs[0].mixture
    found = rendered(mixture, RATE, Constant(1.0), means["bass"], [0.1], Live(0.1, 256))[0.1]
    np.testing.assert_allclose(found, mixture, atol=1e-4)


def test_live_masks_come_a_period_later_than_the_renderers(songs: Any, means: Any) -> None:
    mixture, period = songs[0].mixture, 0.2
    firsts = []
    for live in (Live(period), Live(period, 256)):
        found = rendered(mixture, RATE, Constant(0.0), means["bass"], [0.05], live)[0.05]
        firsts.append(np.flatnonzero(np.abs(found).max(axis=1) > 0.01)[-1] / RATE)
        assert np.abs(found[RATE:]).max() < 1e-4
    # Until the first mask the dry sound is heard; live it fades within 0.1 s after that, as in the renderer.
    assert firsts[1] - firsts[0] == pytest.approx(period, abs=0.02)


@pytest.mark.parametrize("blocksize", [0, 256])
def test_each_delay_has_windows_as_long_as_it_asks_for(songs: Any, means: Any, blocksize: int) -> None:
    class Asked(Constant):
        frames: ClassVar[list[int]] = []

        def __call__(self, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
            self.frames.append(magnitude.shape[-1])
            return super().__call__(magnitude, z)

    for delays, window, wanted in (
        ([0.0, 0.1], None, {LIVE_FRAMES}),
        ([0.1, 1.0], None, {LIVE_FRAMES, FRAMES}),
        ([0.1], 64, {64}),
        ([None], 64, {FRAMES}),
    ):
        Asked.frames.clear()
        rendered(songs[0].mixture, RATE, Asked(1.0), means["bass"], delays, Live(0.5, blocksize, window=window))
        assert set(Asked.frames) == wanted


class Foreseeing:
    """A network that shuts where it hears and opens ahead of it, by a twentieth a frame."""

    channels = 1

    def __call__(self, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
        newest = np.flatnonzero(magnitude[0].any(axis=0))[-1]
        ahead = np.maximum(np.arange(magnitude.shape[2]) - newest, 0)
        return np.broadcast_to(ahead / 20, magnitude[0].shape).astype(np.float32)


@pytest.mark.parametrize("blocksize", [0, 256])
def test_frames_that_would_be_held_are_the_networks_own(songs: Any, means: Any, blocksize: int) -> None:
    """Masks that are up to 0.1 s old (live: one period late, too), a delay of 23 ms: most gains are ahead."""
    mixture = songs[0].mixture
    heard = {}
    for ahead in (0, 2, 40):
        live = Live(0.1 if not blocksize else 0.05, blocksize, ahead)
        found = rendered(mixture, RATE, Foreseeing(), means["bass"], [0.023, 0.4], live)
        assert np.abs(found[0.4][RATE:]).max() < 1e-3, "with time to wait, nothing is ahead"
        heard[ahead] = float(np.square(found[0.023][RATE:]).mean() / np.square(mixture[RATE:]).mean())
    # After two frames the gains go on from their trend, slower and slower.
    assert heard[0] < 1e-6 < 0.011 < heard[2] < heard[40]
    assert heard[40] > 0.04


def test_shares_of_stems_add_up_to_what_is_heard(network: Network, songs: Any, means: Any) -> None:
    track = songs[1]
    shares = stem_shares(list(track.stems.values()), RATE, network.separate, means["drums"])
    heard = rendered(track.mixture, RATE, network.separate, means["drums"], [None])[None]
    assert len(shares) == 4
    np.testing.assert_allclose(np.sum(shares, axis=0), heard, atol=1e-4)
