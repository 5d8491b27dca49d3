from __future__ import annotations

import numpy as np
import pytest

from qsep_live.evaluation.sdr import framewise_sdr, median, sdr, track_scores

RATE = 2000


def pair(seconds: float = 4.6, sources: int = 3, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    shape = (sources, round(seconds * RATE), channels)
    references = random.standard_normal(shape).astype(np.float32)
    leak = np.einsum("ij,jtc->itc", random.uniform(-0.3, 0.3, (sources, sources)), references)
    return references, (references + leak + 0.1 * random.standard_normal(shape)).astype(np.float32)


def test_frames_are_those_of_museval() -> None:
    museval = pytest.importorskip("museval", reason="museval is not installed: pip install 'qsep-live[evaluate]'")
    references, estimates = pair()
    references[1, RATE : 2 * RATE] = 0.0
    estimates[2, 3 * RATE : 4 * RATE] = 0.0
    theirs = museval.evaluate(references.astype(np.float64), estimates.astype(np.float64), win=RATE, hop=RATE)[0]
    ours = framewise_sdr(references, estimates, RATE)
    assert ours.shape == theirs.shape == (3, 4)
    assert np.isnan(theirs[:, [1, 3]]).all()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_sound_shorter_than_a_window_is_one_window() -> None:
    museval = pytest.importorskip("museval", reason="museval is not installed: pip install 'qsep-live[evaluate]'")
    references, estimates = pair(0.7, 1, 2)
    theirs = museval.evaluate(references.astype(np.float64), estimates.astype(np.float64), win=RATE, hop=RATE)[0]
    np.testing.assert_allclose(framewise_sdr(references, estimates, RATE), theirs, atol=1e-6)


def test_shapes_must_agree() -> None:
    references, estimates = pair()
    with pytest.raises(ValueError, match="alike"):
        framewise_sdr(references, estimates[:2], RATE)


def test_sdr_of_a_tenth_too_soft_is_twenty_decibels() -> None:
    reference = pair()[0][0]
    assert sdr(reference, np.float32(0.9) * reference) == pytest.approx(20.0, abs=1e-3)
    assert np.isnan(sdr(np.zeros_like(reference), reference))


def test_a_silent_stem_and_a_missing_estimate_have_no_score() -> None:
    references, estimates = pair()
    stems = {"a": references[0], "b": references[1], "silent": np.zeros_like(references[2]), "none": references[2]}
    found = {"a": estimates[0], "b": estimates[1], "silent": estimates[2]}
    scores = track_scores(stems, found, RATE)
    frames = framewise_sdr(references[:2], estimates[:2], RATE)
    assert scores["a"] == pytest.approx(np.median(frames[0]))
    assert scores["b"] == pytest.approx(np.median(frames[1]))
    assert np.isnan(scores["silent"])
    assert np.isnan(scores["none"])
    assert track_scores(stems, found, RATE, "sdr")["a"] == pytest.approx(sdr(references[0], estimates[0]))


def test_the_median_leaves_nan_out() -> None:
    assert median([1.0, float("nan"), 5.0, 2.0]) == 2.0
    assert np.isnan(median([float("nan")]))
