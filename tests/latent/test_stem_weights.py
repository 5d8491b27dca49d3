"""Weights of stems: on the sphere, never negative, and what is heard of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.latent.slerp import slerp
from qsep_live.latent.stem_weights import axis, gains, normalised, projected, shares_in_words, weights_of_energy

STEMS = ("drums", "bass", "other", "vocals")

share = st.floats(0.0, 1.0)
weights = st.lists(st.floats(0.0, 1e6), min_size=4, max_size=4).filter(lambda each: max(each) > 1e-6).map(normalised)


def length(vector: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(vector.astype(np.float64)))


def test_an_axis_is_one_stem_alone() -> None:
    assert axis("bass", STEMS).tolist() == [0.0, 1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="guitar"):
        axis("guitar", STEMS)


@given(st.sampled_from(STEMS), st.sampled_from(STEMS), share)
def test_between_two_stems_lies_a_quarter_circle(one: str, other: str, alpha: float) -> None:
    mixed = slerp(axis(one, STEMS), axis(other, STEMS), alpha)
    assert length(mixed) == pytest.approx(1.0, abs=1e-6)
    assert (mixed >= 0.0).all()
    if one != other:
        assert mixed[STEMS.index(one)] == pytest.approx(math.cos(alpha * math.pi / 2), abs=1e-6)
        assert mixed[STEMS.index(other)] == pytest.approx(math.sin(alpha * math.pi / 2), abs=1e-6)


@given(weights, weights, share)
def test_slerp_of_any_two_stays_on_the_sphere_and_above_zero(
    a: NDArray[np.float32], b: NDArray[np.float32], alpha: float
) -> None:
    mixed = slerp(a, b, alpha)
    assert length(mixed) == pytest.approx(1.0, abs=1e-6)
    assert (mixed >= 0.0).all()


@given(weights)
def test_the_loudest_stem_is_at_full_level(point: NDArray[np.float32]) -> None:
    heard = gains(point)
    assert heard.dtype == np.float32
    assert heard.max() == 1.0
    assert (heard >= 0.0).all()
    np.testing.assert_allclose(heard * point.max(), point, rtol=1e-6)


def test_two_stems_in_equal_parts_are_both_at_full_level() -> None:
    assert gains(slerp(axis("drums", STEMS), axis("vocals", STEMS), 0.5)).tolist() == [1.0, 0.0, 0.0, 1.0]
    rows = np.stack([axis("bass", STEMS), normalised([1, 0, 2, 0])])
    assert gains(rows).tolist() == [[0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 1.0, 0.0]]


@given(st.lists(st.floats(0.0, 1e12), min_size=1, max_size=6).filter(lambda each: max(each) > 1e-9))
def test_squares_are_shares_of_the_energy(energies: list[float]) -> None:
    made = weights_of_energy(energies)
    np.testing.assert_allclose(made.astype(np.float64) ** 2, np.array(energies) / sum(energies), atol=1e-6)


@pytest.mark.parametrize("energies", [[0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_what_is_no_energy(energies: list[float]) -> None:
    with pytest.raises(ValueError, match="energies"):
        weights_of_energy(energies)


@given(weights)
def test_any_order_of_the_stems_holds_the_same_weights(point: NDArray[np.float32]) -> None:
    order = ("vocals", "guitar", "other", "bass", "drums")
    there = projected(point, STEMS, order)
    assert there[order.index("guitar")] == 0.0
    assert {name: there[order.index(name)] for name in STEMS} == dict(zip(STEMS, point, strict=True))
    assert length(there) == pytest.approx(length(point), abs=1e-7)


def test_a_stem_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="vocals"):
        projected(axis("drums", STEMS), STEMS, STEMS[:3])


def test_in_words() -> None:
    assert shares_in_words(weights_of_energy([1.0, 3.0, 0.0, 0.0]), STEMS) == "bass 75 %, drums 25 %"
