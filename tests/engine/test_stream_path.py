"""The mask path of a network that keeps its state: times, order of looks, any blocks, any rate, restarts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, HOP, MODEL_RATE, N_FFT
from qsep_live.engine.mask_path import MaskPath
from qsep_live.engine.stream_path import StreamPath, open_path
from qsep_live.errors import QsepError
from qsep_live.nets.band_stream_steps import Memory

Z = np.zeros(32, np.float32)


class Numbered:
    """Gains that name their frame and head: frame t of a head that looks L frames ahead has (t + (L + 2)/16)/1000."""

    channels = 2

    def __init__(self, looks: tuple[int, ...] = (-1, 0, 1, 3)) -> None:
        self.looks = looks
        self.heard: list[NDArray[np.float32]] = []
        self.poison = False

    def __call__(self, magnitude: NDArray[np.float32], z: NDArray[np.float32], memory: Memory) -> NDArray[np.float32]:
        self.heard.append(magnitude)
        frame = memory.steered
        memory.steered += 1
        out = np.empty((len(self.looks), len(z), BINS), np.float32)
        for head, look in enumerate(self.looks):
            out[head] = (frame - look + (look + 2) / 16) / 1000
        return out * np.float32(np.nan) if self.poison else out


def sound(frames: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((frames, 2)).astype(np.float32)


def told(gain: float) -> tuple[int, int]:
    """Frame and look that a gain of `Numbered` names."""
    frame, rest = divmod(gain * 1000, 1.0)
    return round(frame), round(rest * 16) - 2


def test_every_frame_has_what_the_furthest_look_said() -> None:
    path = StreamPath(MODEL_RATE, Numbered(), frames=8)
    path.push(sound(20 * HOP))
    gains = path.step(Z)
    assert [told(row[0]) for row in gains.gains] == [
        (12, 3), (13, 3), (14, 3), (15, 3), (16, 3), (17, 1), (18, 1), (19, 0), (20, -1),
    ]  # fmt: skip


@pytest.mark.parametrize("rate", [22_050, 44_100, 88_200, 48_000, 32_000])
def test_frames_are_stamped_with_their_middle(rate: int) -> None:
    """A click is loudest in the frame whose middle lies nearest to it."""
    network = Numbered((0,))
    path = StreamPath(rate, network, position=1000, frames=64)
    audio = np.zeros((rate // 2, 2), np.float32)
    click = rate // 4
    audio[click] = 1.0
    path.push(audio)
    gains = path.step(Z)
    loudest = int(np.argmax([np.square(each).sum() for each in network.heard]))
    row = gains.gains.shape[0] - len(network.heard) + loudest
    assert abs(gains.first + row * gains.spacing - (1000 + click)) <= gains.spacing
    assert gains.spacing == pytest.approx(HOP * rate / MODEL_RATE)
    assert gains.end == 1000 + len(audio)


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 5000), max_size=6), seed=st.integers(0, 5))
def test_any_blocks_give_the_same_frames(cuts: list[int], seed: int) -> None:
    audio = sound(6000, seed)
    whole, pieces = Numbered(), Numbered()
    one, two = (StreamPath(2 * MODEL_RATE, network, frames=16) for network in (whole, pieces))
    one.push(audio)
    last = one.step(Z)
    edges = [0, *sorted(set(cuts)), len(audio)]
    for start, stop in itertools.pairwise(edges):
        two.push(audio[start:stop])
        parts = two.step(Z)
    np.testing.assert_allclose(parts.gains, last.gains)
    assert (parts.first, parts.end) == (last.first, last.end)
    np.testing.assert_allclose(np.stack(pieces.heard), np.stack(whole.heard), atol=1e-4)


def test_it_says_how_many_samples_the_next_frame_waits_for() -> None:
    path = StreamPath(2 * MODEL_RATE, Numbered(), frames=16)
    assert path.wanted() == 2 * HOP
    path.push(sound(2 * HOP - 1))
    assert path.wanted() == 1
    path.push(sound(1))
    path.step(Z)
    assert path.wanted() == 2 * HOP


def test_it_hears_the_very_frames_that_windows_have() -> None:
    """The newest frame of a window that ends with it, from `MaskPath`, is the frame that is streamed."""
    audio = sound(40 * HOP, 3)
    windows: list[NDArray[np.float32]] = []

    class Window:
        channels = 2

        def __call__(self, magnitude: NDArray[np.float32], z: NDArray[np.float32], /) -> NDArray[np.float32]:
            windows.append(magnitude)
            return magnitude[0]

    network = Numbered()
    stream, window = StreamPath(MODEL_RATE, network, frames=16), MaskPath(MODEL_RATE, Window(), frames=16)
    for path in (stream, window):
        path.push(audio)
    newest = stream.step(Z), window.step(Z)
    np.testing.assert_allclose(np.stack(network.heard[-16:], axis=2), windows[0], atol=1e-4)
    # The stream's last row is the frame to come.
    assert newest[0].newest - newest[0].spacing == newest[1].newest == len(audio) - N_FFT // 2


def test_more_presets_and_fewer() -> None:
    path = StreamPath(MODEL_RATE, Numbered(), frames=8)
    for count in (1, 3, 2):
        path.push(sound(4 * HOP))
        gains = path.step(np.zeros((count, 32), np.float32))
        assert gains.gains.shape[1] == count * BINS
        assert gains.latents is not None
        assert gains.latents.shape == (count, 32)


def test_gains_that_are_not_finite_are_refused_and_the_state_begins_anew() -> None:
    network = Numbered()
    path = StreamPath(MODEL_RATE, network, frames=8)
    path.push(sound(4 * HOP))
    path.step(Z)
    network.poison = True
    path.push(sound(HOP))
    with pytest.raises(QsepError, match="not finite"):
        path.step(Z)
    network.poison = False
    path.push(sound(2 * HOP))
    assert np.isfinite(path.step(Z).gains).all()


def test_the_network_says_which_path_it_wants() -> None:
    assert isinstance(open_path(44_100, Numbered()), StreamPath)
