from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.engine.mix import MODES, Mixer, Mode, coefficients

HALF = -6.020599913279624


@pytest.mark.parametrize(
    ("mode", "wet", "gain", "target", "dry"),
    [
        ("isolate", 1.0, 0.0, 1.0, 0.0),
        ("isolate", 0.0, 0.0, 0.0, 1.0),
        ("isolate", 0.5, 0.0, 0.5, 0.5),
        ("isolate", 1.0, HALF, 0.5, 0.0),
        ("isolate", 0.0, HALF, 0.0, 0.5),
        ("remove", 1.0, 0.0, -1.0, 1.0),
        ("remove", 0.0, 0.0, 0.0, 1.0),
        ("remove", 1.0, HALF, -0.5, 0.5),
        ("balance", 1.0, 0.0, 0.0, 1.0),
        ("balance", 1.0, HALF, -0.5, 1.0),
        ("balance", 1.0, -HALF, 1.0, 1.0),
        ("balance", 0.5, HALF, -0.25, 1.0),
    ],
)
def test_coefficients(mode: Mode, wet: float, gain: float, target: float, dry: float) -> None:
    assert coefficients(mode, wet, gain) == pytest.approx((target, dry), abs=1e-9)


@given(st.sampled_from(MODES), st.floats(-60, 12))
def test_wet_zero_never_lets_the_target_through_alone(mode: Mode, gain: float) -> None:
    target, dry = coefficients(mode, 0.0, gain)
    assert target == 0.0
    assert dry == pytest.approx(1.0 if mode == "balance" else 10 ** (gain / 20))


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(-60, 12))
def test_isolate_and_remove_are_complements(wet: float, gain: float) -> None:
    one, other = coefficients("isolate", 1.0, gain), coefficients("remove", 1.0, gain)
    amplitude = 10 ** (gain / 20)
    assert (one[0] + other[0], one[1] + other[1]) == pytest.approx((0.0, amplitude))


def sounds() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return tuple(random.standard_normal((100, 2)).astype(np.float32) for _ in range(2))


def test_the_first_block_does_not_glide() -> None:
    target, dry = sounds()
    np.testing.assert_array_equal(Mixer().mix(target, dry, "isolate", 1.0, 0.0), target)
    np.testing.assert_array_equal(Mixer().mix(target, dry, "isolate", 0.0, 0.0), dry)
    np.testing.assert_allclose(Mixer().mix(target, dry, "remove", 1.0, 0.0), dry - target, atol=1e-6)


def test_a_change_glides_over_one_block_and_then_stands() -> None:
    ones, zeros = np.ones((100, 2), np.float32), np.zeros((100, 2), np.float32)
    mixer = Mixer()
    mixer.mix(ones, zeros, "isolate", 1.0, 0.0)
    glide = mixer.mix(ones, zeros, "isolate", 0.0, 0.0)
    np.testing.assert_allclose(glide[:, 0], 1.0 - np.arange(1, 101) / 100, atol=1e-6)
    np.testing.assert_array_equal(glide[:, 0], glide[:, 1])
    np.testing.assert_array_equal(mixer.mix(ones, zeros, "isolate", 0.0, 0.0), zeros)


def test_an_empty_block_does_not_swallow_the_glide() -> None:
    ones, zeros = np.ones((100, 1), np.float32), np.zeros((100, 1), np.float32)
    mixer = Mixer()
    mixer.mix(ones, zeros, "isolate", 1.0, 0.0)
    assert mixer.mix(ones[:0], zeros[:0], "isolate", 0.0, 0.0).shape == (0, 1)
    assert mixer.mix(ones, zeros, "isolate", 0.0, 0.0)[0, 0] == pytest.approx(0.99)
