from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from qsep_live.errors import QsepError, UsageError
from qsep_live.evaluation.extra import needs
from qsep_live.evaluation.tracks import STEMS, MusdbTracks, SlakhTracks


def test_hq_splits_and_sounds(hq: Path) -> None:
    found = {split: MusdbTracks(hq, split) for split in ("valid", "train", "test")}
    assert [len(tracks) for tracks in found.values()] == [2, 1, 1]
    assert found["valid"][1].name == "Actions - One Minute Smile"
    assert found["train"][0].name == "Somebody - Trains"
    assert found["test"][0].name == "Somebody - Tests"
    track = MusdbTracks(hq)[0]
    assert track.rate == 22_050
    assert tuple(track.stems) == STEMS
    assert track.mixture.dtype == np.float32
    np.testing.assert_allclose(track.mixture, np.sum(list(track.stems.values()), axis=0), atol=3e-4)


def test_limit_seconds_and_label(hq: Path) -> None:
    tracks = MusdbTracks(hq, "valid", 1, 3.0)
    assert len(tracks) == 1
    assert tracks.label == "MUSDB18 valid, 1 track of 3 s"
    whole, middle = MusdbTracks(hq)[0], pickle.loads(pickle.dumps(tracks))[0]
    np.testing.assert_array_equal(middle.mixture, whole.mixture[1102:-1103])
    with pytest.raises(IndexError):
        tracks[1]


def test_stem_files(stem_mp4: Path) -> None:
    (track,) = MusdbTracks(stem_mp4)
    assert len({len(stem) for stem in track.stems.values()} | {len(track.mixture)}) == 1
    error = track.mixture - np.sum(list(track.stems.values()), axis=0)
    assert np.mean(error**2) < 0.01 * np.mean(track.mixture**2)


def test_wrong_folders_say_what_is_right(tmp_path: Path, hq: Path) -> None:
    with pytest.raises(UsageError, match=r"no \*\.stem\.mp4 and no SONG/mixture\.wav here"):
        len(MusdbTracks(tmp_path))
    with pytest.raises(UsageError, match="valid, test, train"):
        len(MusdbTracks(hq, "validation"))
    with pytest.raises(UsageError, match=r"TrackNNNNN/metadata\.yaml"):
        len(SlakhTracks(tmp_path))


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(UsageError, match=r"nosuchpackage, which is not installed: pip install 'qsep-live\[evaluate\]'"):
        needs("nosuchpackage.part")


def test_slakh_adds_up_by_class(slakh: object) -> None:
    time = np.arange(22_050) / 22_050
    tones = [(0.1 * np.sin(2 * np.pi * hertz * time)).astype(np.float32) for hertz in (200, 300, 400)]
    root = slakh(  # type: ignore[operator]
        "validation", 7,
        [("Piano", "Electric Piano 1", False, tones[0]), ("Piano", "Clavinet", False, tones[1]),
         ("Drums", "Drums", True, tones[2][:22_000])],
    )  # fmt: skip
    (track,) = SlakhTracks(root, "valid")
    assert track.name == "Track00007"
    assert set(track.stems) == {"Piano", "Drums"}
    assert [(part.coarse, part.fine) for part in track.parts] == [
        ("Piano", "Electric Piano 1"), ("Piano", "Clavinet"), ("Drums", "Drums"),
    ]  # fmt: skip
    assert track.mixture.shape == (22_000, 1)
    np.testing.assert_allclose(track.stems["Piano"][:, 0], (tones[0] + tones[1])[:22_000], atol=1e-4)
    np.testing.assert_allclose(track.mixture, track.stems["Piano"] + track.stems["Drums"], atol=1e-6)


def test_broken_slakh_metadata_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "test" / "Track00001"
    folder.mkdir(parents=True)
    (folder / "metadata.yaml").write_text("stems: [")
    with pytest.raises(QsepError, match=r"Track00001/metadata\.yaml: no table of stems"):
        SlakhTracks(tmp_path)[0]
    (folder / "metadata.yaml").write_text("stems: {S00: {inst_class: Piano}}")
    with pytest.raises(QsepError, match="none of the stems"):
        SlakhTracks(tmp_path)[0]
