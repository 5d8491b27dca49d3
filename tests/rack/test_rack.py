from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.errors import QsepError, UsageError
from qsep_live.rack.config import RackConfig
from qsep_live.rack.effects import EFFECTS
from qsep_live.rack.rack import Rack

Sound = NDArray[np.float32]
RATE = 44100
MAX_BLOCK = 512
EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "docs" / "racks").glob("*.toml"))
LONG_CHAIN = "\n".join(
    f'[[effect]]\ntype = "{kind}"'
    for kind in ("Compressor", "Resample", "Delay", "BrickwallLimiter", "Reverb", "Chorus")
)


def noise(frames: int, channels: int = 2) -> Sound:
    return (0.1 * np.random.default_rng(3).standard_normal((frames, channels))).astype(np.float32)


@pytest.mark.parametrize("kind", sorted(EFFECTS))
def test_any_chunking_equals_the_largest_blocks(
    one_effect: Callable[..., Rack], play: Callable[..., Sound], kind: str
) -> None:
    rack, sound = one_effect(kind), noise(6000)
    whole = play(rack, sound, [MAX_BLOCK])
    assert whole[4500:].std() > 0.003, "the effect must let sound through, or silence would equal silence"
    # Convolution transforms another number of samples at once: float32 rounding, and no more.
    tolerance = 1e-6 if kind == "Convolution" else 0.0
    for sizes in ([1], [2], [64], [1, 2, 3, 17, 512, 256, 5, 100], [512, 1, 1, 1]):
        rack.reset()
        assert np.abs(play(rack, sound, sizes) - whole).max() <= tolerance
    assert rack.faults == {}


@pytest.fixture(scope="module")
def long_chain() -> Rack:
    return Rack(RackConfig.parse(f"schema = 1\n{LONG_CHAIN}", Path("long.toml")), RATE, 2, MAX_BLOCK)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, MAX_BLOCK), min_size=1, max_size=20))
def test_any_chunking_of_a_chain(long_chain: Rack, play: Callable[..., Sound], sizes: list[int]) -> None:
    sound = noise(3000)
    long_chain.reset()
    whole = play(long_chain, sound, [MAX_BLOCK])
    long_chain.reset()
    assert np.array_equal(play(long_chain, sound, sizes), whole)


# An impulse is the loudest where it arrives for all of these; slow filters smear it and codecs bend it.
SHARP = sorted(set(EFFECTS) - {"LadderFilter", "LowpassFilter", "MP3Compressor", "Bitcrush"})


@pytest.mark.parametrize("kind", SHARP)
def test_declared_latency_is_where_an_impulse_arrives(
    one_effect: Callable[..., Rack], play: Callable[..., Sound], kind: str
) -> None:
    rack = one_effect(kind)
    sound = np.zeros((12000, 2), np.float32)
    sound[3000] = 0.5
    out = np.abs(play(rack, sound, [256]))
    assert out.argmax(axis=0).tolist() == [3000 + rack.latency] * 2
    assert rack.latency == 2 + rack.delays[kind.lower()]


@pytest.mark.parametrize("kind", ["MP3Compressor", "Bitcrush"])
def test_declared_latency_by_correlation(
    one_effect: Callable[..., Rack], play: Callable[..., Sound], kind: str
) -> None:
    """Codecs bend an impulse, but noise still fits the input best where it belongs."""
    rack, sound = one_effect(kind), noise(30000)
    spectra = np.fft.rfft(play(rack, sound, [256])[:, 0], 1 << 16) * np.conj(np.fft.rfft(sound[:, 0], 1 << 16))
    assert int(np.fft.irfft(spectra).argmax()) == rack.latency


def test_a_chain_adds_its_latencies_up(long_chain: Rack, play: Callable[..., Sound]) -> None:
    sound = np.zeros((20000, 2), np.float32)
    sound[2000] = 0.5
    long_chain.reset()
    assert np.abs(play(long_chain, sound, [300])).argmax(axis=0).tolist() == [2000 + long_chain.latency] * 2
    assert long_chain.latency == 2 + sum(long_chain.delays.values())
    assert sum(delay > 0 for delay in long_chain.delays.values()) == 2


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8])
def test_any_number_of_channels(make_rack: Callable[..., Rack], play: Callable[..., Sound], channels: int) -> None:
    rack = make_rack('[[effect]]\ntype = "Gain"\n[[effect]]\ntype = "BrickwallLimiter"\n', channels)
    sound = noise(6000, channels) * np.linspace(0.1, 0.9, channels, dtype=np.float32)
    out = play(rack, sound, [1, 200, 2, 37])
    assert out[rack.latency :] == pytest.approx(sound[: -rack.latency] * 10 ** (1 / 20), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("max_block", [1, 2, 3, 16, 8192])
def test_any_longest_block(make_rack: Callable[..., Rack], play: Callable[..., Sound], max_block: int) -> None:
    rack = make_rack('[[effect]]\ntype = "BrickwallLimiter"\n[[effect]]\ntype = "Reverb"\n', max_block=max_block)
    sound = np.zeros((3000, 2), np.float32)
    sound[100] = 0.5
    assert np.abs(play(rack, sound, [max_block])).argmax(axis=0).tolist() == [100 + rack.latency] * 2
    assert rack.faults == {}


def test_a_steady_rack_does_not_grow(long_chain: Rack) -> None:
    block = noise(256)
    for _ in range(50):
        long_chain.process(block)
    queued = long_chain._in.count + long_chain._out.count
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1000):
            long_chain.set("rack.reverb.room_size", (number % 100) / 100)
            long_chain.process(block)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert long_chain._in.count + long_chain._out.count == queued == 2
    assert after - before < 50_000


def test_an_empty_rack_is_a_wire() -> None:
    rack = Rack(RackConfig(), RATE, 2, MAX_BLOCK)
    block = noise(100)
    out = rack.process(block)
    assert np.array_equal(out, block)
    assert not np.shares_memory(out, block)
    assert (rack.latency, rack.parameters) == (0, ())


def test_nan_in_is_silence_and_no_effects_fault(make_rack: Callable[..., Rack], play: Callable[..., Sound]) -> None:
    rack = make_rack('[[effect]]\ntype = "Reverb"\n')
    clean = noise(4000)
    clean[1000:1010] = 0
    dirty = clean.copy()
    dirty[1000:1010] = np.nan
    dirty[1005] = np.inf
    assert np.array_equal(play(rack, dirty, [100]), (rack.reset(), play(rack, clean, [100]))[1])
    assert (rack.repaired, rack.faults) == (1, {})


def test_wrong_blocks_are_refused(make_rack: Callable[..., Rack]) -> None:
    rack = make_rack('[[effect]]\ntype = "Gain"\n')
    for shape in ((MAX_BLOCK + 1, 2), (10, 1), (10,)):
        with pytest.raises(ValueError, match="block of shape"):
            rack.process(np.zeros(shape, np.float32))
    assert rack.process(np.zeros((0, 2), np.float32)).shape == (0, 2)


def test_setting_clamps_and_names_are_checked(make_rack: Callable[..., Rack]) -> None:
    rack = make_rack('[[effect]]\ntype = "Gain"\nname = "trim"\n')
    rack.set("rack.trim.gain_db", 1000.0)
    assert rack.values == {"rack.trim.gain_db": 24.0, "rack.trim.bypass": 0.0}
    rack.set("rack.trim.gain_db", float("nan"))
    assert rack.values["rack.trim.gain_db"] == 1.0
    with pytest.raises(UsageError, match=r"did you mean 'rack\.trim\.gain_db'"):
        rack.set("rack.trim.gain", 0.0)


def test_the_parameters_known_early_are_the_racks_own(one_effect: Callable[..., Rack], tmp_path: Path) -> None:
    config = RackConfig.load(EXAMPLES[0])
    assert Rack(config, RATE, 2, MAX_BLOCK).parameters == config.parameters


def test_an_effect_that_cannot_run_at_the_rate(make_rack: Callable[..., Rack]) -> None:
    with pytest.raises(QsepError, match=r"rack\.toml:3: mp3compressor: cannot run at 96000 Hz: MP3 only supports"):
        make_rack('[[effect]]\ntype = "MP3Compressor"\n', rate=96000)


def test_there_are_examples() -> None:
    assert {path.name for path in EXAMPLES} >= {"vocal-space.toml", "drum-crunch.toml"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_the_examples_play(path: Path, rate: int, play: Callable[..., Sound]) -> None:
    rack = Rack(RackConfig.load(path), rate, 2, 1024)
    sound = np.concatenate([noise(rate // 2), np.zeros((rate // 2, 2), np.float32)])
    out = play(rack, sound, [256])
    assert rack.faults == {}
    assert 0.005 < float(np.sqrt(np.mean(out[: rate // 2] ** 2))) < 0.7
    assert np.abs(out).max() <= 1.0
    assert not np.array_equal(out[rack.latency :], sound[: -rack.latency])
