"""`qsep-live foresight`, from songs to a file beside the model, and what then is heard."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Three songs of two stems, two seconds each."""
    random = np.random.default_rng(4)
    for number in range(3):
        folder = tmp_path / "songs" / f"song {number}"
        folder.mkdir(parents=True)
        axis = np.arange(2 * 22_050) / 22_050
        hits = 0.3 * random.standard_normal((len(axis), 2)) * np.exp(-10 * (axis % 0.25))[:, None]
        tone = 0.2 * np.sin(2 * np.pi * 110 * (number + 1) * axis)[:, None].repeat(2, axis=1)
        soundfile.write(folder / "drums.wav", hits, 22_050)
        soundfile.write(folder / "bass.flac", tone, 22_050)
    return tmp_path / "songs"


def test_it_is_written_beside_the_model_and_heard_at_a_short_delay(qsep, work, wav, songs, tiny_model):
    model = Path(shutil.copy(tiny_model[0], work / "mine.safetensors"))
    wav("a.wav", 2.0)

    def heard(name: str, delay: str) -> np.ndarray:
        words = ("--model", model, "--preset", "one", "--input", "a.wav", "--delay", delay, "--output", name)
        told = qsep(*words)
        assert told.code == 0, told.err
        return soundfile.read(work / name)[0]

    before = {delay: heard(f"{delay}-before.wav", delay) for delay in ("5ms", "centred")}
    told = qsep("foresight", "--stems", songs, "--model", model, "--pieces", 4)
    assert told.code == 0, told.err
    assert told.out == f"{work / 'mine.foresight.safetensors'}: from 12 half seconds of songs, 3 tracks\n"
    assert np.abs(heard("5ms.wav", "5ms") - before["5ms"]).max() > 1e-4
    np.testing.assert_array_equal(heard("centred.wav", "centred"), before["centred"])


def test_what_cannot_be_learned_from_is_said(qsep, work, songs, tiny_model):
    model = ("--model", tiny_model[0])
    qsep("foresight", *model).fails(2, "--musdb DIR or --stems DIR")
    qsep("foresight", "--stems", work, *model).fails(2, "no song here")
    qsep("foresight", "--stems", songs, *model, "--pieces", 1, "-o", "f.safetensors").fails(1, "3 pieces", "too few")
    assert not list(work.glob("*.safetensors"))


def test_a_damaged_file_stops_the_engine_with_a_word(qsep, work, wav, tiny_model):
    model = Path(shutil.copy(tiny_model[0], work / "mine.safetensors"))
    (work / "mine.foresight.safetensors").write_bytes(b"nothing")
    wav("a.wav", 1.0)
    words = ("--model", model, "--preset", "one", "--input", "a.wav", "--output", "b.wav")
    qsep(*words).fails(1, "mine.foresight.safetensors: no foresight")
    assert not (work / "b.wav").exists()
