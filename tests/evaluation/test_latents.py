from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.errors import QsepError
from qsep_live.evaluation.latents import (
    class_means,
    cosine_distance,
    encoded_songs,
    mean_latents,
    preset_means,
    random_queries,
    song_latents,
)
from qsep_live.evaluation.network import Network
from qsep_live.evaluation.tracks import STEMS
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import save_preset


def rows(*values: float) -> np.ndarray:
    return np.stack([np.full(32, value, np.float32) for value in values])


BOOK = {"one": {"bass": rows(1, 3)}, "two": {"bass": rows(6)}, "three": {"bass": np.zeros((0, 32), np.float32)}}


def test_means_weigh_segments_and_leave_silence_out() -> None:
    assert mean_latents(BOOK)["bass"][0] == pytest.approx(10 / 3)
    assert {song: {name: z[0] for name, z in stems.items()} for song, stems in song_latents(BOOK).items()} == {
        "one": {"bass": 2.0}, "two": {"bass": 6.0}, "three": {},
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_a_random_query_is_a_segment_of_another_song(seed: int) -> None:
    queries = random_queries(BOOK, seed)
    assert queries["one"]["bass"][0] == 6.0
    assert queries["two"]["bass"][0] in (1.0, 3.0)
    assert queries["three"]["bass"][0] in (1.0, 3.0, 6.0)


def test_a_random_query_needs_another_song() -> None:
    with pytest.raises(QsepError, match="no song but 'one' has bass"):
        random_queries({"one": BOOK["one"]}, 0)


def test_songs_are_encoded_segment_by_segment(network: Network, songs: Any) -> None:
    book = encoded_songs(network, songs, ("bass", "drums"))
    assert set(book["one"]) == {"bass", "drums"}
    # A little over three seconds: a segment at the start, one that ends at the end.
    assert book["one"]["bass"].shape == (2, 32)
    assert network.segments(songs[0].stems["bass"], 22_050, most=1).shape == (1, 32)
    assert network.segments(0.0 * songs[0].mixture, 22_050).shape == (0, 32)
    assert network.latent(0.0 * songs[0].mixture, 22_050) is None
    np.testing.assert_allclose(
        network.latent(songs[0].stems["bass"], 22_050), book["one"]["bass"].mean(axis=0), atol=1e-6
    )
    assert network.segments(songs[0].mixture[:22_050], 22_050).shape == (1, 32)


def test_cosine_distance() -> None:
    a, b = np.eye(32, dtype=np.float32)[:2]
    assert cosine_distance(a, 3 * a) == pytest.approx(0.0)
    assert cosine_distance(a, b) == pytest.approx(1.0)
    assert cosine_distance(a, -a) == pytest.approx(2.0)


def test_presets_of_another_model_point_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hq: Path, network: Network
) -> None:
    monkeypatch.setenv("QSEP_LIVE_HOME", str(tmp_path))
    for name in STEMS:
        save_preset(Preset(name, rows(2)[0], "ab" * 16, name), tmp_path / "presets")
    assert preset_means("ab" * 16)["other"][0] == 2.0
    with pytest.raises(QsepError, match="--means train"):
        preset_means("cd" * 16)
    means = class_means(network, "cd" * 16, hq, "train")
    assert set(means) == set(STEMS)
    assert means["bass"].shape == (32,)
