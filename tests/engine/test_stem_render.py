from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.engine.render import RenderReport, RenderSettings
from qsep_live.engine.stem_render import left_over, render_stems, stem_blocks
from qsep_live.engine.stem_windows import CheckedSeparator, StemWindows
from qsep_live.errors import QsepError
from qsep_live.models.spec import SeparatorSpec
from qsep_live.rack.config import RackConfig


def spec_of(
    stems: Sequence[str] = ("low", "other"), rate: int = 8000, channels: int = 2, window: int = 1000, edge: int = 0
) -> SeparatorSpec:
    return SeparatorSpec(
        "test", "ab" * 8, rate, channels, "stems", len(stems), (window,), 1, stems=tuple(stems), edge=edge
    )


@dataclass
class Separator:
    """Stems as a function of a window; remembers the first that it was shown."""

    spec: SeparatorSpec
    answer: Callable[[np.ndarray], np.ndarray]
    shown: list[np.ndarray] = field(default_factory=list)

    def warm_up(self, window: int) -> None:
        pass

    def __call__(self, window: np.ndarray) -> np.ndarray:
        if len(self.shown) < 4:
            self.shown.append(window.copy())
        return self.answer(window)


def checked(answer: Callable[[np.ndarray], np.ndarray], spec: SeparatorSpec) -> CheckedSeparator:
    return CheckedSeparator(Separator(spec, answer), spec)


def halves(window: np.ndarray) -> np.ndarray:
    """A stem that has everything, and one that has nothing."""
    return np.stack([window, np.zeros_like(window)])


def coloured(window: np.ndarray) -> np.ndarray:
    """What depends on the place in the window, and on what else is in it: no two windows agree."""
    ramp = np.linspace(-1.0, 1.0, window.shape[1], dtype=np.float32)
    swing = np.float32(window.std()) * ramp
    return np.stack([window * ramp, np.roll(window, 7, axis=1) + swing])


def noise(count: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (count, channels)).astype(np.float32)


def windowed(sound: np.ndarray, separator: CheckedSeparator, sizes: Sequence[int] = ()) -> np.ndarray:
    """Channel-major sound through `StemWindows`, in pieces of ``sizes`` and then the rest."""
    windows = StemWindows(separator)
    pieces = [np.zeros((len(separator.spec.stems), sound.shape[0], 0), np.float32)]
    for piece in np.split(sound, np.cumsum(sizes), axis=1) if len(sizes) else [sound]:
        pieces += windows.push(piece)
    return np.concatenate([*pieces, *windows.finish()], axis=2)


def at_once(sound: np.ndarray, separator: Callable[[np.ndarray], np.ndarray], segment: int) -> np.ndarray:
    """What demucs 4.1's apply_model does with a whole song in memory, without shifts: written from its description."""
    length = sound.shape[1]
    weight = np.concatenate([np.arange(1, segment // 2 + 1), np.arange(segment - segment // 2, 0, -1)])
    weight = weight / weight.max()
    out, total = 0.0, np.zeros(length)
    for offset in range(0, length, int(0.75 * segment)):
        count = min(segment, length - offset)
        spare = segment - count
        start = offset - spare // 2
        padded = np.pad(sound, ((0, 0), (segment, segment)))[:, start + segment : start + 2 * segment]
        stems = separator(padded.astype(np.float32))[..., spare // 2 : spare // 2 + count]
        place = np.zeros((*stems.shape[:2], length))
        place[..., offset : offset + count] = weight[:count] * stems
        out = out + place
        total[offset : offset + count] += weight[:count]
    return out / total


@pytest.mark.parametrize("length", [1, 2, 699, 749, 750, 751, 999, 1000, 1001, 1499, 1500, 1750, 2250, 3333, 5001])
@pytest.mark.parametrize("segment", [1000, 997])
def test_windows_overlap_as_demucs_has_them(length: int, segment: int) -> None:
    sound = noise(length).T
    out = windowed(sound, checked(coloured, spec_of(window=segment)))
    assert out.shape == (2, 2, length)
    np.testing.assert_allclose(out, at_once(sound, coloured, segment), atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 3000),
    window=st.integers(1, 400),
    edge=st.integers(0, 399),
    sizes=st.lists(st.integers(0, 700), max_size=6),
)
def test_an_identity_gives_the_input_back_whatever_the_pieces(
    length: int, window: int, edge: int, sizes: list[int]
) -> None:
    spec = spec_of(window=window, edge=min(edge, window - 1))
    sound = noise(length).T
    out = windowed(sound, checked(halves, spec), sizes)
    np.testing.assert_allclose(out[0], sound, atol=1e-6)
    assert not out[1].any()
    odd = checked(coloured, spec)
    np.testing.assert_array_equal(windowed(sound, odd, sizes), windowed(sound, odd))


def test_what_lies_in_the_edge_is_heard_and_not_used() -> None:
    """A separator that is wrong at the end of each window: nothing of it is in the output."""

    def wrong_at_the_end(window: np.ndarray) -> np.ndarray:
        stems = halves(window)
        stems[..., -100:] = 9.0
        return stems

    spec = spec_of(window=1000, edge=100)
    separator = Separator(spec, wrong_at_the_end)
    sound = noise(4321).T
    np.testing.assert_allclose(windowed(sound, CheckedSeparator(separator, spec))[0], sound, atol=1e-6)
    # Where the song goes on, the edge holds it.
    np.testing.assert_array_equal(separator.shown[1], sound[:, 675:1675])


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9000), max_size=8),
    rate=st.sampled_from([8000, 8001, 11_025, 48_000]),
    channels=st.integers(1, 6),
)
def test_any_blocks_give_the_same_bytes(sizes: list[int], rate: int, channels: int) -> None:
    sound = noise(10_000, channels)
    spec = spec_of(window=1500)
    weights = np.array([[1.0, 0.3], [-1.0, 2.0]], np.float32)

    def rendered(blocks: Sequence[np.ndarray]) -> np.ndarray:
        found = render_stems(blocks, rate, channels, checked(coloured, spec), RenderSettings(weights))
        return np.concatenate(list(found))

    whole = rendered([sound])
    assert whole.shape == (10_000, 2 * channels)
    np.testing.assert_array_equal(rendered(np.split(sound, np.cumsum(sizes))), whole)


@pytest.mark.parametrize("rate", [4000, 8000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("stems", [("low", "other"), ("low", "high")])
def test_stems_are_in_place_and_add_up(rate: int, channels: int, stems: tuple[str, str]) -> None:
    """At any rate. Where there is ``other``, all of them are the input; else, what an identity gives is."""
    time = np.arange(int(1.3 * rate) + 1) / rate
    tones = 0.3 * np.sin(2 * np.pi * np.outer(time, 300.0 + 50.0 * np.arange(channels)))
    sound = (tones + 0.1).astype(np.float32)  # a constant is sound too
    found = list(stem_blocks([sound], rate, channels, checked(halves, spec_of(stems, 32_000, window=8000))))
    dry = np.concatenate([dry for dry, _ in found])
    parts = np.concatenate([parts for _, parts in found], axis=1)
    assert parts.shape == (2, *sound.shape)
    np.testing.assert_array_equal(dry, sound)
    middle = slice(rate // 50, -rate // 50)
    np.testing.assert_allclose(parts[0][middle], sound[middle], atol=1e-2)
    if stems[1] == "other":
        np.testing.assert_allclose(parts.astype(np.float64).sum(axis=0), sound, atol=1e-7)


def test_neighbours_are_heard_together_and_an_odd_last_one_as_two_equal_channels() -> None:
    spec = spec_of(window=1000)
    separator = Separator(spec, halves)
    sound = noise(1000, 3)
    list(stem_blocks([sound], 8000, 3, CheckedSeparator(separator, spec)))
    pairs = [shown for shown in separator.shown if np.array_equal(shown, sound[:, :2].T)]
    alone = [shown for shown in separator.shown if np.array_equal(shown, sound[:, [2, 2]].T)]
    assert (len(pairs), len(alone)) == (1, 1)


def test_a_separator_of_one_channel_hears_each_alone() -> None:
    spec = spec_of(channels=1)
    sound = noise(2500, 2)
    found = list(stem_blocks([sound], 8000, 2, checked(halves, spec)))
    np.testing.assert_allclose(np.concatenate([stems[0] for _, stems in found]), sound, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "wet", "gain", "expected"),
    [
        ("isolate", 1.0, 0.0, lambda a, x: a),
        ("isolate", 0.25, 0.0, lambda a, x: 0.25 * a + 0.75 * x),
        ("remove", 1.0, 0.0, lambda a, x: x - a),
        ("remove", 1.0, -6.0206, lambda a, x: 0.5 * (x - a)),
        ("balance", 1.0, 6.0206, lambda a, x: a + x),
    ],
)
def test_modes(mode: str, wet: float, gain: float, expected: Callable[..., np.ndarray]) -> None:
    sound = noise(4000)
    options = {"mode": mode, "wet": wet, "gain": gain}
    third = checked(lambda window: np.stack([window / 3, window / 2]), spec_of())
    out = np.concatenate(
        list(render_stems([sound], 8000, 2, third, RenderSettings(np.array([0.5, 0.0], np.float32), **options)))
    )
    np.testing.assert_allclose(out, expected(sound / 3, sound), atol=1e-5)


def test_samples_that_are_no_sound_are_silence_and_counted() -> None:
    sound = noise(3000)
    sound[7, 0], sound[2000, 1], sound[2001, 1] = np.nan, np.inf, 1e30
    report = RenderReport()
    out = np.concatenate([dry for dry, _ in stem_blocks([sound], 8000, 2, checked(halves, spec_of()), report)])
    assert (report.repaired, report.frames) == (3, 3000)
    assert (out[7, 0], out[2000, 1], out[2001, 1]) == (0.0, 0.0, 0.0)


def test_a_rack_that_takes_its_time_leaves_the_output_in_place(tmp_path: Path) -> None:
    """The limiter looks ahead and has nothing to limit; the part beside it has no effects and keeps in step."""
    path = tmp_path / "slow.toml"
    path.write_text('schema = 1\n[[effect]]\ntype = "BrickwallLimiter"\nname = "top"\n')
    sound = 0.1 * noise(9000)
    report = RenderReport()
    setting = RenderSettings(np.array([[1, 0], [1, 0]], np.float32), racks=(RackConfig.load(path),))
    out = np.concatenate(list(render_stems([sound], 8000, 2, checked(halves, spec_of()), setting, report)))
    assert report.latency > 0
    assert out.shape == (9000, 4)
    np.testing.assert_allclose(out[:, 2:], sound, atol=1e-6)
    np.testing.assert_allclose(out[:, :2], sound, atol=1e-3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda window: window, ["test", "shape (2, 1000)", "(2, 2, 1000)"]),
        (lambda window: np.stack([window, window])[..., :-1], ["shape (2, 2, 999)"]),
        (lambda window: np.stack([window, window]).astype(np.float64), ["float64"]),
        (lambda window: np.full((2, *window.shape), np.nan, np.float32), ["NaN"]),
        (lambda window: None, ["test"]),
        (lambda window: 1 / 0, ["test failed", "division by zero"]),
    ],
)
def test_a_broken_separator_is_one_line(answer: Callable[[np.ndarray], np.ndarray], words: list[str]) -> None:
    with pytest.raises(QsepError) as told:
        list(stem_blocks([noise(5000)], 8000, 2, checked(answer, spec_of())))
    assert "\n" not in str(told.value)
    assert all(word in str(told.value) for word in words), told.value


def test_half_an_hour_takes_no_more_memory_than_a_minute() -> None:
    def minutes(count: int) -> Iterator[np.ndarray]:
        for second in range(60 * count):
            yield noise(11_025, 2, second)

    def peak(count: int) -> SimpleNamespace:
        report = RenderReport()
        separator = checked(halves, spec_of(rate=8000, window=60_000))
        tracemalloc.start()
        try:
            weights = np.array([1.0, 0.0], np.float32)
            found = render_stems(minutes(count), 11_025, 2, separator, RenderSettings(weights), report)
            frames = sum(len(block) for block in found)
            return SimpleNamespace(frames=frames, bytes=tracemalloc.get_traced_memory()[1], windows=report.windows)
        finally:
            tracemalloc.stop()

    short, long = peak(1), peak(30)
    assert long.frames == 30 * 60 * 11_025
    assert long.windows == -(-30 * 60 * 8000 // 45_000)
    assert long.bytes < 1.1 * short.bytes


def test_what_is_left_over_is_rounded_once() -> None:
    sound = noise(5000)
    taken = [noise(5000, seed=seed) for seed in range(1, 6)]
    rest = left_over(sound, taken)
    whole = rest.astype(np.float64) + sum(each.astype(np.float64) for each in taken)
    np.testing.assert_allclose(whole, sound, atol=3e-7)
