"""What every separator of stems keeps to. Its own test calls `check_separator` with an object of it."""

from __future__ import annotations

import numpy as np
import pytest

from qsep_live.errors import QsepError
from qsep_live.models.spec import SeparatorSpec, StemSeparator


def check_separator(separator: StemSeparator, silence: float = 1e-4) -> None:
    """Assert that ``separator`` keeps to `models.spec`; silence may become sound of ``silence`` at most."""
    spec = separator.spec
    assert isinstance(spec, SeparatorSpec)
    assert spec.carrier == "stems"
    assert 0 <= spec.edge < min(spec.windows)
    for window in spec.windows:
        separator.warm_up(window)
        _check_window(separator, window, silence)
    _check_wrong_shapes(separator)


def _check_window(separator: StemSeparator, window: int, silence: float) -> None:
    spec = separator.spec
    sound = noise(spec.channels, window, 1)
    given = sound.copy()
    stems = separator(given)
    assert stems.shape == (len(spec.stems), spec.channels, window)
    assert stems.dtype == np.float32
    assert np.isfinite(stems).all()
    np.testing.assert_array_equal(given, sound, err_msg="it writes into the window that it is given")
    first = stems.copy()
    other = separator(noise(spec.channels, window, 2))
    assert not np.array_equal(other, first), "another window gives the same stems"
    np.testing.assert_array_equal(stems, first, err_msg="the next window is written over the stems of the last")
    np.testing.assert_array_equal(separator(sound), first, err_msg="the same window gives other stems")
    quiet = separator(np.zeros((spec.channels, window), np.float32))
    assert np.isfinite(quiet).all()
    assert np.abs(quiet).max() <= silence, "silence becomes sound"


def _check_wrong_shapes(separator: StemSeparator) -> None:
    spec, window = separator.spec, separator.spec.windows[0]
    for shape in ((spec.channels + 1, window), (spec.channels, window + 1), (window,)):
        with pytest.raises((QsepError, ValueError)) as told:
            separator(np.zeros(shape, np.float32))
        assert str(told.value)
        assert "\n" not in str(told.value)


def noise(channels: int, samples: int, seed: int) -> np.ndarray:
    """Quiet noise, (channels, samples) float32."""
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)
