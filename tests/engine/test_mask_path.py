from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import BINS, FRAMES, HOP, MODEL_RATE, N_FFT, SEGMENT
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.mask_path import MaskPath, mid_side_of
from qsep_live.errors import QsepError
from qsep_live.nets.spectrogram import magnitude, mid_side

Z = np.arange(32, dtype=np.float32)


class Ears:
    """Keeps what the network is shown, and gives the middle's magnitudes back as gains."""

    def __init__(self, channels: int = 1, mask: np.ndarray | None = None) -> None:
        self.channels, self._mask = channels, mask

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        self.magnitude, self.z = shown.copy(), z
        return shown[0] if self._mask is None else self._mask


def both(middle: np.ndarray) -> np.ndarray:
    """A middle with a silent side, (n, 2)."""
    return np.stack([middle, np.zeros_like(middle)], axis=1)


def chord(rate: int, seconds: float, seed: int = 0) -> np.ndarray:
    """Band-limited sound that can be sampled at any rate: sines up to 9 kHz (3.6 at 8 kHz) that swell."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros_like(time)
    for hertz in random.uniform(60, 9000, 40):
        sound += np.sin(2 * np.pi * (hertz * time + random.random())) * (1 + np.sin(3 * time + hertz))
    return (sound / 40).astype(np.float32)


@pytest.mark.parametrize("rate", [22_050, 44_100, 88_200])
def test_magnitudes_are_those_of_the_models_own_stft(rate: int) -> None:
    ears = Ears(2)
    path = MaskPath(rate, ears)
    seconds = 2 * SEGMENT / MODEL_RATE
    path.push(mid_side_of(np.stack([chord(rate, seconds, seed) for seed in (0, 1)], axis=1)))
    path.step(Z)
    stereo = np.stack([chord(MODEL_RATE, seconds, seed)[-SEGMENT:] for seed in (0, 1)])
    reference = mid_side(torch.from_numpy(stereo)[None])[0].abs().numpy()
    assert ears.magnitude.shape == (2, BINS, FRAMES)
    assert ears.magnitude.dtype == np.float32
    assert ears.magnitude.flags.c_contiguous
    np.testing.assert_allclose(ears.magnitude, reference, atol=2e-3 * reference.max())
    np.testing.assert_array_equal(ears.z, Z)


@pytest.mark.parametrize("rate", [48_000, 96_000, 32_000])
def test_converted_rates_show_the_same_sound_at_the_stamped_times(rate: int) -> None:
    """Frame for frame, the model's own STFT taken where the stamps say that the frames are."""
    ears = Ears()
    path = MaskPath(rate, ears)
    seconds = 7.0
    for piece in np.array_split(chord(rate, seconds), 50):
        path.push(both(piece))
    frames = path.step(Z)
    start = frames.first / rate * MODEL_RATE - N_FFT / 2
    sound = chord(MODEL_RATE, seconds)
    reference = magnitude(torch.from_numpy(sound[round(start) :][:SEGMENT])[None])[0, 0].numpy()
    error = np.abs(ears.magnitude[0, :400] - reference[:400])
    assert error.max() < 0.02 * reference.max()


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000])
@pytest.mark.parametrize("position", [0, 777_777])
def test_a_click_shows_at_its_time(rate: int, position: int) -> None:
    ears = Ears()
    path = MaskPath(rate, ears, position)
    sound = np.zeros(5 * rate, np.float32)
    click = int(3.7 * rate)
    sound[click] = 1.0
    for start in range(0, len(sound), 777):
        path.push(both(sound[start : start + 777]))
    frames = path.step(Z)
    assert frames.end == position + len(sound)
    assert frames.spacing == pytest.approx(HOP * rate / MODEL_RATE)
    energy = (frames.gains[:, 20:150].astype(np.float64) ** 2).sum(axis=1)
    stamps = frames.first + frames.spacing * np.arange(FRAMES)
    seen = (energy * stamps).sum() / energy.sum()
    assert seen == pytest.approx(position + click, abs=0.05 * frames.spacing)


@pytest.mark.parametrize(("rate", "held_back"), [(22_050, 0), (44_100, 0), (88_200, 0), (48_000, 128), (8000, 128)])
def test_the_newest_sample_is_at_the_right_edge(rate: int, held_back: int) -> None:
    path = MaskPath(rate, Ears())
    path.push(np.zeros((rate + 321, 2), np.float32))
    frames = path.step(Z)
    right_edge = frames.first + (FRAMES - 1) * frames.spacing + N_FFT / 2 * rate / MODEL_RATE
    assert -1e-6 <= frames.end - right_edge <= held_back + 1e-6
    assert frames.end == rate + 321


def test_the_stamps_do_not_drift() -> None:
    """Two and a half minutes, converted: a drift of a ten-thousandth would be 120 samples more."""
    path = MaskPath(8000, Ears())
    silence = np.zeros((80_000, 2), np.float32)
    for _ in range(15):
        path.push(silence)
    frames = path.step(Z)
    right_edge = frames.first + (FRAMES - 1) * frames.spacing + N_FFT / 2 * 8000 / MODEL_RATE
    assert 60 <= frames.end - right_edge <= 68, "what the converter holds back, as at the start"


def test_before_the_first_sample_there_is_silence() -> None:
    ears = Ears()
    path = MaskPath(44_100, ears, 1000)
    first = path.step(Z)
    assert not ears.magnitude.any()
    assert first.end == 1000
    path.push(np.ones((44_100, 2), np.float32))
    path.step(Z)
    heard = ears.magnitude[0].sum(axis=0) > 0
    assert not heard[: FRAMES - 44_100 // 512 - 4].any()
    assert heard[-44_100 // 512 :].all()


def test_any_chunking_gives_the_same_gains() -> None:
    sound = chord(48_000, 4.0)
    found: list[GainFrames] = []
    for size in (64, 1000, 100_000):
        path = MaskPath(48_000, Ears())
        for start in range(0, len(sound), size):
            path.push(both(sound[start : start + size]))
        found.append(path.step(Z))
    for frames in found[1:]:
        assert frames.end == found[0].end
        if frames.first == found[0].first:
            np.testing.assert_allclose(frames.gains, found[0].gains, atol=1e-4)
        else:
            assert abs(frames.first - found[0].first) <= 128


def test_gains_are_the_networks_frame_by_frame() -> None:
    mask = np.random.default_rng(0).random((BINS, FRAMES)).astype(np.float32)
    frames = MaskPath(44_100, Ears(mask=mask)).step(Z)
    np.testing.assert_array_equal(frames.gains, mask.T)
    assert frames.gains.shape == (FRAMES, BINS)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_mask_that_is_not_finite_is_an_error_not_a_sound(bad: float) -> None:
    mask = np.ones((BINS, FRAMES), np.float32)
    mask[100, 200] = bad
    with pytest.raises(QsepError, match="mask is not finite"):
        MaskPath(44_100, Ears(mask=mask)).step(Z)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_left_and_right_swapped_look_the_same(rate: int) -> None:
    stereo = np.stack([chord(rate, 4.0, seed) for seed in (0, 1)], axis=1)
    shown = []
    for sound in (stereo, stereo[:, ::-1]):
        ears = Ears(2)
        path = MaskPath(rate, ears)
        path.push(mid_side_of(np.ascontiguousarray(sound)))
        path.step(Z)
        shown.append(ears.magnitude)
    np.testing.assert_allclose(shown[0], shown[1], atol=1e-4)
    assert shown[0][1].max() > 1.0


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_the_middle_is_the_same_to_a_network_that_hears_the_side_too(rate: int) -> None:
    stereo = mid_side_of(np.stack([chord(rate, 4.0, seed) for seed in (0, 1)], axis=1))
    shown = []
    for channels in (1, 2):
        ears = Ears(channels)
        path = MaskPath(rate, ears)
        path.push(stereo)
        path.step(Z)
        shown.append(ears.magnitude)
    np.testing.assert_array_equal(shown[0][0], shown[1][0])


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 88_200])
@pytest.mark.parametrize("ahead", [1, 7, 12])
def test_frames_ahead_are_zeros_behind_the_newest_sound(rate: int, ahead: int) -> None:
    ears = Ears(2)
    path = MaskPath(rate, ears, 500, ahead=12)
    path.push(np.random.default_rng(0).uniform(-1, 1, (4 * rate, 2)).astype(np.float32))
    whole = path.step(Z)
    shown = ears.magnitude
    frames = path.step(Z, ahead)
    assert ears.magnitude.flags.c_contiguous
    assert not ears.magnitude[..., -ahead:].any()
    np.testing.assert_array_equal(ears.magnitude[..., :-ahead], shown[..., ahead:])
    assert (frames.end, frames.spacing) == (whole.end, whole.spacing)
    assert frames.first == pytest.approx(whole.first + ahead * whole.spacing)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_a_shorter_window_is_the_newest_part_of_the_longer_one(rate: int) -> None:
    sound, ears, near = mid_side_of(np.stack([chord(rate, 4.0, seed) for seed in (0, 1)], axis=1)), Ears(2), Ears(2)
    path, short = MaskPath(rate, ears), MaskPath(rate, near, frames=64)
    for piece in np.array_split(sound, 7):
        path.push(piece)
        short.push(piece)
        whole, newest = path.step(Z), short.step(Z)
        assert near.magnitude.shape == (2, BINS, 64)
        np.testing.assert_array_equal(near.magnitude, ears.magnitude[..., -64:])
        assert newest.end == whole.end
        assert newest.first == pytest.approx(whole.first + (FRAMES - 64) * whole.spacing)
        np.testing.assert_array_equal(newest.gains, whole.gains[-64:])


@given(
    st.sampled_from([8000, 22_050, 44_100, 48_000, 96_000]),
    st.integers(0, 30_000),
    st.floats(-0.2, 0.2),
    st.integers(0, 12),
)
@settings(deadline=None, max_examples=40)
def test_as_many_frames_ahead_as_are_asked_for_and_no_more(rate: int, heard: int, beyond: float, most: int) -> None:
    """A network that tells the number of its column: what is looked up is where the stamps say."""
    ears = Ears(mask=np.tile(np.arange(FRAMES, dtype=np.float32), (BINS, 1)))
    path = MaskPath(rate, ears, ahead=most)
    path.push(np.zeros((heard, 2), np.float32))
    until = heard + beyond * rate
    ahead = path.ahead_for(until)
    frames = path.step(Z, ahead)
    last = frames.first + (FRAMES - 1) * frames.spacing
    assert 0 <= ahead <= most
    assert last >= until - 1e-6 or ahead == most
    if ahead:
        assert last - frames.spacing < until, "one fewer would do"
    field, gains = GainField(), np.zeros(BINS, np.float32)
    field.publish(frames)
    newest = last - ahead * frames.spacing
    assert field.lookup(newest - 1e-6, gains)
    np.testing.assert_allclose(gains, FRAMES - 1 - ahead, atol=1e-3)
    assert newest == pytest.approx(path.step(Z).first + (FRAMES - 1) * frames.spacing)
    assert field.lookup(min(until, last) - 1e-6, gains)
    assert not field.lookup(last + 1e-6, gains)


def random_block(channels: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((64, channels)).astype(np.float32)


def test_of_two_channels_half_the_sum_and_half_the_difference_are_heard() -> None:
    block = random_block(2)
    found = mid_side_of(block)
    assert (found.shape, found.dtype) == ((64, 2), np.float32)
    np.testing.assert_array_equal(found[:, 0], (block[:, 0] + block[:, 1]) / 2)
    np.testing.assert_array_equal(found[:, 1], (block[:, 0] - block[:, 1]) / 2)


def test_mono_is_two_equal_channels() -> None:
    block = random_block(1)
    found = mid_side_of(block)
    np.testing.assert_array_equal(found, mid_side_of(np.repeat(block, 2, axis=1)))
    np.testing.assert_array_equal(found[:, :1], block)
    assert not found[:, 1].any()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8])
def test_the_middle_is_the_mean_and_the_side_is_of_pairs(channels: int) -> None:
    block = random_block(channels)
    found = mid_side_of(block)
    np.testing.assert_allclose(found[:, 0], block.mean(axis=1), atol=1e-6)
    pairs = block[:, : channels // 2 * 2]
    side = (pairs[:, ::2].sum(axis=1) - pairs[:, 1::2].sum(axis=1)) / channels
    np.testing.assert_allclose(found[:, 1], side, atol=1e-6)


def test_what_is_heard_is_repaired_and_put_where_it_is_wanted() -> None:
    block, out = random_block(8), np.ones((64, 2), np.float32)
    assert mid_side_of(block, out) is out
    np.testing.assert_array_equal(out, mid_side_of(block))
    block[5, 3], block[6, :] = np.nan, [np.inf, -np.inf] * 4
    clean = block.copy()
    clean[5, 3], clean[6] = 0.0, 0.0
    np.testing.assert_array_equal(mid_side_of(block), mid_side_of(clean))
