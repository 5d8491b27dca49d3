"""Queries to weights of stems, by a small separator that really separates: left and right, sum and difference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from qsep_live.errors import QsepError
from qsep_live.latent.stem_query import query_weights
from qsep_live.models.spec import SeparatorSpec

Array = NDArray[np.float32]


class Sides:
    """What both channels share, and what they do not."""

    spec = SeparatorSpec("sides", "0" * 16, 8000, 2, "stems", 2, (1000, 500), 100, stems=("middle", "side"))

    def __init__(self) -> None:
        self.windows: list[int] = []
        self.ready = 0

    def warm_up(self, window: int) -> None:
        self.ready = window

    def __call__(self, window: Array) -> Array:
        self.windows.append(window.shape[1])
        middle = np.broadcast_to(window.mean(axis=0), window.shape)
        return np.stack([middle, window - middle]).astype(np.float32)


def sound(middle: float, side: float, samples: int = 2345) -> Array:
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, samples))
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    return np.stack([middle * one + side * other, middle * one - side * other]).astype(np.float32)


def test_weights_are_square_roots_of_shares_of_the_energy() -> None:
    separator = Sides()
    np.testing.assert_allclose(query_weights(separator, [sound(2.0, 1.0)]), np.sqrt([0.8, 0.2]), atol=1e-3)
    assert separator.windows == [1000, 1000, 1000]
    assert separator.ready == 1000


def test_energies_of_several_queries_add_up() -> None:
    weights = query_weights(Sides(), [sound(1.0, 0.0), sound(0.0, 1.0, 300)])
    np.testing.assert_allclose(weights, np.sqrt([0.5, 0.5]), atol=1e-3)


def test_what_a_model_adds_after_the_end_of_the_sound_does_not_count() -> None:
    class Ringing(Sides):
        def __call__(self, window: Array) -> Array:
            stems = super().__call__(window)
            stems[1, :, 300:] += 9.0
            return stems

    np.testing.assert_allclose(query_weights(Ringing(), [sound(1.0, 0.0, 300)]), [1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (np.zeros((2, 0), np.float32), "the query is empty"),
        (np.zeros((2, 5000), np.float32), "the query is silent"),
        (np.full((2, 5000), np.nan, np.float32), "the query holds NaN"),
    ],
)
def test_what_is_no_query(query: Array, says: str) -> None:
    with pytest.raises(QsepError, match=says):
        query_weights(Sides(), [query])


def test_no_query_and_the_number_of_a_bad_one() -> None:
    with pytest.raises(QsepError, match="at least one"):
        query_weights(Sides(), [])
    with pytest.raises(QsepError, match="query 2 of 2 is silent"):
        query_weights(Sides(), [sound(1.0, 1.0), np.zeros((2, 50), np.float32)])
    with pytest.raises(ValueError, match="shape"):
        query_weights(Sides(), [sound(1.0, 1.0)[0]])


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda stems: stems * np.nan, "gave no stems"),
        (lambda stems: stems[:, :, 1:], "gave no stems"),
        (lambda stems: stems * 0.0, "gives silence"),
    ],
)
def test_a_separator_that_gives_no_stems(give: object, says: str) -> None:
    class Bad(Sides):
        spec = dataclasses.replace(Sides.spec, name="bad")

        def __call__(self, window: Array) -> Array:
            return give(super().__call__(window))  # type: ignore[operator, no-any-return]

    with pytest.raises(QsepError, match=f"bad {says}"):
        query_weights(Bad(), [sound(1.0, 1.0)])
