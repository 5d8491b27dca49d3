"""Morphing: the path through the presets, and glides in time that never jump and always arrive."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.errors import UsageError
from qsep_live.latent.morph import TIME_CONSTANT, LatentPath, Morph, MorphGlide
from qsep_live.latent.preset import Preset
from qsep_live.latent.slerp import slerp

MODEL = "0123456789abcdef" * 4
TICK = 0.01


def preset(name: str, seed: int, model: str = MODEL) -> Preset:
    return Preset(name, np.random.default_rng(seed).standard_normal(32).astype(np.float32), model)


VOCALS, DRUMS, BASS, OTHER = (preset(name, i) for i, name in enumerate(["vocals", "drums", "bass", "other"]))
PATH = Morph([VOCALS, DRUMS, BASS])


def run(path: LatentPath, seconds: float) -> list[NDArray[np.float32]]:
    return [path.step(TICK) for _ in range(round(seconds / TICK))]


def longest_step(start: NDArray[np.float32], latents: list[NDArray[np.float32]]) -> float:
    return max(float(np.linalg.norm(b - a)) for a, b in zip([start, *latents], latents, strict=False))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 50])
def test_every_preset_is_met_exactly(count: int) -> None:
    presets = [preset(f"p{i}", i) for i in range(count)]
    morph = Morph(presets)
    for each in presets:
        position = morph.position_of(each.name)
        np.testing.assert_array_equal(morph.latent(position), each.latent)
        assert morph.describe(position) == each.name


def test_between_neighbours_it_is_slerp() -> None:
    np.testing.assert_array_equal(PATH.latent(0.125), slerp(VOCALS.latent, DRUMS.latent, 0.25))
    np.testing.assert_array_equal(PATH.latent(0.875), slerp(DRUMS.latent, BASS.latent, 0.75))


def test_one_preset_is_a_constant() -> None:
    alone = Morph([VOCALS])
    for position in (0.0, 0.3, 1.0):
        np.testing.assert_array_equal(alone.latent(position), VOCALS.latent)
        assert alone.describe(position) == "vocals"
    assert alone.position_of("vocals") == 0.0


@given(st.floats(allow_nan=False))
def test_any_position_is_clamped(position: float) -> None:
    clamped = min(max(position, 0.0), 1.0)
    np.testing.assert_array_equal(PATH.latent(position), PATH.latent(clamped))
    assert PATH.describe(position) == PATH.describe(clamped)


@given(st.floats(0.0, 0.999))
def test_the_path_has_no_jumps(position: float) -> None:
    assert np.linalg.norm(PATH.latent(position + 1e-3) - PATH.latent(position)) < 0.1


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (0.0, "vocals"),
        (0.35, "vocals 30 % → drums 70 %"),
        (0.5, "drums"),
        (0.501, "drums"),
        (0.75, "drums 50 % → bass 50 %"),
        (0.999, "bass"),
        (1.0, "bass"),
    ],
)
def test_describe(position: float, words: str) -> None:
    assert PATH.describe(position) == words


def test_what_is_no_path() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Morph([])
    with pytest.raises(UsageError, match=r"'vocals' \(model 01234567\) and 'alien' \(model ffffffff\)"):
        Morph([VOCALS, DRUMS, preset("alien", 9, "f" * 64)])
    with pytest.raises(UsageError, match=r"vocals, drums, bass.*Did you mean 'drums'"):
        PATH.position_of("Drum")
    with pytest.raises(ValueError, match="NaN"):
        PATH.latent(math.nan)


def test_the_time_constant_is_what_it_says() -> None:
    glide = MorphGlide(0.0)
    assert TIME_CONSTANT == 0.08
    assert glide.step(TIME_CONSTANT, 1.0) == pytest.approx(1 - math.exp(-1))


@given(st.floats(0, 1), st.floats(0, 1), st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=20))
def test_any_cut_of_time_gives_the_same_glide(start: float, target: float, steps: list[float]) -> None:
    whole, cut = MorphGlide(start), MorphGlide(start)
    for dt in steps:
        cut.step(dt, target)
    assert whole.step(sum(steps), target) == pytest.approx(cut.position, abs=2e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1e-3, 0.1))
def test_it_arrives_exactly_and_never_overshoots(start: float, target: float, dt: float) -> None:
    glide = MorphGlide(start)
    low, high = min(start, target), max(start, target)
    for _ in range(math.ceil(9.3 * TIME_CONSTANT / dt)):
        position = glide.step(dt, target)
        assert low - 1e-12 <= position <= high + 1e-12
    assert glide.position == target


def test_odd_times() -> None:
    glide = MorphGlide(0.5)
    for dt in (0.0, -1.0, math.nan):
        assert glide.step(dt, 1.0) == 0.5
    assert glide.step(math.inf, 1.0) == 1.0
    assert MorphGlide(0.0, 0.0).step(1e-6, 1.0) == 1.0
    for constant in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="time constant"):
            MorphGlide(0.0, constant)


def test_a_jump_of_the_knob_is_a_glide_of_the_sound() -> None:
    path = LatentPath(PATH)
    path.move_to(1.0)
    start = path.latent
    latents = run(path, 1.0)
    distance = np.linalg.norm(DRUMS.latent - VOCALS.latent) + np.linalg.norm(BASS.latent - DRUMS.latent)
    assert longest_step(start, latents) < 0.25 * distance
    assert path.settled
    assert path.position == path.target == 1.0
    np.testing.assert_array_equal(path.latent, BASS.latent)


def test_nothing_moves_before_time_passes() -> None:
    path = LatentPath(PATH, position=0.25)
    before = path.latent
    path.move_to(0.75)
    path.pick("bass")
    assert path.latent is before
    assert path.step(0.0).tobytes() == before.tobytes()


def test_a_settled_path_returns_the_same_object() -> None:
    path = LatentPath(PATH)
    assert path.step(TICK) is path.step(TICK) is path.latent
    path.move_to(0.5)
    assert path.step(TICK) is not path.step(TICK)
    run(path, 1.0)
    assert path.step(TICK) is path.step(TICK)


def test_latents_cannot_be_written_to() -> None:
    path = LatentPath(PATH, position=0.3)
    path.move_to(0.6)
    for latent in [path.latent, *run(path, 1.0)]:
        assert not latent.flags.writeable


def test_picking_goes_straight_and_not_through_what_lies_between() -> None:
    path = LatentPath(PATH)
    path.pick("bass")
    to_drums = [float(np.linalg.norm(latent - DRUMS.latent)) for latent in run(path, 1.0)]
    straight = [
        float(np.linalg.norm(slerp(VOCALS.latent, BASS.latent, alpha) - DRUMS.latent))
        for alpha in np.linspace(0, 1, 200)
    ]
    assert min(to_drums) >= min(straight) - 1e-3
    assert path.settled
    assert path.position == 1.0
    assert path.describe() == "bass"
    np.testing.assert_array_equal(path.latent, BASS.latent)


def test_the_first_step_of_a_pick_is_on_the_great_circle() -> None:
    path = LatentPath(PATH)
    path.pick("bass")
    expected = slerp(VOCALS.latent, BASS.latent, 1 - math.exp(-TICK / TIME_CONSTANT))
    np.testing.assert_allclose(path.step(TICK), expected, rtol=1e-6)


def test_a_preset_from_outside_the_path_is_held_until_the_knob_moves() -> None:
    path = LatentPath(PATH, position=0.5)
    path.pick(OTHER)
    assert path.describe() == "other"
    run(path, 1.0)
    np.testing.assert_array_equal(path.latent, OTHER.latent)
    assert path.settled
    start = path.latent
    path.move_to(0.0)
    latents = run(path, 1.0)
    assert longest_step(start, latents) < 0.25 * np.linalg.norm(OTHER.latent - VOCALS.latent)
    np.testing.assert_array_equal(path.latent, VOCALS.latent)
    assert path.describe() == "vocals"


def test_a_preset_object_on_the_path_moves_the_position_too() -> None:
    path = LatentPath(PATH)
    path.pick(DRUMS)
    run(path, 1.0)
    assert path.position == 0.5


def test_picks_that_cannot_be_change_nothing() -> None:
    path = LatentPath(PATH)
    with pytest.raises(UsageError, match="not on the path"):
        path.pick("other")
    with pytest.raises(UsageError, match="model"):
        path.pick(preset("alien", 9, "f" * 64))
    with pytest.raises(UsageError, match="model"):
        path.change_path(Morph([preset("alien", 9, "f" * 64)]))
    assert path.settled
    assert path.morph is PATH
    assert path.describe() == "vocals"


def test_changing_the_path_glides() -> None:
    path = LatentPath(PATH, position=1.0)
    path.change_path(Morph([OTHER, VOCALS]), position=0.0)
    start = path.latent
    latents = run(path, 1.0)
    assert longest_step(start, latents) < 0.25 * np.linalg.norm(OTHER.latent - BASS.latent)
    np.testing.assert_array_equal(path.latent, OTHER.latent)


def test_a_position_that_is_no_number_leaves_all_as_it_is() -> None:
    path = LatentPath(PATH, position=0.5)
    path.move_to(math.nan)
    assert path.target == 0.5
    path.move_to(math.inf)
    assert path.target == 1.0


event = (
    st.tuples(st.just("move"), st.floats(0, 1))
    | st.tuples(st.just("pick"), st.sampled_from(["vocals", "drums", "bass"]))
    | st.tuples(st.just("hold"), st.just(OTHER))
)


@given(st.lists(st.tuples(event, st.integers(0, 12)), max_size=12))
def test_under_any_playing_it_never_jumps_and_at_last_arrives(
    events: list[tuple[tuple[str, object], int]],
) -> None:
    path = LatentPath(PATH)
    start, latents = path.latent, []
    for (what, value), ticks in events:
        if what == "move":
            assert isinstance(value, float)
            path.move_to(value)
        else:
            assert isinstance(value, str | Preset)
            path.pick(value)
        latents += run(path, ticks * TICK)
    latents += run(path, 1.5)
    assert all(np.isfinite(latent).all() for latent in latents)
    # A knob and a pick at once cover at most 12 % of two legs and of one great circle in a tick.
    assert longest_step(start, latents) < 4.5
    assert path.settled


STEMS = ("drums", "bass", "other", "vocals")


def of_stems(name: str, **weights: float) -> Preset:
    return Preset(name, np.array(list(weights.values())), stems=tuple(weights))


BAND = [of_stems(name, **{name: 1.0}).for_stems(STEMS) for name in ("vocals", "drums", "bass")]


def on_the_sphere(weights: NDArray[np.float32]) -> bool:
    return bool((weights >= 0.0).all()) and abs(float(np.linalg.norm(weights.astype(np.float64))) - 1.0) < 1e-5


def test_a_path_over_three_presets_of_stems() -> None:
    morph = Morph(BAND)
    np.testing.assert_allclose(morph.latent(0.25), np.sqrt([0.5, 0, 0, 0.5]), atol=1e-6)
    assert morph.describe(0.75) == "drums 50 % → bass 50 %"
    path = LatentPath(morph)
    path.move_to(1.0)
    assert all(map(on_the_sphere, run(path, 1.0)))
    np.testing.assert_array_equal(path.latent, BAND[2].latent)


def test_a_preset_of_stems_from_outside_the_path_comes_in_the_paths_order() -> None:
    path = LatentPath(Morph(BAND))
    path.pick(of_stems("duo", bass=1, vocals=1))
    assert path.describe() == "duo"
    assert all(map(on_the_sphere, run(path, 1.0)))
    np.testing.assert_allclose(path.latent, np.sqrt([0, 0.5, 0, 0.5]), atol=1e-7)
    path.pick(of_stems("drums", drums=1))  # as its file has it, the same preset as on the path
    run(path, 1.0)
    assert path.position == 0.5
    path.change_path(Morph([of_stems("duo", bass=1, vocals=1).for_stems(STEMS)]))
    assert all(map(on_the_sphere, run(path, 1.0)))


def test_latents_and_weights_of_stems_do_not_mix() -> None:
    both = r"'vocals' \(latent of 01234567\) and 'drums' \(stems .*\) cannot be on one path"
    with pytest.raises(UsageError, match=both):
        Morph([VOCALS, BAND[1]])
    with pytest.raises(UsageError, match=r"'vocals' \(stems .*\) and 'drums' \(latent of 01234567\) cannot be"):
        Morph([BAND[0], DRUMS])
    path = LatentPath(PATH)
    with pytest.raises(UsageError, match="cannot be on one path"):
        path.pick(BAND[0])
    with pytest.raises(UsageError, match="cannot be on one path"):
        path.change_path(Morph(BAND))
    with pytest.raises(UsageError, match="different stems"):
        Morph([of_stems("vocals", vocals=1), of_stems("drums", drums=1)])
    with pytest.raises(UsageError, match="needs the stem 'guitar'"):
        LatentPath(Morph(BAND)).pick(of_stems("guitar", guitar=1))
    assert path.morph is PATH
    assert path.settled


def test_latents_of_another_size() -> None:
    wide = [Preset(name, np.random.default_rng(i).standard_normal(48), MODEL) for i, name in enumerate("ab")]
    path = LatentPath(Morph(wide))
    path.move_to(1.0)
    run(path, 1.0)
    np.testing.assert_array_equal(path.latent, wide[1].latent)
    with pytest.raises(UsageError, match="32 numbers, but a latent of its model has 48"):
        Morph([wide[0], VOCALS])
