"""One contract for every streaming part: any chunking gives what the whole gives, the declared latency is the true
one, and a part that was reset is as new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.audio.resample import StreamConverter
from qsep_live.dsp.grid import BINS
from qsep_live.dsp.ring import Ring
from qsep_live.dsp.stream_filter import FilterGrid, StreamingFilter
from qsep_live.dsp.stream_stft import StreamGrid, StreamingAnalysis, StreamingSynthesis
from qsep_live.dsp.tape import Tape
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.mix import Mixer
from qsep_live.engine.render import Renderer, RenderSettings
from qsep_live.engine.signal_path import SignalPath

Process = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Part:
    """A streaming part that passes its input on, ``latency`` samples late: how it is made, and how it is reset.

    ``rounding`` is by how much chunkings may differ, where a filter's FFT begins with the chunk."""

    name: str
    latency: int
    make: Callable[[], tuple[Process, Callable[[], None] | None]]
    rounding: float = 0.0


def stft() -> tuple[Process, Callable[[], None]]:
    grid = StreamGrid(2240, 544, 272)
    analysis, synthesis = StreamingAnalysis(grid, 2), StreamingSynthesis(grid, 2)

    def process(block: np.ndarray) -> np.ndarray:
        analysis.push(block.T)
        while analysis.ready():
            synthesis.add(analysis.frame())
        return synthesis.read(len(block)).T.copy()

    def reset() -> None:
        analysis.reset()
        synthesis.reset()

    return process, reset


def fir() -> tuple[Process, Callable[[], None]]:
    part = StreamingFilter(FilterGrid(2240, 272, 131), 2)

    def process(block: np.ndarray) -> np.ndarray:
        part.push(block.T)
        while part.due():
            part.apply(np.ones((1, 1, 1121), np.float32))
        return part.read(len(block)).T.copy()

    return process, part.reset


def open_path(delay: float = 0.03) -> SignalPath:
    field = GainField()
    field.publish(GainFrames(1 << 40, 0.0, 512.0, np.ones((2, BINS), np.float32)))
    return SignalPath(plan_delay(delay, 44_100), 2, field)


def target() -> tuple[Process, None]:
    signal = open_path()
    return lambda block: signal.process(block)[0].copy(), None


def target_at_once() -> tuple[Process, None]:
    signal = open_path(0.0)
    return lambda block: signal.process(block)[0].copy(), None


def dry() -> tuple[Process, None]:
    signal = open_path()
    return lambda block: signal.process(block)[1].copy(), None


def before_any_mask() -> tuple[Process, None]:
    signal = SignalPath(plan_delay(0.0125, 48_000), 2, GainField(), "dry")
    return lambda block: signal.process(block)[0].copy(), None


def mixed() -> tuple[Process, None]:
    signal, mixer = open_path(), Mixer()
    return lambda block: mixer.mix(*signal.process(block), "isolate", 0.5, 0.0), None


class Open:
    """A network that lets everything pass."""

    channels = 2

    def __call__(self, shown: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.ones_like(shown[0])


def renderer() -> tuple[Process, None]:
    made = Renderer(8000, 2, Open(), RenderSettings(np.zeros(32, np.float32), delay=0.1))
    return made.process, None


def tape() -> tuple[Process, None]:
    kept = Tape(2, 1000, 300)

    def process(block: np.ndarray) -> np.ndarray:
        kept.push(block.T)
        out = kept.view(len(block)).T.copy()
        kept.skip(len(block))
        return out

    return process, None


def ring() -> tuple[Process, None]:
    kept = Ring.allocate(1 << 15, 2)
    kept.write(np.zeros((300, 2), np.float32))

    def process(block: np.ndarray) -> np.ndarray:
        kept.write(block)
        out = np.empty_like(block)
        assert kept.read(out) == len(block)
        return out

    return process, None


ROUNDING = 2e-6
PARTS = [
    Part("stft", 544, stft),
    Part("filter", 131, fir, ROUNDING),
    Part("target", round(0.03 * 44_100), target, ROUNDING),
    Part("target at once", 0, target_at_once, ROUNDING),
    Part("dry", round(0.03 * 44_100), dry),
    Part("before any mask", round(0.0125 * 48_000), before_any_mask, ROUNDING),
    Part("mixed", round(0.03 * 44_100), mixed, ROUNDING),
    Part("renderer", 800, renderer, ROUNDING),
    Part("tape", 300, tape),
    Part("ring", 300, ring),
]


def verify_contract(part: Part, sizes: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, (sum(sizes), 2)).astype(np.float32)
    whole = part.make()[0](sound)
    process, reset = part.make()
    edges = np.cumsum(sizes)[:-1]
    first = np.concatenate([process(piece) for piece in np.split(sound, edges)])
    assert first.shape == sound.shape
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, whole, rtol=0.0, atol=part.rounding)
    silence = np.zeros((part.latency, 2), np.float32)
    np.testing.assert_allclose(first, np.concatenate([silence, sound])[: len(sound)], atol=1e-5)
    if reset is not None:
        reset()
        again = np.concatenate([process(piece) for piece in np.split(sound, edges)])
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 4000), min_size=1, max_size=6), st.integers(0, 9))
def test_streaming_parts_keep_the_contract(part: Part, sizes: list[int], seed: int) -> None:
    verify_contract(part, sizes, seed)


@pytest.mark.parametrize(("rate", "target_rate"), [(48_000, 44_100), (8000, 22_050), (96_000, 44_100)])
@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=6), st.integers(0, 9))
def test_the_converter_gives_the_same_stream_in_any_chunks(
    rate: int, target_rate: int, sizes: list[int], seed: int
) -> None:
    """It gives as many samples as are complete, at most 128 of the input behind."""
    sound = np.random.default_rng(seed).uniform(-1, 1, (1, sum(sizes))).astype(np.float32)
    whole = StreamConverter(rate, target_rate, 1)
    expected = np.concatenate([whole.process(sound), whole.flush()], axis=1)
    parts = StreamConverter(rate, target_rate, 1)
    pieces, pushed, given_out = [], 0, 0
    for piece in np.split(sound, np.cumsum(sizes)[:-1], axis=1):
        pieces.append(parts.process(piece))
        pushed, given_out = pushed + piece.shape[1], given_out + pieces[-1].shape[1]
        assert 0 <= pushed - given_out * rate / target_rate + 1 <= 130
    out = np.concatenate([*pieces, parts.flush()], axis=1)
    np.testing.assert_allclose(out, expected, atol=1e-5)
