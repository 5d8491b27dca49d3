from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture
def musdb(tmp_path: Path) -> Path:
    """MUSDB18-HQ of one validation song, three seconds."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg (Debian: apt-get install ffmpeg)")
    folder = tmp_path / "musdb" / "train" / "ANiMAL - Rockshow"
    folder.mkdir(parents=True)
    time = np.arange(3 * 22_050) / 22_050
    stems = {name: 0.2 * np.sin(2 * np.pi * 150 * 4**n * time) for n, name in enumerate(STEMS)}
    for name, mono in {**stems, "mixture": np.sum(list(stems.values()), axis=0)}.items():
        soundfile.write(folder / f"{name}.wav", np.stack([mono, mono], axis=1), 22_050)
    return tmp_path / "musdb"


@pytest.fixture
def presets(home: Path, tiny_model: tuple[Path, str]) -> None:
    """The four classes of the small model."""
    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_file import save_preset

    random = np.random.default_rng(2)
    for name in STEMS:
        latent = random.standard_normal(32).astype(np.float32)
        save_preset(Preset(name, latent, tiny_model[1], name), home / "presets")


def test_the_table_is_printed_and_written(qsep, work, musdb, presets, tiny_model):
    told = qsep(
        "evaluate", "--musdb", musdb, "--model", tiny_model[0], "--delay", "93ms", "--delay", "0.2s", "--streaming",
        "--blocksize", "512", "--period", "0.5", "--latents", "mean,iterative", "--wiener", "-o", "out",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert told.out == (work / "out" / "evaluate.md").read_text()
    rows = [line.split(" | ")[0].lstrip("| ") for line in told.out.splitlines() if line.startswith("| ")][2:]
    conditions = [
        f"{source}, {when}" for source in ("mean", "mean, iterative") for when in ("offline", "93 ms", "200 ms")
    ]
    expected = [row for condition in conditions for row in (condition, f"{condition}, Wiener")]
    assert rows[:2] == ["the mixture itself", "oracle ratio mask"]
    assert rows[2:14] == expected
    assert len(rows) == 14 + 8
    assert "in blocks of 512 frames: a mask begins every 500 ms" in told.out
    assert (work / "out" / "evaluate.png").stat().st_size > 1000
    assert len((work / "out" / "evaluate-tracks.csv").read_text().splitlines()) == 1 + 14 * 4


def test_nothing_is_written_without_a_folder(qsep, work, musdb, presets, tiny_model):
    told = qsep("evaluate", "--musdb", musdb, "--model", tiny_model[0], "--metric", "sdr")
    assert told.code == 0, told.err
    assert "the mixture itself | MUSDB18 valid, 1 track |" in told.out
    assert "thesis" not in told.out
    assert list(work.iterdir()) == []


def test_wrong_words_are_one_line(qsep, work, musdb, presets, tiny_model):
    model = ("--model", tiny_model[0])
    qsep("evaluate", "--musdb", musdb, *model, "--latents", "mean,truht").fails(2, "truht", "did you mean 'truth'")
    qsep("evaluate", "--musdb", musdb, *model, "--streaming").fails(2, "--delay 46ms")
    qsep("evaluate", "--musdb", musdb, *model, "--delay", "auto").fails(2, "live session")
    qsep("evaluate", "--musdb", musdb, *model, "--delay", "3s").fails(2, "out of range", "0 ms to 2.5 s")
    qsep("evaluate", "--musdb", work, *model).fails(2, "MUSDB18's own folder")
    qsep("evaluate", "--musdb", musdb, *model, "--split", "test").fails(2, "MUSDB18's own folder")
    qsep("evaluate", "--musdb", musdb, *model, "--latents", "random").fails(1, "needs a second song")
    (work / "file").write_text("")
    qsep("evaluate", "--musdb", musdb, *model, "-o", "file").fails(1, "file", "cannot be made")


def test_presets_of_another_model_are_refused(qsep, home, musdb, tiny_model):
    """The small model has no presets of its own called so: the bundled ones are of another."""
    qsep("evaluate", "--musdb", musdb, "--model", tiny_model[0]).fails(1, "--means train")


def test_a_missing_package_names_the_extra(qsep, musdb, monkeypatch):
    import importlib

    real = importlib.import_module

    def without(name: str, package: str | None = None):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    qsep("evaluate", "--musdb", musdb).fails(2, "matplotlib", "pip install 'qsep-live[evaluate]'")
