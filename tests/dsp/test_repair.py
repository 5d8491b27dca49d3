from __future__ import annotations

import warnings

import numpy as np
import pytest

from qsep_live.dsp.repair import LOUDEST, repair


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -2e6])
@pytest.mark.parametrize("shape", [(1, 1), (64, 2), (301, 8)])
def test_a_bad_sample_becomes_zero_alone(bad: float, shape: tuple[int, int]) -> None:
    block = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = block.copy()
    expected[shape[0] // 2, -1] = 0.0
    block[shape[0] // 2, -1] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repaired, count = repair(block)
    assert count == 1
    np.testing.assert_array_equal(repaired, expected)
    assert not np.array_equal(block, expected), "the caller's block is not written to"


def test_opposite_infinities_do_not_hide_each_other() -> None:
    block = np.array([[np.inf, -np.inf], [1.0, -1.0]], np.float32)
    repaired, count = repair(block)
    assert count == 2
    np.testing.assert_array_equal(repaired, [[0, 0], [1, -1]])


def test_sound_is_not_touched_or_copied() -> None:
    block = np.random.default_rng(1).standard_normal((512, 2)).astype(np.float32)
    assert repair(block)[0] is block
    loud = np.full((512, 2), LOUDEST, np.float32)
    repaired, count = repair(loud)
    assert count == 0
    np.testing.assert_array_equal(repaired, loud)
    assert repair(np.zeros((0, 2), np.float32))[1] == 0


def test_columns_of_a_wider_array_are_seen() -> None:
    wide = np.ones((16, 8), np.float32)
    wide[3, 5] = np.nan
    assert repair(wide[:, :4])[1] == 0
    assert repair(wide[:, 4:])[1] == 1
    assert repair(wide.T)[1] == 1
