from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

STEMS = ("vocals", "drums", "bass", "other")
NAMES = ("table", "iterative", "closeness", "fine", "tsne", "slerp", "zeroshot", "lookahead")


@pytest.fixture
def musdb(tmp_path: Path) -> Path:
    """MUSDB18-HQ: two validation songs and a training song of three seconds, each with its own tones."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg (Debian: apt-get install ffmpeg)")
    time = np.arange(68_000) / 22_050
    for song, title in enumerate(("ANiMAL - Rockshow", "Actions - One Minute Smile", "Somebody - Trains")):
        folder = tmp_path / "musdb" / "train" / title
        folder.mkdir(parents=True)
        stems = {name: 0.2 * np.sin(2 * np.pi * 150 * 4**n * (1 + 0.1 * song) * time) for n, name in enumerate(STEMS)}
        for name, mono in {**stems, "mixture": np.sum(list(stems.values()), axis=0)}.items():
            soundfile.write(folder / f"{name}.wav", np.stack([mono, mono], axis=1), 22_050)
    return tmp_path / "musdb"


def outputs(folder: Path, name: str) -> str:
    """The table, and that the files are all there."""
    assert (folder / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (folder / f"{name}.csv").is_file()
    return (folder / f"{name}.md").read_text()


@pytest.mark.parametrize("name", ["table", "closeness"])
def test_on_musdb(qsep, work, musdb, tiny_model, name):
    means = ["--means", "train"] if name == "table" else []
    told = qsep("experiment", name, "--musdb", musdb, "--model", tiny_model[0], *means, "-o", work / "out")
    assert told.code == 0, told.err
    assert told.out == outputs(work / "out", name)
    assert "MUSDB18 valid, 2 tracks" in told.out


@pytest.mark.parametrize("name", ["iterative", "slerp", "tsne"])
def test_on_one_song(qsep, work, musdb, tiny_model, name):
    means = [] if name == "tsne" else ["--means", "train"]
    limit = [] if name == "tsne" else ["--limit", 1]
    told = qsep("experiment", name, "--musdb", musdb, "--model", tiny_model[0], *means, *limit, "-o", work / "out")
    assert told.code == 0, told.err
    assert told.out == outputs(work / "out", name)


def test_lookahead(qsep, work, musdb, tiny_model):
    told = qsep("experiment", "lookahead", "--musdb", musdb, "--model", tiny_model[0], "--means", "train", "--limit", 1,
                "--seconds", 3, "--period", "1", "-o", "out")  # fmt: skip
    assert told.code == 0, told.err
    rows = [line.split(" | ")[0].lstrip("| ") for line in told.out.splitlines() if line.startswith("| ")][2:]
    assert rows == ["the mixture itself", "0 ms", "12 ms", "23 ms", "46 ms", "93 ms", "186 ms", "372 ms", "centred"]
    assert told.out == outputs(work / "out", "lookahead")


def test_fine_and_zeroshot(qsep, work, tiny_model):
    time = np.arange(4 * 22_050) / 22_050
    kinds = (
        ("Bass", "Slap Bass 1", 80),
        ("Bass", "Fretless Bass", 60),
        ("Brass", "Tuba", 110),
        ("Brass", "Trumpet", 900),
    )
    for split, number in (("train", 1), ("test", 2)):
        folder = work / "slakh" / split / f"Track{number:05d}"
        (folder / "stems").mkdir(parents=True)
        lines = ["stems:"]
        for index, (coarse, fine, hertz) in enumerate(kinds):
            lines += [f"  S{index:02d}: {{audio_rendered: true, inst_class: {coarse}, is_drum: false,"]
            lines += [f"    midi_program_name: {fine}}}"]
            soundfile.write(folder / "stems" / f"S{index:02d}.flac", 0.2 * np.sin(2 * np.pi * hertz * time), 22_050)
        (folder / "metadata.yaml").write_text("\n".join(lines))
    told = qsep("experiment", "fine", "--slakh", "slakh", "--model", tiny_model[0], "-o", "out")
    assert told.code == 0, told.err
    assert told.out == outputs(work / "out", "fine")
    assert "| Bass | 2 |" in told.out
    assert "| Brass | 2 |" in told.out

    for name, hertz in (("piano", 300), ("guitar", 500)):
        (work / "sounds" / name).mkdir(parents=True)
        for number in range(2):
            tone = 0.2 * np.sin(2 * np.pi * hertz * (1 + number / 10) * time)
            soundfile.write(work / "sounds" / name / f"{number}.wav", tone, 22_050)
    told = qsep("experiment", "zeroshot", "--sounds", "sounds", "--mixtures", 1, "--model", tiny_model[0], "-o", "out")
    assert told.code == 0, told.err
    assert told.out == outputs(work / "out", "zeroshot")
    assert "| piano | piano + guitar | 1 |" in told.out


def test_help_lists_every_experiment(qsep):
    told = qsep("experiment", "--help")
    for name in NAMES:
        assert f"\n  {name} " in told.out
        assert qsep("experiment", name, "--help").code == 0


def test_wrong_words_are_one_line(qsep, work, musdb, tiny_model):
    qsep("experiment", "tabel").fails(2, "did you mean 'table'", "lookahead")
    qsep("experiment", "closeness", "--musdb", musdb, "--split", "train", "-o", "out").fails(2, "valid or test")
    qsep("experiment", "table", "--musdb", musdb).fails(2, "-o")
    qsep("experiment", "fine", "--slakh", work, "-o", "out").fails(2, "TrackNNNNN/metadata.yaml")
    qsep("experiment", "zeroshot", "--sounds", work, "-o", "out").fails(2, "hi-hat, kick, bass")
