"""Slerp: the paper's equation, and every corner where it has no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from qsep_live.latent.slerp import LATENT_SIZE, slerp

Vector = NDArray[np.float32]

any_vector = hnp.arrays(np.float32, LATENT_SIZE, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
tame_vector = hnp.arrays(np.float32, LATENT_SIZE, elements=st.floats(-4.0, 4.0, width=32))
share = st.floats(0.0, 1.0)


@st.composite
def unit_vectors(draw: st.DrawFn) -> Vector:
    seed = draw(st.integers(0, 2**32 - 1))
    vector = np.random.default_rng(seed).standard_normal(LATENT_SIZE)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def axis(index: int, length: float = 1.0) -> Vector:
    vector = np.zeros(LATENT_SIZE, np.float32)
    vector[index] = length
    return vector


def at_angle(degrees: float, length: float = 1.0) -> Vector:
    """A vector in the plane of axes 0 and 1, ``degrees`` from axis 0."""
    angle = math.radians(degrees)
    return (length * (math.cos(angle) * axis(0) + math.sin(angle) * axis(1))).astype(np.float32)


@given(any_vector, any_vector, st.floats(allow_nan=False))
def test_always_finite_float32_of_one_shape(a: Vector, b: Vector, alpha: float) -> None:
    mixed = slerp(a, b, alpha)
    assert mixed.dtype == np.float32
    assert mixed.shape == (LATENT_SIZE,)
    assert np.isfinite(mixed).all()


@given(any_vector, any_vector, st.floats(min_value=0.0, allow_nan=False))
def test_ends_are_exact_and_alpha_is_clamped(a: Vector, b: Vector, beyond: float) -> None:
    assert slerp(a, b, -beyond).tobytes() == a.tobytes()
    assert slerp(a, b, 1.0 + beyond).tobytes() == b.tobytes()


@given(tame_vector, tame_vector, share)
@example(axis(3), -axis(3), 0.25)
@example(axis(3), axis(3, -2.0), 0.25)
@example(axis(3), axis(3), 0.5)
@example(axis(3, 0.0), axis(4), 0.3)
@example(at_angle(0), at_angle(177, 3.0), 0.3)
def test_the_way_back_is_the_way_there(a: Vector, b: Vector, alpha: float) -> None:
    scale = max(1.0, float(np.abs(a).max()), float(np.abs(b).max()))
    np.testing.assert_allclose(slerp(a, b, alpha), slerp(b, a, 1.0 - alpha), atol=1e-4 * scale)


@given(unit_vectors(), unit_vectors(), share)
def test_unit_vectors_stay_on_the_sphere_and_the_angle_grows_evenly(a: Vector, b: Vector, alpha: float) -> None:
    mixed = slerp(a, b, alpha).astype(np.float64)
    assert np.linalg.norm(mixed) == pytest.approx(1.0, abs=1e-5)
    whole = math.acos(np.clip(np.dot(a.astype(np.float64), b), -1, 1))
    part = math.acos(np.clip(np.dot(a.astype(np.float64), mixed), -1, 1))
    assert part == pytest.approx(alpha * whole, abs=2e-3)


@given(unit_vectors(), unit_vectors(), st.floats(0.1, 5.0), st.floats(0.1, 5.0), st.floats(0.01, 0.99))
def test_is_equation_4_3_as_printed(a: Vector, b: Vector, long: float, longer: float, alpha: float) -> None:
    a, b = (long * a).astype(np.float32), (longer * b).astype(np.float32)
    cosine = np.dot(a.astype(np.float64), b) / (np.linalg.norm(a) * np.linalg.norm(b))
    assume(abs(cosine) < 0.98)
    theta = math.acos(cosine)
    expected = (math.sin((1 - alpha) * theta) * a + math.sin(alpha * theta) * b) / math.sin(theta)
    np.testing.assert_allclose(slerp(a, b, alpha), expected, rtol=1e-4, atol=1e-5)


@given(unit_vectors(), st.floats(0.1, 5.0), share)
def test_opposite_vectors_turn_through_half_a_circle(a: Vector, length: float, alpha: float) -> None:
    mixed = slerp(a, (-length * a).astype(np.float32), alpha).astype(np.float64)
    assert np.linalg.norm(mixed) == pytest.approx(1 - alpha + alpha * length, rel=1e-4)
    cosine = np.dot(mixed, a.astype(np.float64)) / np.linalg.norm(mixed)
    assert cosine == pytest.approx(math.cos(alpha * math.pi), abs=1e-4)


def test_opposite_vectors_take_the_same_circle_every_time() -> None:
    np.testing.assert_allclose(slerp(axis(0), -axis(0), 0.5), axis(1), atol=1e-7)
    np.testing.assert_allclose(slerp(-axis(0), axis(0), 0.5), axis(1), atol=1e-7)
    np.testing.assert_allclose(slerp(axis(1), -axis(1), 0.5), axis(0), atol=1e-7)


@given(tame_vector, share)
def test_zero_falls_back_to_a_straight_line(a: Vector, alpha: float) -> None:
    np.testing.assert_allclose(slerp(a, np.zeros_like(a), alpha), (1 - alpha) * a, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(slerp(np.zeros_like(a), a, alpha), alpha * a, rtol=1e-6, atol=1e-7)


@given(tame_vector, share)
def test_equal_vectors_give_themselves(a: Vector, alpha: float) -> None:
    np.testing.assert_allclose(slerp(a, a.copy(), alpha), a, rtol=1e-6)
    np.testing.assert_allclose(slerp(a, 3.0 * a, alpha), (1 + 2 * alpha) * a, rtol=1e-5, atol=1e-7)


@given(tame_vector, tame_vector, st.floats(0.0, 0.999))
@example(axis(0), axis(0, -3.0), 0.5)
@example(at_angle(0), at_angle(179.99, 3.0), 0.5)
@example(at_angle(0), at_angle(1e-4), 0.5)
def test_a_small_turn_of_the_knob_is_a_small_step(a: Vector, b: Vector, alpha: float) -> None:
    size = float(np.linalg.norm(a) + np.linalg.norm(b))
    step = np.linalg.norm(slerp(a, b, alpha + 1e-3) - slerp(a, b, alpha))
    # The worst slope is just outside the ten degrees: 1 / sin(10°) times pi.
    assert step <= 1e-3 * math.pi / math.sin(math.radians(10)) * size + 1e-5


@pytest.mark.parametrize("degrees", [1e-5, 1e-4, 90.0, 169.99, 175.0, 179.9, 179.9999])
def test_neighbouring_angles_give_neighbouring_results(degrees: float) -> None:
    nearer = slerp(at_angle(0), at_angle(degrees, 3.0), 0.4)
    farther = slerp(at_angle(0), at_angle(min(degrees * 1.0001, 180.0), 3.0), 0.4)
    assert np.linalg.norm(nearer - farther) < 0.05


def test_unequal_lengths_near_opposite_do_not_run_away() -> None:
    lengths = [
        float(np.linalg.norm(slerp(at_angle(0), at_angle(degrees, 2.0), alpha)))
        for degrees in np.linspace(170.0, 180.0, 101)
        for alpha in np.linspace(0.0, 1.0, 21)
    ]
    assert max(lengths) < 8.0


def test_inputs_are_not_touched_and_not_returned() -> None:
    a, b = axis(0), axis(1)
    for alpha in (0.0, 0.5, 1.0):
        mixed = slerp(a, b, alpha)
        assert not np.shares_memory(mixed, a)
        assert not np.shares_memory(mixed, b)
    np.testing.assert_array_equal(a, axis(0))
    np.testing.assert_array_equal(b, axis(1))


@pytest.mark.parametrize(
    ("a", "alpha"),
    [
        (np.zeros(31, np.float32), 0.5),
        (np.zeros((1, 32), np.float32), 0.5),
        (np.zeros(0, np.float32), 0.5),
        (np.full(32, np.nan, np.float32), 0.5),
        (np.full(32, np.inf, np.float32), 0.0),
        (np.zeros(32, np.float32), math.nan),
    ],
)
def test_refuses_what_is_no_latent(a: Vector, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"shape|NaN"):
        slerp(a, axis(0), alpha)


@given(st.integers(1, 70), st.integers(0, 2**32 - 1), share)
@example(1, 0, 0.5)
def test_any_size(size: int, seed: int, alpha: float) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, size)).astype(np.float32)
    mixed = slerp(a, b, alpha)
    assert mixed.shape == (size,)
    assert np.isfinite(mixed).all()
    # Numbers that are zero in both stay out of it, up to the order in which a length is summed.
    wide = slerp(np.pad(a, (0, 3)), np.pad(b, (0, 3)), alpha) if size > 1 else np.pad(mixed, (0, 3))
    np.testing.assert_allclose(wide[:size], mixed, rtol=1e-4, atol=1e-5)


def test_opposite_numbers_alone_go_straight() -> None:
    assert slerp(np.array([1], np.float32), np.array([-3], np.float32), 0.25).tolist() == [0.0]
