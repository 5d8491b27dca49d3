from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.engine.mask_path import Separate
from qsep_live.engine.mix import Mode
from qsep_live.engine.render import Renderer, RenderReport, RenderSettings, render
from qsep_live.errors import UsageError

Z = np.zeros(32, np.float32)


@dataclass(frozen=True)
class Network:
    """A mask as a function of what is shown, (channels, BINS, FRAMES)."""

    answer: Callable[[np.ndarray], np.ndarray]
    channels: int = 1

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        return self.answer(shown)


def what_is_loud(shown: np.ndarray) -> np.ndarray:
    power = shown[0] ** 2
    return power / (power + power.mean(axis=1, keepdims=True) + 1e-9)


def what_is_centred(shown: np.ndarray) -> np.ndarray:
    middle, side = shown**2
    return middle / (middle + side + 1e-9)


ones = Network(lambda shown: np.ones_like(shown[0]))
zeros = Network(lambda shown: np.zeros_like(shown[0]))
wiener = Network(what_is_loud)
centred = Network(what_is_centred, channels=2)


def noise(count: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    swell = 0.5 + 0.5 * np.sin(np.arange(count) / 3000.0)
    return (swell[:, None] * random.uniform(-1, 1, (count, channels))).astype(np.float32)


def rendered(
    sound: np.ndarray,
    separate: Separate,
    rate: int = 44_100,
    sizes: Sequence[int] = (),
    report: RenderReport | None = None,
    **options: object,
) -> np.ndarray:
    """The whole output, from blocks of ``sizes`` and then the rest at once."""
    settings = RenderSettings(Z, **options)  # type: ignore[arg-type]
    blocks = np.split(sound, np.cumsum(sizes)) if len(sizes) else [sound]
    pieces = list(render(blocks, rate, sound.shape[1], separate, settings, report))
    return np.concatenate([np.zeros((0, sound.shape[1]), np.float32), *pieces])


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000, 88_200, 96_000])
@pytest.mark.parametrize("delay", [None, 0.025])
def test_a_mask_of_ones_gives_the_input_back_in_place(rate: int, delay: float | None) -> None:
    sound = noise(int(2.1 * rate))
    report = RenderReport()
    out = rendered(sound, ones, rate, report=report, delay=delay)
    assert out.shape == sound.shape
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, sound, atol=1e-5)
    assert report.frames == len(sound)
    assert report.windows > 1
    assert report.repaired == 0


@pytest.mark.parametrize("delay", [None, 0.5])
def test_a_mask_of_zeros_is_silence(delay: float | None) -> None:
    sound = noise(50_000)
    out = rendered(sound, zeros, delay=delay)
    settled = 0 if delay is None else 15_000
    assert not out[settled:].any()


@pytest.mark.parametrize("delay", [None, 0.06])
@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_isolate_and_remove_add_up_to_the_input(rate: int, delay: float | None) -> None:
    sound = noise(int(1.7 * rate))
    target = rendered(sound, wiener, rate, delay=delay, mode="isolate")
    rest = rendered(sound, wiener, rate, delay=delay, mode="remove")
    np.testing.assert_allclose(target + rest, sound, atol=1e-5)
    assert np.abs(target).max() > 0.05
    assert np.abs(rest).max() > 0.05


@pytest.mark.parametrize(
    ("mode", "wet", "gain", "expected"),
    [
        ("isolate", 1.0, -6.0206, 0.5),
        ("isolate", 0.0, 0.0, 1.0),
        ("remove", 1.0, 0.0, 0.0),
        ("remove", 0.25, 0.0, 0.75),
        ("balance", 1.0, 6.0206, 2.0),
        ("balance", 0.5, -60.0, 0.5005),
    ],
)
def test_the_mix_is_applied(mode: Mode, wet: float, gain: float, expected: float) -> None:
    sound = noise(20_000)
    out = rendered(sound, ones, mode=mode, wet=wet, gain=gain)
    np.testing.assert_allclose(out, expected * sound, atol=2e-5)


def test_the_same_bytes_every_time() -> None:
    sound = noise(90_000)
    for delay in (None, 0.04):
        first = rendered(sound, wiener, delay=delay)
        assert rendered(sound, wiener, delay=delay).tobytes() == first.tobytes()


@settings(deadline=None, max_examples=5)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=8), st.sampled_from([None, 0.03, 0.25]))
def test_any_partition_into_blocks_gives_the_same_output(sizes: list[int], delay: float | None) -> None:
    sound = noise(30_000, 1)
    whole = rendered(sound, wiener, 8000, delay=delay)
    parts = rendered(sound, wiener, 8000, sizes, delay=delay)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert np.abs(whole - sound).max() > 0.05


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 4097])
def test_short_and_wide_and_narrow(channels: int, count: int) -> None:
    sound = noise(count, channels)
    out = rendered(sound, ones)
    assert out.shape == (count, channels)
    np.testing.assert_allclose(out, sound, atol=1e-5)


def test_no_blocks_at_all_are_no_output() -> None:
    assert list(render([], 44_100, 2, ones, RenderSettings(Z))) == []
    assert list(render([np.zeros((0, 2), np.float32)], 44_100, 2, ones, RenderSettings(Z))) == []


def test_channels_keep_their_own_sound() -> None:
    sound = noise(30_000, 3)
    out = rendered(sound, wiener)
    swapped = rendered(np.ascontiguousarray(sound[:, ::-1]), wiener)
    np.testing.assert_allclose(swapped[:, ::-1], out, atol=1e-5)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("delay", [None, 0.3])
def test_a_network_that_hears_the_side_tells_the_centre_from_one_side(rate: int, delay: float | None) -> None:
    """A tone in both channels and another on the left: middle and side of the second are equally loud."""
    time = np.arange(3 * rate) / rate
    both, left = (0.3 * np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (400.0, 3000.0))
    sound = np.stack([both + left, both], axis=1)
    out = rendered(sound, centred, rate, delay=delay)[rate : 2 * rate]
    for tone, channel, wanted in ((both, 0, 1.0), (both, 1, 1.0), (left, 0, 0.5)):
        part = tone[rate : 2 * rate]
        assert np.vdot(out[:, channel], part) / np.vdot(part, part) == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("delay", [None, 0.06])
def test_left_and_right_swapped_come_out_swapped(delay: float | None) -> None:
    sound = noise(40_000)
    out = rendered(sound, centred, delay=delay)
    swapped = rendered(np.ascontiguousarray(sound[:, ::-1]), centred, delay=delay)
    np.testing.assert_allclose(swapped[:, ::-1], out, atol=1e-5)
    assert np.abs(out - sound).max() > 0.05


@pytest.mark.parametrize("network", [wiener, centred], ids=["hears the middle", "hears both"])
def test_mono_is_stereo_of_equal_channels(network: Network) -> None:
    sound = noise(40_000, 1)
    mono = rendered(sound, network)
    stereo = rendered(np.repeat(sound, 2, axis=1), network)
    np.testing.assert_allclose(stereo, np.repeat(mono, 2, axis=1), atol=1e-6)


def test_a_network_that_hears_the_middle_knows_nothing_of_the_side() -> None:
    sound = noise(40_000)
    middle = np.repeat(sound.mean(axis=1, keepdims=True), 2, axis=1)
    np.testing.assert_allclose(rendered(sound, wiener).mean(axis=1), rendered(middle, wiener).mean(axis=1), atol=1e-5)


def test_bad_samples_are_repaired_and_reported() -> None:
    sound = noise(30_000)
    sound[1000, 0], sound[2000, 1] = np.nan, -np.inf
    report = RenderReport()
    out = rendered(sound, wiener, report=report)
    assert report.repaired == 2
    assert np.isfinite(out).all()


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_every_gain_is_taken_from_the_middle_of_its_window(rate: int) -> None:
    """A mask that is open in the middle half of its window alone, and shut at both ends, is always open."""

    def middle(shown: np.ndarray) -> np.ndarray:
        mask = np.zeros((BINS, FRAMES), np.float32)
        mask[:, FRAMES // 4 - 4 : 3 * FRAMES // 4 + 4] = 1.0
        return mask

    sound = noise(int(5.3 * rate), 1)
    np.testing.assert_allclose(rendered(sound, Network(middle), rate), sound, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
@pytest.mark.parametrize("delay", [None, 0.2])
def test_masks_act_on_the_sound_they_were_made_from(rate: int, delay: float | None) -> None:
    """Bursts a second apart, each passed or not by what the network sees at that very time: louder ones pass."""
    count = 6 * rate
    sound = 0.001 * noise(count, 1, 4)
    places = np.arange(rate // 2, count - rate // 2, rate // 2)
    length = rate // 8
    for number, place in enumerate(places):
        tone = np.sin(2 * np.pi * 1000 * np.arange(length) / rate)
        sound[place : place + length, 0] += (0.9 if number % 2 else 0.1) * tone

    def loud(shown: np.ndarray) -> np.ndarray:
        return np.broadcast_to(shown[0].max(axis=0) > 100.0, shown[0].shape).astype(np.float32)

    out = rendered(sound, Network(loud), rate, delay=delay, period=0.05)
    for number, place in enumerate(places):
        inner = slice(place + length // 3, place + 2 * length // 3)
        ratio = np.sqrt(np.mean(out[inner] ** 2) / np.mean(sound[inner] ** 2))
        assert ratio == pytest.approx(float(number % 2), abs=0.02), number


def test_the_latency_is_declared_and_true() -> None:
    for rate, delay in ((8000, 0.05), (44_100, 0.0123), (48_000, 0.4)):
        renderer = Renderer(rate, 1, ones, RenderSettings(Z, delay=delay))
        assert renderer.latency == renderer.report.latency == round(delay * rate)
        sound = noise(renderer.latency + rate, 1)
        out = renderer.process(sound)
        assert out.shape == sound.shape
        np.testing.assert_allclose(out[renderer.latency :], sound[: -renderer.latency], atol=1e-5)


def test_a_mask_is_made_at_every_multiple_of_the_period() -> None:
    renderer = Renderer(8000, 1, ones, RenderSettings(Z, delay=0.05, period=0.1))
    assert renderer.step == 800
    counts = []
    for size in (800, 1, 799, 2400, 0, 5000):
        renderer.process(noise(size, 1))
        counts.append(renderer.report.windows)
    # One is made when the sound goes on after it.
    assert counts == [0, 1, 1, 4, 4, 11]


def test_a_delay_out_of_range_is_the_users() -> None:
    with pytest.raises(UsageError, match="out of range"):
        rendered(noise(10), ones, delay=3.0)
