from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.data import CLASSES, Bank, folder_bank, musdb_bank

VALIDATION = "Actions - One Minute Smile"
"""One of musdb's own validation songs."""
TONES = {"drums": 300.0, "bass": 600.0, "other": 1200.0, "vocals": 2400.0}


def loudest(stem: np.ndarray) -> float:
    """Hz."""
    mono = stem.mean(axis=0)
    return float(np.fft.rfftfreq(len(mono), 1 / MODEL_RATE)[np.abs(np.fft.rfft(mono)).argmax()])


def test_folders_are_read_at_the_models_rate(stem_bank: Bank) -> None:
    songs = {song.name: song for song in stem_bank.songs}
    aligned = [songs[name] for name in ("song one", "song two", "song three")]
    for song in aligned:
        assert set(song.stems) == set(CLASSES)
        for name, stem in song.stems.items():
            assert stem.dtype == np.int16
            assert stem.shape[0] == 2
            assert abs(stem.shape[1] - 4 * MODEL_RATE) <= 1
            assert 0.1 < np.abs(stem).max() / 32767 < 0.5
            register = {"vocals": 1200, "drums": 7000, "bass": 90, "other": 3000}[name]
            assert loudest(stem) == pytest.approx(register, rel=0.11)
    single = [song for song in stem_bank.songs if song not in aligned]
    assert [set(song.stems) for song in single] == [{"bass"}]
    assert single[0].stems["bass"].shape == (1, 2 * MODEL_RATE)
    assert stem_bank.minutes() == pytest.approx(14 / 60, rel=1e-3)


def test_full_scale_is_kept_and_beyond_is_cut(tmp_path: Path) -> None:
    (tmp_path / "song").mkdir()
    sound = np.repeat(np.float32([1.0, -1.0, 3.0, -3.0]), 1000)
    soundfile.write(tmp_path / "song" / "vocals.wav", sound, MODEL_RATE, subtype="FLOAT")
    stem = folder_bank(tmp_path).songs[0].stems["vocals"][0]
    assert [stem[k] for k in (500, 1500, 2500, 3500)] == [32767, -32767, 32767, -32767]


def test_a_folder_without_stems_says_what_would_be_right(tmp_path: Path) -> None:
    (tmp_path / "song").mkdir()
    (tmp_path / "song" / "guitar.wav").write_bytes(b"")
    with pytest.raises(UsageError, match="no SONG/CLASS or CLASS/FILE here for the classes vocals, drums, bass, other"):
        folder_bank(tmp_path)


def test_a_damaged_stem_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "song").mkdir()
    (tmp_path / "song" / "vocals.wav").write_bytes(b"RIFF no sound")
    with pytest.raises(QsepError, match=r"vocals\.wav"):
        folder_bank(tmp_path)


@pytest.fixture(scope="module")
def musdb_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs in MUSDB18's own layout, one of them for validation: five AAC streams in an MP4 each."""
    pytest.importorskip("musdb", reason="the musdb package is not installed: pip install 'qsep-live[train]'")
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("ffmpeg, which musdb reads with, is not installed")
    root = tmp_path_factory.mktemp("musdb")
    (root / "train").mkdir()
    time = np.arange(4 * 44_100) / 44_100
    stems = {name: 0.2 * np.sin(2 * np.pi * hertz * time) for name, hertz in TONES.items()}
    streams = {"mixture": np.sum(list(stems.values()), axis=0), **stems}
    command = ["ffmpeg", "-loglevel", "error", "-y"]
    for name, sound in streams.items():
        soundfile.write(root / f"{name}.wav", np.stack([sound, sound], axis=1), 44_100)
        command += ["-i", str(root / f"{name}.wav")]
    for number in range(len(streams)):
        command += ["-map", str(number)]
    command += ["-c:a", "aac", "-b:a", "128k"]
    for name in (VALIDATION, "A Band - A Song"):
        subprocess.run([*command, str(root / "train" / f"{name}.stem.mp4")], check=True, timeout=120)
    return root


@pytest.mark.parametrize(("split", "name"), [("train", "A Band - A Song"), ("valid", VALIDATION)])
def test_musdb_in_its_published_layout(musdb_root: Path, split: str, name: str) -> None:
    bank = musdb_bank(musdb_root, split, weight=2.0)
    assert [song.name for song in bank.songs] == [name]
    assert bank.weight == 2.0
    stems = bank.songs[0].stems
    assert set(stems) == set(CLASSES)
    for kind, stem in stems.items():
        assert stem.dtype == np.int16
        assert stem.shape[0] == 2
        assert stem.shape[1] == pytest.approx(4 * MODEL_RATE, rel=0.02)
        assert loudest(stem) == pytest.approx(TONES[kind], rel=0.01)
        assert np.abs(stem[:, 5000:-5000]).max() / 32767 == pytest.approx(0.2, rel=0.1)


def test_musdb_elsewhere_is_the_users(tmp_path: Path) -> None:
    pytest.importorskip("musdb", reason="the musdb package is not installed: pip install 'qsep-live[train]'")
    with pytest.raises(UsageError, match="give MUSDB18's own folder"):
        musdb_bank(tmp_path, "train")
