"""MUSDB18 and MUSDB18-HQ in their published layouts, folders of stems, and every kind of bad file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.data import CLASSES, Bank, Song, folder_bank, musdb_bank, require_classes

VALIDATION = "Actions - One Minute Smile"
"""One of musdb's own validation songs."""
TONES = {"drums": 300.0, "bass": 600.0, "other": 1200.0, "vocals": 2400.0}


def tone(hertz: float, seconds: float = 2.0, rate: int = 22_050, channels: int = 2) -> np.ndarray:
    """(samples, channels), peak 0.2."""
    mono = 0.2 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.stack([mono] * channels, axis=1)


def put(path: Path, sound: np.ndarray, rate: int = 22_050, **more: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, **more)
    return path


def loudest(stem: np.ndarray) -> float:
    """Hz."""
    mono = stem.mean(axis=0)
    return float(np.fft.rfftfreq(len(mono), 1 / MODEL_RATE)[np.abs(np.fft.rfft(mono)).argmax()])


class TestSong:
    def test_a_class_is_the_sum_of_its_fine_ones(self) -> None:
        one, two, three = (np.full((1, 4), value, np.int16) for value in (100, 20, 3))
        song = Song("s", {"Guitar/Clean": one, "Guitar/Jazz": two, "Guitars": three})
        assert song.of("Guitar/Clean") is one
        assert song.of("Guitars") is three
        guitars = song.of("Guitar")
        assert guitars is not None
        assert guitars.dtype == np.int16
        assert guitars.tolist() == [[120] * 4]
        assert song.of("Guitar") is guitars, "made once"
        assert song.of("Piano") is None

    def test_a_sum_is_held_to_the_range_and_as_wide_and_long_as_the_largest(self) -> None:
        song = Song("s", {"a/1": np.full((1, 3), 30_000, np.int16), "a/2": np.full((2, 2), 30_000, np.int16)})
        both = song.of("a")
        assert both is not None
        assert both.tolist() == [[32767, 32767, 30000]] * 2

    def test_classes_of_a_bank(self) -> None:
        sound = np.ones((1, 4), np.int16)
        bank = Bank(
            (Song("1", {"Guitar/Jazz": sound, "other": sound}), Song("2", {"vocals": sound, "other/keys": sound}))
        )
        assert bank.classes() == ("vocals", "other", "Guitar")
        assert bank.fine() == ("Guitar/Jazz", "other/keys")
        require_classes([bank], ("vocals", "other/keys"))
        with pytest.raises(UsageError, match=r"no stem of the class drums; there are vocals, other, Guitar$"):
            require_classes([bank])
        with pytest.raises(UsageError, match=r"the class guitar \(did you mean Guitar\?\)"):
            require_classes([bank], ("guitar",))


class TestFolders:
    def test_songs_at_the_models_rate(self, stem_bank: Bank) -> None:
        songs = {song.name: song for song in stem_bank.songs}
        aligned = [songs[name] for name in ("song one", "song two", "song three")]
        for song in aligned:
            assert set(song.stems) == set(CLASSES)
            for name, stem in song.stems.items():
                assert stem.dtype == np.int16
                assert stem.shape[0] == 2
                assert abs(stem.shape[1] - 4 * MODEL_RATE) <= 1
                register = {"vocals": 1200, "drums": 7000, "bass": 90, "other": 3000}[name]
                assert loudest(stem) == pytest.approx(register, rel=0.11)
        single = [song for song in stem_bank.songs if song not in aligned]
        assert [list(song.stems) for song in single] == [["bass/deeper"]]
        assert single[0].stems["bass/deeper"].shape == (1, 2 * MODEL_RATE)
        assert stem_bank.minutes() == pytest.approx(14 / 60, rel=1e-3)
        assert stem_bank.fine() == ("bass/deeper",)

    def test_classes_of_any_name(self, tmp_path: Path) -> None:
        for name in (
            "theremin/one.wav",
            "theremin/low/two.flac",
            "Drums/vocals.ogg",
            "my song/Bass.wav",
            "my song/kazoo.wav",
        ):
            put(tmp_path / name, tone(500, 1.0))
        keys = {Path(song.name).name: list(song.stems) for song in folder_bank(tmp_path).songs}
        assert keys == {
            "one.wav": ["theremin"],
            "two.flac": ["theremin/low"],
            "vocals.ogg": ["drums"],
            "my song": ["bass", "kazoo"],
        }

    def test_songs_of_classes_that_are_said(self, tmp_path: Path) -> None:
        put(tmp_path / "song" / "kazoo.wav", tone(500, 1.0))
        assert folder_bank(tmp_path).classes() == ("song",)
        assert folder_bank(tmp_path, classes=("kazoo",)).classes() == ("kazoo",)

    def test_full_scale_is_kept_and_beyond_is_cut(self, tmp_path: Path) -> None:
        sound = np.repeat(np.float32([1.0, -1.0, 3.0, -3.0]), 1000)
        put(tmp_path / "song" / "vocals.wav", sound, subtype="FLOAT")
        stem = folder_bank(tmp_path).songs[0].stems["vocals"][0]
        assert [stem[k] for k in (500, 1500, 2500, 3500)] == [32767, -32767, 32767, -32767]

    def test_progress_is_told(self, stems: Path) -> None:
        told: list[tuple[int, int]] = []
        folder_bank(stems, progress=lambda done, total: told.append((done, total)))
        assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

    @pytest.mark.parametrize("there", [True, False])
    def test_no_stems_says_what_would_be_right(self, tmp_path: Path, there: bool) -> None:
        folder = tmp_path / "empty"
        if there:
            (folder / "song").mkdir(parents=True)
        with pytest.raises(UsageError, match=r"empty: no .*SONG/CLASS\.wav, CLASS/FILE\.wav or CLASS/FINE/FILE\.wav"):
            folder_bank(folder)


def _damaged(path: Path) -> None:
    path.write_bytes(b"RIFF no sound")


def _no_bytes(path: Path) -> None:
    path.write_bytes(b"")


def _no_samples(path: Path) -> None:
    put(path, np.zeros((0, 1)))


def _silent(path: Path) -> None:
    put(path, np.full((44_100, 2), 1e-4))


def _truncated(path: Path) -> None:
    path.write_bytes(put(path, tone(500)).read_bytes()[:60_000])


def _nan(path: Path) -> None:
    sound = tone(500)
    sound[100] = np.nan
    put(path, sound, subtype="FLOAT")


def _wide(path: Path) -> None:
    put(path, tone(500, channels=6))


BAD: dict[Callable[[Path], None], str] = {
    _damaged: "damaged or not a sound file",
    _no_bytes: "is empty",
    _no_samples: "holds no sound",
    _silent: "silent throughout",
    _truncated: "truncated",
    _nan: "holds 2 NaN",
    _wide: "6 channels",
}


class TestBadFiles:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        put(tmp_path / "set" / "a song" / "vocals.wav", tone(2400))
        return tmp_path / "set"

    @pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
    def test_one_is_left_out_and_named(
        self, root: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        bad = root / "a song" / "bass.wav"
        spoil(bad)
        bank = folder_bank(root)
        assert [list(song.stems) for song in bank.songs] == [["vocals"]]
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"qsep-live: warning: {bad}")
        assert BAD[spoil] in line
        assert line.endswith("; left out")
        with pytest.raises(QsepError, match=rf"bass\.wav.*{BAD[spoil]}"):
            folder_bank(root, strict=True)

    @pytest.mark.parametrize("strict", [True, False])
    def test_nothing_left_is_an_error(self, tmp_path: Path, strict: bool) -> None:
        (tmp_path / "vocals").mkdir()
        _silent(tmp_path / "vocals" / "one.wav")
        with pytest.raises(QsepError, match="silent throughout" if strict else "none of its 1 files and songs"):
            folder_bank(tmp_path, strict=strict)

    @pytest.mark.parametrize(
        ("sound", "rate", "problem"),
        [
            (tone(600, 1.5), 22_050, r"bass\.wav: lasts 1\.50 s, and drums\.wav of the same song 2\.00 s"),
            (tone(600, 2.0, 48_000), 48_000, r"bass\.wav: 48000 Hz, and the song's other stems 22050 Hz"),
            (tone(600, channels=1), 22_050, r"bass\.wav: mono, and drums\.wav of the same song is stereo"),
        ],
        ids=["length", "rate", "channels"],
    )
    def test_stems_that_do_not_agree_are_made_to(
        self, root: Path, sound: np.ndarray, rate: int, problem: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(root / "a song" / "drums.wav", tone(300))
        put(root / "a song" / "bass.wav", sound, rate)
        with pytest.raises(QsepError, match=f"{problem}$"):
            folder_bank(root, strict=True)
        (song,) = folder_bank(root).songs
        assert {stem.shape for stem in song.stems.values()} == {(2, 2 * MODEL_RATE)}
        assert loudest(song.stems["bass"][:, :30_000]) == pytest.approx(600, abs=1)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("qsep-live: warning: ")

    def test_a_few_samples_more_or_less_are_no_matter(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        put(root / "a song" / "bass.wav", tone(600, 1.96))
        (song,) = folder_bank(root, strict=True).songs
        assert {stem.shape for stem in song.stems.values()} == {(2, 2 * MODEL_RATE)}
        assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MUSDB18's own layout: a file of five AAC streams in an MP4 for each song."""
    pytest.importorskip("musdb", reason="the musdb package is not installed: pip install 'qsep-live[train]'")
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("ffmpeg, which musdb reads with, is not installed")
    root = tmp_path_factory.mktemp("musdb")
    sounds = {name: tone(hertz, 1.5, 44_100) for name, hertz in TONES.items()}
    _stem_file(root / "train" / f"{VALIDATION}.stem.mp4", sounds)
    for subset, name in (("train", "A Band - A Song"), ("test", "A Band - Another")):
        (root / subset).mkdir(exist_ok=True)
        shutil.copy(root / "train" / f"{VALIDATION}.stem.mp4", root / subset / f"{name}.stem.mp4")
    return root


def _stem_file(path: Path, sounds: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-loglevel", "error", "-y"]
    for number, sound in enumerate((np.sum(list(sounds.values()), axis=0), *sounds.values())):
        command += ["-i", str(put(path.parents[1] / "waves" / f"{number}.wav", sound, 44_100))]
    for number in range(len(sounds) + 1):
        command += ["-map", str(number)]
    subprocess.run([*command, "-c:a", "aac", "-b:a", "128k", str(path)], check=True, timeout=120)


class TestMusdb:
    @pytest.mark.parametrize(
        ("split", "name"), [("train", "A Band - A Song"), ("valid", VALIDATION), ("test", "A Band - Another")]
    )
    def test_stem_files(self, streams: Path, split: str, name: str) -> None:
        bank = musdb_bank(streams, split, weight=2.0)
        assert [song.name for song in bank.songs] == [name]
        assert bank.weight == 2.0
        stems = bank.songs[0].stems
        assert set(stems) == set(CLASSES)
        assert len({stem.shape for stem in stems.values()}) == 1
        for kind, stem in stems.items():
            assert stem.dtype == np.int16
            assert stem.shape[0] == 2
            assert stem.shape[1] == pytest.approx(1.5 * MODEL_RATE, rel=0.05)
            assert loudest(stem) == pytest.approx(TONES[kind], rel=0.01)
            assert np.abs(stem[:, 5000:-5000]).max() / 32767 == pytest.approx(0.2, rel=0.1)

    def test_hq(self, tmp_path: Path) -> None:
        for subset, name in (("train", "A Band - A Song"), ("train", VALIDATION), ("test", "A Band - Another")):
            _hq_song(tmp_path / subset / name)
        for split, name in (("train", "A Band - A Song"), ("valid", VALIDATION), ("test", "A Band - Another")):
            (song,) = musdb_bank(tmp_path, split, strict=True).songs
            assert song.name == name
            assert {kind: round(loudest(stem)) for kind, stem in song.stems.items()} == TONES

    def test_a_silent_stem_is_left_out_of_training_and_kept_for_validation(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("A Band - A Song", VALIDATION):
            _silent(_hq_song(tmp_path / "train" / name) / "bass.wav")
            put(tmp_path / "train" / name / "bass.wav", np.zeros((44_100, 2)), 44_100)
        assert set(musdb_bank(tmp_path, "train").songs[0].stems) == {"vocals", "drums", "other"}
        (line,) = capsys.readouterr().err.splitlines()
        assert "bass.wav: bass is silent throughout; left out" in line
        assert not musdb_bank(tmp_path, "valid").songs[0].stems["bass"].any()

    def test_a_missing_class_leaves_the_song_out(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _hq_song(tmp_path / "train" / "whole")
        (_hq_song(tmp_path / "train" / "broken") / "drums.wav").unlink()
        assert [song.name for song in musdb_bank(tmp_path, "train").songs] == ["whole"]
        (line,) = capsys.readouterr().err.splitlines()
        assert "broken/drums.wav: no such file" in line
        shutil.rmtree(tmp_path / "train" / "whole")
        with pytest.raises(QsepError, match="train: none of its 1 songs could be used"):
            musdb_bank(tmp_path, "train")

    def test_damaged_stem_files_are_named(
        self, streams: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole = streams / "train" / "A Band - A Song.stem.mp4"
        (tmp_path / "train").mkdir()
        shutil.copy(whole, tmp_path / "train" / "whole.stem.mp4")
        (tmp_path / "train" / "cut.stem.mp4").write_bytes(whole.read_bytes()[:30_000])
        _stem_file(
            tmp_path / "train" / "three.stem.mp4", {"drums": tone(300, 0.2, 44_100), "bass": tone(600, 0.2, 44_100)}
        )
        assert [song.name for song in musdb_bank(tmp_path, "train").songs] == ["whole"]
        lines = sorted(capsys.readouterr().err.splitlines())
        assert len(lines) == 2
        assert "cut.stem.mp4: damaged or no stem file" in lines[0]
        assert "three.stem.mp4: holds 3 audio streams, not MUSDB18's 5" in lines[1]
        with pytest.raises(QsepError, match=r"cut\.stem\.mp4"):
            musdb_bank(tmp_path, "train", strict=True)

    def test_ffmpeg_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(QsepError, match=r"needs ffmpeg and ffprobe \(Debian: apt-get install ffmpeg\)"):
            musdb_bank(tmp_path, "train")

    def test_another_folder_and_another_split(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="give MUSDB18's own folder"):
            musdb_bank(tmp_path, "train")
        _hq_song(tmp_path / "train" / "A Band - A Song")
        with pytest.raises(UsageError, match="none of musdb's songs of the split 'valid'"):
            musdb_bank(tmp_path, "valid")
        with pytest.raises(UsageError, match="no split 'dev'; there are train, valid, test"):
            musdb_bank(tmp_path, "dev")


def _hq_song(folder: Path) -> Path:
    pytest.importorskip("musdb", reason="the musdb package is not installed: pip install 'qsep-live[train]'")
    for kind, hertz in TONES.items():
        put(folder / f"{kind}.wav", tone(hertz, 1.0, 44_100), 44_100)
    return folder
