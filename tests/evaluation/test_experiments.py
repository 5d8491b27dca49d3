"""Every experiment on small songs: its numbers against what they are by definition, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from qsep_live.errors import UsageError
from qsep_live.evaluation.closeness import closeness_report
from qsep_live.evaluation.fine import fine_means, fine_report
from qsep_live.evaluation.iterative import iterative_report
from qsep_live.evaluation.latents import cosine_distance, encoded_songs, mean_latents, song_latents
from qsep_live.evaluation.lookahead import CENTRED, lookahead_report, looked_ahead
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.plots import rank_correlation
from qsep_live.evaluation.rendering import rendered
from qsep_live.evaluation.report import Report
from qsep_live.evaluation.scores import Conditions, by_song, measured
from qsep_live.evaluation.sdr import median, track_scores
from qsep_live.evaluation.slerping import slerp_report
from qsep_live.evaluation.tracks import STEMS, SlakhTracks
from qsep_live.evaluation.tsne import tsne_report
from qsep_live.evaluation.zeroshot import QUERY, ZeroShotMixtures, zeroshot_report

RATE = 22_050


def written(report: Report, folder: Path) -> None:
    """All three files are there and the picture is one."""
    report.write(folder)
    assert (folder / f"{report.name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (folder / f"{report.name}.md").read_text().startswith(f"# {report.table.title}\n")
    assert len((folder / f"{report.name}.csv").read_text().splitlines()) == 1 + len(report.table.rows)


def test_iterative(small: NetworkSpec, network: Network, one: Any, means: Any, tmp_path: Path) -> None:
    truths = song_latents(encoded_songs(network, one))
    conditions = Conditions(means, truths)
    report = iterative_report(small, one, conditions)
    scores = measured(Conditions(means, sources=("mean", "iterative")), small, one)
    once, twice = by_song(scores, "mean, offline"), by_song(scores, "mean, iterative, offline")
    rows = {tuple(row[:2]): row[2:] for row in report.details["gains"].rows}
    assert rows.keys() == once.keys()
    for (song, stem), (distance, gain) in rows.items():
        assert distance == pytest.approx(cosine_distance(truths[song][stem], means[stem]))
        assert gain == pytest.approx(twice[song, stem] - once[song, stem])
    assert sum("rank correlation of gain and distance" in note for note in report.table.notes) == 4
    written(report, tmp_path)


def test_closeness(small: NetworkSpec, network: Network, songs: Any, tmp_path: Path) -> None:
    training = encoded_songs(network, songs)
    report = closeness_report(small, songs, training, "bass")
    mean, own = mean_latents(training)["bass"], song_latents(training)
    for track, nearest, cd_mean, cd_nearest, closer, sdr_mean, sdr_nearest, better in report.table.rows:
        # Each song is its own nearest one here.
        assert nearest == track
        assert cd_nearest == pytest.approx(0.0, abs=1e-6)
        assert cd_mean == pytest.approx(cosine_distance(mean, own[str(track)]["bass"]), abs=1e-6)
        assert closer == pytest.approx(float(cd_mean) - float(cd_nearest))
        assert better == pytest.approx(float(sdr_nearest) - float(sdr_mean))
    first = songs[0]
    sound = rendered(first.mixture, RATE, network.separate, mean, [None])[None]
    (row,) = [row for row in report.table.rows if row[0] == "one"]
    assert row[5] == pytest.approx(track_scores({"bass": first.stems["bass"]}, {"bass": sound}, RATE)["bass"])
    written(report, tmp_path)


def test_rank_correlation() -> None:
    assert rank_correlation([1.0, 2.0, 5.0], [0.1, 0.2, 0.3]) == pytest.approx(1.0)
    assert rank_correlation([1.0, 2.0, 5.0], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation([1.0, 2.0], [3.0, 2.0]))


def test_fine_against_coarse(small: NetworkSpec, network: Network, songs: Any, slakh: Any, tmp_path: Path) -> None:
    stems = songs[0].stems
    kinds = [
        ("Piano", "Clavinet", False, stems["vocals"]), ("Piano", "Harpsichord", False, stems["other"]),
        ("Drums", "Drums", True, stems["drums"]),
    ]  # fmt: skip
    slakh("train", 1, kinds)
    root = slakh("test", 2, [kinds[0], kinds[2]])
    training, tracks = SlakhTracks(root, "train"), SlakhTracks(root, "test")
    means = fine_means(network, training)
    assert set(means.fine) == {("Piano", "Clavinet"), ("Piano", "Harpsichord"), ("Drums", "Drums")}
    both = (means.fine["Piano", "Clavinet"] + means.fine["Piano", "Harpsichord"]) / 2
    np.testing.assert_allclose(means.coarse["Piano"], both, atol=1e-6)
    report = fine_report(small, tracks, means, training.label)
    ((name, stems_counted, coarse, fine, delta, thesis),) = report.table.rows
    assert (name, stems_counted, thesis) == ("Piano", 1, 0.04)
    assert delta == pytest.approx(float(fine) - float(coarse))
    track = tracks[0]
    sound = rendered(track.mixture, RATE, network.separate, means.fine["Piano", "Clavinet"], [None])[None]
    reference = track.stems["Piano"]
    assert fine == pytest.approx(track_scores({"x": reference}, {"x": sound}, RATE)["x"])
    written(report, tmp_path)
    with pytest.raises(UsageError, match="nothing to compare"):
        fine_report(small, tracks, fine_means(network, tracks), tracks.label)


def test_tsne_sees_clusters_where_there_are_some(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    centres = {name: 10 * random.standard_normal(32) for name in STEMS}
    book = {
        f"song {number}": {name: (centre + random.standard_normal((4, 32))).astype(np.float32)
                           for name, centre in centres.items()}
        for number in range(4)
    }  # fmt: skip
    report = tsne_report(book, "four songs")
    assert [row[0] for row in report.table.rows] == [*sorted(STEMS), "all"]
    assert report.table.rows[-1][1:3] == (64, 100.0)
    assert float(report.table.rows[-1][3]) > 0.8
    assert "by chance 25 %" in report.table.notes[0]
    written(report, tmp_path)
    shuffled = {song: dict(zip(stems, random.permutation(list(stems.values())), strict=True))
                for song, stems in book.items()}  # fmt: skip
    assert float(tsne_report(shuffled, "x").table.rows[-1][2]) < 70.0
    with pytest.raises(UsageError, match="too few"):
        tsne_report({"song 0": book["song 0"]}, "one song")


def test_slerp(small: NetworkSpec, network: Network, one: Any, means: Any, tmp_path: Path) -> None:
    report = slerp_report(small, one, means, pairs=(("vocals", "drums"),))
    rows = {str(row[1]): row for row in report.table.rows}
    assert set(rows) == set(STEMS)
    assert tuple(report.table.columns[2:]) == (*(f"α {n / 10:.1f}" for n in range(11)), "monotone")
    energies = []
    for track in one.tracks:
        # Each stem has a register of its own, so what is heard of it is what is heard there.
        heard = rendered(track.mixture, RATE, network.separate, means["vocals"], [None])[None]
        energies.append(10 * np.log10(_band(heard, 1000, 1500) / _band(track.stems["vocals"], 1000, 1500)))
    assert rows["vocals"][2] == pytest.approx(median(energies), abs=0.5)
    curve = np.array(rows["vocals"][2:13], float)
    falls = int(np.count_nonzero(np.diff(curve) <= 0))
    assert rows["vocals"][13] == ("yes" if falls == 10 else f"{falls} of 10 steps")
    assert rows["bass"][13] == "–"
    assert any(note.startswith("vocals → drums: drums rises at every step in ") for note in report.table.notes)
    written(report, tmp_path)


def _band(audio: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(audio.mean(axis=1))) ** 2
    hertz = np.fft.rfftfreq(len(audio), 1 / RATE)
    return float(power[(hertz > low) & (hertz < high)].sum())


class _Hears:
    """A network whose mask is open while the newest frame sounds."""

    channels = 1

    def __call__(self, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.full_like(magnitude[0], float(magnitude[0, :, -1].max() > 1e-3))


def test_look_ahead_is_what_the_network_has_heard() -> None:
    """Noise that ends: the mask closes as soon as the newest frame is silent, 46 ms after the end."""
    random, end, period = np.random.default_rng(0), 1.0, 0.0464
    mixture = 0.1 * random.standard_normal((round(1.5 * RATE), 2)).astype(np.float32)
    mixture[round(end * RATE) :] = 0.0

    # The model's frames are 11.6 ms apart, the newest ends up to that before the newest sample.
    aheads = (0.093, 0.186, 0.372)
    for ahead, sound in looked_ahead(mixture, RATE, _Hears(), np.zeros(32, np.float32), aheads, period).items():
        assert sound.shape == mixture.shape
        closed = np.flatnonzero(np.abs(sound).max(axis=1) > 0.03)[-1] / RATE
        assert closed == pytest.approx(end + 0.0464 - ahead, abs=0.012 + period / 2)


def test_look_ahead_table(small: NetworkSpec, network: Network, one: Any, means: Any, tmp_path: Path) -> None:
    report = lookahead_report(small, one, means, period=0.5, aheads=(0.0, 0.372))
    rows = {row[0]: row[1:] for row in report.table.rows}
    assert list(rows) == ["the mixture itself", "0 ms", "372 ms", CENTRED]
    centred = by_song(measured(Conditions(means), small, one), "mean, offline")
    assert rows[CENTRED][0] == pytest.approx(centred["one", "vocals"])
    assert rows["0 ms"] != rows["372 ms"]
    written(report, tmp_path)
    short = lookahead_report(small, one, means, period=0.5, aheads=(0.0, 0.372), window=64)
    less = {row[0]: row[1:] for row in short.table.rows}
    assert less[CENTRED] == rows[CENTRED]
    assert less["0 ms"] != rows["0 ms"]
    assert "a window of 64 frames every 500 ms" in short.table.notes[0]


def sounds(root: Path, names: dict[str, float], files: int = 4) -> Path:
    for name, hertz in names.items():
        (root / name).mkdir(parents=True)
        for number in range(files):
            time = np.arange(round(0.8 * 22_050)) / 22_050
            tone = 0.2 * np.sin(2 * np.pi * hertz * (1 + 0.05 * number) * time)
            soundfile.write(root / name / f"{number}.wav", tone, 22_050)
    return root


def test_zero_shot(small: NetworkSpec, tmp_path: Path) -> None:
    mixtures = ZeroShotMixtures(
        sounds(tmp_path / "s", {"drums/Hi Hat": 6000.0, "drums/kick": 80.0, "BASS/slap": 200.0}), 2
    )
    assert mixtures.cases() == ["hi-hat", "kick"]
    track, again = mixtures[0], mixtures[0]
    np.testing.assert_array_equal(track.mixture, again.mixture)
    assert not np.array_equal(track.mixture, mixtures[1].mixture)
    assert set(track.stems) == {"hi-hat", "kick", "bass", QUERY}
    np.testing.assert_allclose(
        track.mixture, track.stems["hi-hat"] + track.stems["kick"] + track.stems["bass"], atol=1e-6
    )
    heard = {name: set(_peaks(track.stems[name])) for name in ("hi-hat", QUERY)}
    assert not heard["hi-hat"] & heard[QUERY], "the query shares a sound with the mixture"
    kick = np.ones(32, np.float32)
    report = zeroshot_report(small, mixtures, {"kick": kick})
    (target, out_of, count, mixture, query, gain, _, preset, oracle), (*_, by_name, _) = report.table.rows
    assert np.isnan(float(preset))
    assert np.isfinite(float(by_name))
    assert (target, out_of, count) == ("hi-hat", "hi-hat + kick + bass", 2)
    assert mixture == pytest.approx(-3.0, abs=0.3)
    assert float(oracle) > float(mixture) + 10.0
    assert np.isfinite([float(query), float(gain)]).all()
    written(report, tmp_path / "out")


def _peaks(audio: np.ndarray) -> list[int]:
    """The tones' frequencies to 100 Hz."""
    level = np.abs(np.fft.rfft(audio[:, 0]))
    hertz = np.fft.rfftfreq(len(audio), 1 / RATE)
    return [round(f / 100) for f in hertz[level > 0.3 * level.max()]]


def test_zero_shot_says_which_folders_it_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hi-hat, kick, bass; or piano, guitar"):
        len(ZeroShotMixtures(tmp_path))
    root = sounds(tmp_path / "s", {"piano": 400.0, "Guitar": 300.0}, files=1)
    with pytest.raises(UsageError, match="1 sounds; a class needs two"):
        ZeroShotMixtures(root)[0]
