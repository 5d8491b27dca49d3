from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import BIN_HZ, BINS
from qsep_live.dsp.stream_filter import FilterGrid
from qsep_live.engine.delay import DelayPlan, plan_delay
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.signal_path import Fallback, SignalPath

RATES = [8000, 44_100, 48_000, 88_200, 96_000]
DELAYS = [0.0, 0.0059, 0.0125, 0.025, 0.06, 0.25]
PLANS = [plan_delay(delay, rate) for rate in RATES for delay in DELAYS]
NAMES = [f"{plan.rate}-{1e3 * plan.seconds:.1f}ms" for plan in PLANS]
FOREVER = 1 << 40


def constant(gain: float | np.ndarray, end: int = FOREVER) -> GainFrames:
    """The same gains at all times."""
    return GainFrames(end, -1e9, 2e9, np.broadcast_to(np.asarray(gain, np.float32), (2, BINS)).copy())


def field_of(frames: GainFrames | None) -> GainField:
    field = GainField()
    if frames is not None:
        field.publish(frames)
    return field


def noise(count: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, channels)).astype(np.float32)


def run(
    signal: SignalPath, sound: np.ndarray, sizes: Sequence[int] = (), before: Callable[[int], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Target and dry of the whole; in blocks of ``sizes`` and the rest in blocks of 256."""
    edges = [0, *np.cumsum(sizes).tolist()]
    edges += [*range(edges[-1] + 256, len(sound), 256), len(sound)]
    pieces = []
    for start, stop in itertools.pairwise(edges):
        if before is not None:
            before(start)
        target, dry = signal.process(sound[start:stop])
        pieces.append((target.copy(), dry.copy()))
    targets, drys = zip(*pieces, strict=True)
    return np.concatenate(targets), np.concatenate(drys)


def frames_in(plan: DelayPlan, count: int) -> int:
    """A filter begins a hop with its first sample, a transform when it has all of them."""
    return -(-count // plan.grid.hop) if isinstance(plan.grid, FilterGrid) else count // plan.grid.hop


def test_several_presets_are_each_as_if_alone() -> None:
    plan = plan_delay(0.04, 48_000)
    sound = noise(6000)
    gains = [np.linspace(0, 1, BINS, dtype=np.float32), np.float32(0.3), np.random.default_rng(1).random(BINS)]
    alone = [run(SignalPath(plan, 2, field_of(constant(gain))), sound) for gain in gains]
    together = GainFrames(FOREVER, -1e9, 2e9, np.hstack([constant(gain).gains for gain in gains]))
    signal = SignalPath(plan, 2, field_of(together), presets=3)
    target, dry = run(signal, sound)
    np.testing.assert_array_equal(dry, alone[0][1])
    for index, (wanted, _) in enumerate(alone):
        np.testing.assert_allclose(target[:, 2 * index : 2 * index + 2], wanted, atol=1e-6)
    assert signal.counts.frames == frames_in(plan, len(sound))


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_gain_one_is_the_delayed_input_and_the_declared_delay_is_the_true_one(plan) -> None:
    sound = noise(plan.samples + 3 * plan.grid.analysis)
    target, dry = run(SignalPath(plan, 2, field_of(constant(1.0))), sound)
    delayed = np.concatenate([np.zeros((plan.samples, 2), np.float32), sound])[: len(sound)]
    np.testing.assert_array_equal(dry, delayed)
    np.testing.assert_allclose(target, delayed, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS[6:12], ids=NAMES[6:12])
def test_zero_gains_are_silence(plan) -> None:
    target, dry = run(SignalPath(plan, 2, field_of(constant(0.0))), noise(plan.samples + 9000))
    assert not target.any()
    assert dry.any()


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_target_and_residual_add_up_to_the_delayed_dry(plan) -> None:
    """The residual is what the complementary gains let through."""
    gains = np.random.default_rng(3).random(BINS).astype(np.float32)
    sound = noise(plan.samples + 2 * plan.grid.analysis)
    target, dry = run(SignalPath(plan, 2, field_of(constant(gains))), sound)
    residual, _ = run(SignalPath(plan, 2, field_of(constant(1.0 - gains))), sound)
    np.testing.assert_allclose(target + residual, dry, atol=1e-5)
    assert np.abs(target - dry).max() > 0.1


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(
        [plan_delay(delay, 44_100) for delay in (0.0, 0.012, 0.3)]
        + [plan_delay(delay, rate) for delay, rate in ((0.03, 8000), (0.003, 8000), (0.05, 48_000), (0.0101, 48_000))]
    ),
    st.lists(st.integers(0, 1500), max_size=12),
    st.lists(st.integers(0, 9000), max_size=3),
    st.integers(0, 9),
)
def test_any_chunking_gives_the_same_output(plan, sizes: list[int], news: list[int], seed: int) -> None:
    """Blocks of any size, with new gains published at any time."""
    sound = noise(9000, 2, seed)
    random = np.random.default_rng(seed)
    published = {at: constant(random.random(BINS), at) for at in news}

    def play(cuts: set[int]) -> tuple[np.ndarray, np.ndarray]:
        field = field_of(None)
        signal = SignalPath(plan, 2, field, patience=0.05, fade=0.02)
        edges = sorted({cut for cut in cuts if cut <= 9000} | set(news) | {0, 9000})

        def publish(start: int) -> None:
            if start in published:
                field.publish(published[start])

        return run(signal, sound, np.diff(edges).tolist(), publish)

    whole = play(set())
    parts = play(set(np.cumsum(sizes).tolist()))
    if isinstance(plan.grid, FilterGrid):
        # A filter's FFT starts where the block does, and rounds otherwise.
        np.testing.assert_allclose(parts[0], whole[0], atol=2e-6)
    else:
        np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_array_equal(parts[1], whole[1])


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
@pytest.mark.parametrize("position", [0, 12_345_678])
def test_gains_stamped_at_a_time_act_at_that_time(plan, position: int) -> None:
    """Gains that step from 0 to 1 at t0 open the output at t0 plus the delay, to a hop: under half a window.

    A filter's hop ends at the time its gains are for, so it may begin to open a hop before and be open a hop after."""
    spacing = 256 * plan.rate / 22_050
    step = 40
    gains = np.repeat(np.float32([0.0, 1.0]), step)[:, None] * np.ones((1, BINS), np.float32)
    field = field_of(GainFrames(FOREVER, position + 500.25, spacing, gains))
    moment = 500.25 + (step - 0.5) * spacing
    count = int(moment + plan.samples + plan.grid.synthesis + 4 * spacing)
    sound = 0.5 + 0.5 * np.abs(noise(count, 1))
    target, dry = run(SignalPath(plan, 1, field, position=position), sound)
    # Every bin has the same gain, so what a sample was multiplied by can be read off.
    opened = target[plan.samples :, 0] / dry[plan.samples :, 0]
    half, quarter = max(plan.grid.synthesis / 2, plan.grid.hop), spacing / 2
    times = np.arange(len(opened))
    np.testing.assert_allclose(opened[times < moment - half - quarter], 0.0, atol=1e-4)
    np.testing.assert_allclose(opened[times > moment + half + quarter], 1.0, atol=1e-4)
    crossing = int(np.argmax(opened > 0.5))
    assert abs(crossing - moment) <= plan.grid.hop / 2 + 2 + (plan.grid.hop / 2 if not plan.grid.synthesis else 0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [700.0, 2500.0, 9000.0])
def test_a_notch_lands_at_its_frequency(rate: int, hertz: float) -> None:
    if hertz + 600 > rate / 2:
        hertz = 0.3 * rate
    plan = plan_delay(0.25, rate)
    bins = np.arange(BINS) * BIN_HZ
    gains = np.where(np.abs(bins - hertz) < 160.0, 0.0, 1.0).astype(np.float32)
    time = np.arange(plan.samples + rate) / rate
    heard = {}
    for tone in (hertz - 500.0, hertz, hertz + 500.0):
        sound = np.sin(2 * np.pi * tone * time).astype(np.float32)[:, None]
        target, _ = run(SignalPath(plan, 1, field_of(constant(gains))), sound)
        heard[tone - hertz] = np.sqrt(2 * np.mean(target[-rate // 2 :] ** 2))
    assert heard[0.0] < 0.03, heard
    assert heard[-500.0] == pytest.approx(1.0, abs=0.03), heard
    assert heard[500.0] == pytest.approx(1.0, abs=0.03), heard


@pytest.mark.parametrize("rate", RATES[1:])
@pytest.mark.parametrize("top", [0.0, 1.0])
def test_above_the_model_the_top_of_the_mask_goes_on(rate: int, top: float) -> None:
    plan = plan_delay(0.25, rate)
    gains = np.full(BINS, 1.0 - top, np.float32)
    gains[-16:] = top
    time = np.arange(plan.samples + rate // 2) / rate
    sound = np.sin(2 * np.pi * 15_000 * time).astype(np.float32)[:, None]
    target, _ = run(SignalPath(plan, 1, field_of(constant(gains))), sound)
    assert np.sqrt(2 * np.mean(target[-rate // 8 :] ** 2)) == pytest.approx(top, abs=0.01)


def test_the_newest_gains_are_held_and_holds_are_counted() -> None:
    plan = plan_delay(0.025, 44_100)
    gains = np.linspace(0.0, 1.0, 11, dtype=np.float32)[:, None] * np.ones((1, BINS), np.float32)
    field = field_of(GainFrames(FOREVER, 0.0, 512.0, gains))
    signal = SignalPath(plan, 1, field)
    sound = np.ones((44_032, 1), np.float32)
    target, _ = run(signal, sound)
    np.testing.assert_allclose(target[plan.samples + 6000 :], 1.0, atol=1e-4)
    centres = plan.grid.first + plan.grid.hop * np.arange(signal.counts.frames) - plan.lag
    assert signal.counts.frames == frames_in(plan, len(sound))
    assert signal.counts.held == np.count_nonzero((centres < 0) | (centres > 5120))
    assert signal.counts.fallbacks == signal.counts.fallback == 0


@pytest.mark.parametrize("fallback", ["dry", "silence"])
def test_a_mask_that_stays_away_fades_to_the_fallback_and_back(fallback: Fallback) -> None:
    rate, patience, fade = 8000, 0.5, 0.1
    plan = plan_delay(0.05, rate)
    usual, other = (0.0, 1.0) if fallback == "dry" else (1.0, 0.0)
    field = GainField()
    signal = SignalPath(plan, 1, field, fallback, patience, fade)
    stop, again = 8000, 24_000

    def publish(start: int) -> None:
        if start < stop or start >= again:
            field.publish(constant(usual, start))

    sound = 0.5 + 0.5 * np.abs(noise(32_000, 1))
    target, dry = run(signal, sound, (), publish)
    ratio = target[plan.samples :, 0] / dry[plan.samples :, 0]
    time = np.arange(plan.samples, 32_000)
    late = stop + patience * rate
    edge = plan.grid.synthesis + 512
    np.testing.assert_allclose(ratio[time < late - 512], usual, atol=1e-4)
    np.testing.assert_allclose(ratio[(time > late + fade * rate + edge) & (time < again)], other, atol=1e-4)
    np.testing.assert_allclose(ratio[time > again + fade * rate + edge], usual, atol=1e-4)
    # A fade, not a jump: no step between neighbours comes near the whole way.
    assert np.abs(np.diff(ratio)).max() < 10 / (fade * rate)
    assert signal.counts.fallbacks == 1
    frames_late = (again - late + fade * rate) / plan.grid.hop
    assert signal.counts.fallback == pytest.approx(frames_late, abs=12)


@pytest.mark.parametrize(("fallback", "heard"), [("dry", 1.0), ("silence", 0.0)])
def test_before_the_first_mask_the_fallback_is_heard(fallback: Fallback, heard: float) -> None:
    plan = plan_delay(0.025, 44_100)
    signal = SignalPath(plan, 2, GainField(), fallback)
    target, dry = run(signal, noise(20_000))
    np.testing.assert_allclose(target, heard * dry, atol=1e-5)
    assert signal.counts.fallbacks == 0, "nothing fell back: there was no mask yet"
    assert signal.counts.fallback == signal.counts.held == signal.counts.frames


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_samples_that_are_no_sound_become_zero_and_are_counted(bad: float) -> None:
    plan = plan_delay(0.025, 44_100)
    sound = noise(20_000)
    clean = sound.copy()
    places = [(0, 0), (5000, 0), (5000, 1), (19_999, 1)]
    for place in places:
        sound[place], clean[place] = bad, 0.0
    gains = np.random.default_rng(5).random(BINS).astype(np.float32)
    signal = SignalPath(plan, 2, field_of(constant(gains)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target, dry = run(signal, sound)
    expected = run(SignalPath(plan, 2, field_of(constant(gains))), clean)
    np.testing.assert_array_equal(target, expected[0])
    np.testing.assert_array_equal(dry, expected[1])
    assert signal.counts.repaired == len(places)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_channels_share_the_gains_and_nothing_else(channels: int) -> None:
    plan = plan_delay(0.0125, 48_000)
    gains = np.random.default_rng(6).random(BINS).astype(np.float32)
    sound = noise(9000, channels)
    together, _ = run(SignalPath(plan, channels, field_of(constant(gains))), sound)
    for channel in range(channels):
        alone, _ = run(SignalPath(plan, 1, field_of(constant(gains))), sound[:, channel : channel + 1])
        np.testing.assert_allclose(together[:, channel], alone[:, 0], atol=1e-6)
