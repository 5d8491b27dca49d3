from __future__ import annotations

import numpy as np
import pytest

from qsep_live.dsp.grid import BINS, MODEL_RATE
from qsep_live.engine.foresight import EDGES, FEATURES, SEEN, UNSEEN
from qsep_live.errors import QsepError
from qsep_live.evaluation.foresight_fit import Pieces, Sums, fit_foresight, solved, sums_of
from qsep_live.evaluation.network import NetworkSpec

from .conftest import Songs, song

BANDS = len(EDGES) - 1


def gain_of(sums: Sums, table: np.ndarray) -> float:
    """By how much the squared error of gains falls with a table's coefficients."""
    here = table[..., 0] + table[..., 1:] @ sums.latent
    chosen = here.swapaxes(2, 3)
    square = np.einsum("subk,subkl,subl->", chosen, sums.squares, chosen)
    return float(2 * np.sum(chosen * sums.missed) - square)


def test_what_is_linear_in_features_and_latent_is_found() -> None:
    random = np.random.default_rng(0)
    true = 0.1 * random.standard_normal((len(SEEN), len(UNSEEN), FEATURES, BANDS, 33))
    pieces = []
    for _ in range(120):
        latent = (1.5 * random.standard_normal(32) + 0.3).astype(np.float32)
        here = (true[..., 0] + true[..., 1:] @ latent).swapaxes(2, 3)
        terms = random.standard_normal((len(SEEN), len(UNSEEN), BANDS, FEATURES, 40))
        squares = terms @ terms.swapaxes(-1, -2)
        pieces.append(Sums(latent, squares.astype(np.float32), (squares @ here[..., None])[..., 0].astype(np.float32)))
    found = solved(pieces)
    assert found.shape == true.shape
    assert np.corrcoef(found.ravel(), true.ravel())[0, 1] > 0.99


def test_too_little_music_is_said() -> None:
    with pytest.raises(QsepError, match="2 pieces of music with sound in them are too few"):
        solved([Sums(np.zeros(32, np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32))] * 2)


def test_a_fit_comes_nearer_to_what_the_network_says_later(small: NetworkSpec, means: dict[str, np.ndarray]) -> None:
    songs = Songs(tuple(song(title, seed) for seed, title in enumerate(("one", "two", "three"))))
    work = Pieces(means, 3, seed=5)
    table, count = fit_foresight(work, small, songs)
    assert count == 9
    assert np.isfinite(table).all()
    network = small.open()
    fitted = [sums for track in songs.tracks for sums in work(network, track)]
    assert sum(gain_of(sums, table) for sums in fitted) > 0
    again, _ = fit_foresight(work, small, songs)
    np.testing.assert_array_equal(table, again)


def test_silence_and_the_end_of_a_song_teach_nothing(small: NetworkSpec) -> None:
    network, latent = small.open(), np.zeros(32, np.float32)
    assert sums_of(network, np.zeros((2 * MODEL_RATE, 2), np.float32), 0, latent) is None
    sound = song("one", 0, 1.0).mixture
    assert sums_of(network, sound, len(sound) - 4000, latent) is None
    found = sums_of(network, sound, 100, latent)
    assert found is not None
    assert found.squares.shape == (len(SEEN), len(UNSEEN), BANDS, FEATURES, FEATURES)
    # Sums of squares, whatever the features.
    assert np.linalg.eigvalsh(found.squares.astype(np.float64)).min() > -1e-3 * found.squares.max()
    assert found.squares.size > BINS
