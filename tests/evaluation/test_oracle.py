from __future__ import annotations

from typing import Any

import numpy as np

from qsep_live.evaluation.oracle import istft, oracle_estimates, stft
from qsep_live.evaluation.sdr import sdr
from qsep_live.evaluation.wiener import wiener_filtered


def test_the_inverse_gives_the_sound_back(songs: Any) -> None:
    mixture = songs[0].mixture[:12_345]
    np.testing.assert_allclose(istft(stft(mixture), len(mixture)), mixture, atol=1e-5)


def test_the_oracle_beats_the_mixture_and_adds_up(songs: Any) -> None:
    track = songs[0]
    estimates = oracle_estimates(track.mixture, track.stems)
    for name, stem in track.stems.items():
        assert sdr(stem, estimates[name]) > sdr(stem, track.mixture) + 10.0
    np.testing.assert_allclose(np.sum(list(estimates.values()), axis=0), track.mixture, atol=1e-4)


def test_a_silent_stem_gets_nothing(songs: Any) -> None:
    track = songs[0]
    stems = {**track.stems, "vocals": np.zeros_like(track.mixture)}
    assert np.abs(oracle_estimates(track.mixture - track.stems["vocals"], stems)["vocals"]).max() < 1e-6


def test_the_wiener_filter_tells_sources_by_their_place(songs: Any) -> None:
    # Two noises in the same band, one left and one right: their magnitudes are known badly, their places differ.
    random = np.random.default_rng(0)
    noises = random.standard_normal((2, 3 * 44_100)).astype(np.float32)
    stems = {
        "left": np.stack([noises[0], 0.1 * noises[0]], axis=1),
        "right": np.stack([0.1 * noises[1], noises[1]], axis=1),
    }
    mixture = stems["left"] + stems["right"]
    estimates = {name: np.float32(0.7) * stem + np.float32(0.3) * mixture for name, stem in stems.items()}
    filtered = wiener_filtered(mixture, estimates)
    for name, stem in stems.items():
        assert sdr(stem, filtered[name]) > sdr(stem, estimates[name]) + 3.0
    np.testing.assert_allclose(filtered["left"] + filtered["right"], mixture, atol=1e-2)
