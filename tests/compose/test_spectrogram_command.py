"""The whole way on music made here: prepare, train, generate to a file and to a pipe; and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from qsep_live.audio.writer import write_audio
from qsep_live.cli.main import run as run_main
from qsep_live.cli.spectrogram import network_path
from qsep_live.compose.mel import HOP, RATE, mel_of, read_mel
from qsep_live.compose.mel_generator import MelGenerator
from qsep_live.compose.mel_inversion import LOOKAHEAD, StreamInversion
from qsep_live.compose.mel_net_file import load_mel_net

Band = Callable[[int, float], NDArray[np.float32]]
SMALL = ("--set", "units=24", "--set", "wide=16", "--set", "narrow=16", "--set", "batch=4", "--set", "span=64")
COMMAND = ("compose", "spectrogram")


def run(*words: object) -> int:
    return run_main([*COMMAND, *map(str, words)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, band: Band) -> Path:
    """Three songs of two stems, and a network that has learned from them for a moment."""
    made = tmp_path_factory.mktemp("generator")
    for song in range(3):
        (made / "music" / f"song{song}").mkdir(parents=True)
        for stem in range(2):
            sound = band(song + 5 * stem, 8.0)[:, None]
            write_audio(made / "music" / f"song{song}" / f"{stem}.wav", sound, RATE, "FLOAT")
    assert run("prepare", made / "music", "--stems", "--augment", 1, "-o", made / "s.safetensors") == 0
    assert (
        run("train", made / "s.safetensors", "--steps", 40, *SMALL, "--threads", 1, "-o", made / "n.safetensors") == 0
    )
    write_audio(made / "clip.wav", band(1, 5.0)[:, None], RATE)
    return made


def told(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("qsep-live: error: ")
    assert len(err.splitlines()) == 1
    return err


def test_music_goes_on_from_a_clip(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.wav"
    options = ("--seconds", 3, "--seed-audio", folder / "clip.wav", "--network", folder / "n.safetensors")
    assert run("generate", *options, "-o", out) == 0
    assert "3.0 s" in capsys.readouterr().out
    sound, rate = soundfile.read(out, dtype="float32")
    assert (len(sound), rate) == (3 * RATE, RATE)
    made, clip = mel_of(sound), read_mel(folder / "clip.wav")
    levels = [10.0 * np.log10(each.loudest) + each.db.mean() for each in (made, clip)]
    assert abs(levels[0] - levels[1]) < 10.0
    assert run("generate", *options, "-o", out) == 2
    assert "exists already" in told(capsys)
    first = out.read_bytes()
    assert run("generate", *options, "-o", out, "--overwrite") == 0
    assert out.read_bytes() == first
    assert run("generate", *options, "--seed", 1, "-o", out, "--overwrite") == 0
    assert out.read_bytes() != first


def test_the_engine_separates_what_a_pipe_brings(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an end, frame after frame: no more is made than is asked for."""
    out = tmp_path / "out.wav"
    words = ("--seed-audio", folder / "clip.wav", "--network", folder / "n.safetensors")
    monkeypatch.chdir(folder)  # the program gets whole paths
    assert run("generate", "--live", *words, "--preset", "drums", "--wet", 0, "--duration", "2s", "-o", out) == 0
    sound, rate = soundfile.read(out, dtype="float32")
    assert (len(sound), rate) == (2 * RATE, RATE)
    generator = MelGenerator(load_mel_net(folder / "n.safetensors").network, read_mel(folder / "clip.wav"))
    stream = StreamInversion(generator.loudest)
    pushed = [stream.push(frame) for frame in generator.frames(LOOKAHEAD + 2 * RATE // HOP)][LOOKAHEAD:]
    expected = np.concatenate(pushed)[: len(sound) - 2 * HOP]
    assert np.abs(expected).max() > 1e-3
    # What the file cannot hold is clipped, and the rest has 24 bits.
    assert np.abs(sound[: len(expected)] - np.clip(expected, -1.0, 1.0)).max() < 1e-3


def test_the_network_that_is_bundled_goes_on_from_a_clip(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    assert run("generate", "--seconds", 3, "--seed-audio", folder / "clip.wav", "-o", out) == 0
    made, clip = read_mel(out), read_mel(folder / "clip.wav")
    levels = [10.0 * np.log10(each.loudest) + each.db.mean(axis=0) for each in (made, clip)]
    assert np.sqrt(np.mean((levels[0] - levels[1]) ** 2)) < 8.0


def test_an_input_of_the_engine_is_the_network_that_is_bundled(tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    words = ("--input", "compose:spectrogram", "--preset", "drums", "--wet", "0", "--duration", "1s")
    assert run_main([*words, "--output", str(out)]) == 0
    sound, rate = soundfile.read(out, dtype="float32")
    assert (len(sound), rate) == (RATE, RATE)
    generator = MelGenerator(load_mel_net(network_path()).network)
    stream = StreamInversion(generator.loudest)
    pushed = [stream.push(frame) for frame in generator.frames(LOOKAHEAD + RATE // HOP)][LOOKAHEAD:]
    expected = np.concatenate(pushed)[: len(sound) - 2 * HOP]
    assert np.abs(expected).max() > 1e-3
    assert np.abs(sound[: len(expected)] - np.clip(expected, -1.0, 1.0)).max() < 1e-3


def test_an_evaluation_leaves_a_table_a_figure_and_music(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, out = folder / "n.safetensors", tmp_path / "out"
    assert run("evaluate", folder / "s.safetensors", "--network", network, "--seconds", 11, "-o", out) == 0
    assert capsys.readouterr().out == (out / "spectrogram.md").read_text()
    with (out / "spectrogram.csv").open() as file:
        *songs, whole = csv.DictReader(file)
    (song,) = {each["clip"] for each in songs}  # one of the three validates
    scores = load_mel_net(network).card["validation"]
    for name, key in (("MSE, dB²", "network"), ("last frame", "last"), ("mean frame", "mean")):
        assert float(whole[name]) == pytest.approx(scores[key], rel=0.02)  # float16
    with (out / "spectrogram-levels.csv").open() as file:
        (level,) = csv.DictReader(file)
    assert float(whole["loudest 10 s, dB"]) == float(level["dB above the clip"])
    assert float(whole["drift, dB"]) == 0.0
    assert (out / "spectrogram.png").stat().st_size > 10_000
    sound, _ = soundfile.read(out / f"spectrogram-1-{song}.wav", dtype="float32")
    assert len(sound) == 11 * RATE
    assert 0.01 < np.abs(sound).max() <= 0.9


def test_what_cannot_be_evaluated_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", tmp_path / "none.safetensors", "-o", tmp_path / "out") == 1
    assert "none.safetensors: No such file" in told(capsys)
    assert run("evaluate", folder / "n.safetensors", "-o", tmp_path / "out") == 1
    assert "no spectrograms of qsep-live compose spectrogram prepare" in told(capsys)
    write_audio(tmp_path / "one.wav", soundfile.read(folder / "clip.wav", dtype="float32")[0][:, None], RATE)
    assert run("prepare", tmp_path, "-o", tmp_path / "one.safetensors") == 0
    capsys.readouterr()
    assert run("evaluate", tmp_path / "one.safetensors", "-o", tmp_path / "out") == 2
    assert "give two or more" in told(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.zeros((RATE, 1), np.float32), ("clip.wav", "silent")),
        (np.ones((500, 1), np.float32), ("clip.wav", "0.023 s", "shorter than a frame")),
    ],
)
def test_a_clip_without_a_spectrogram_is_refused(
    sound: NDArray[np.float32], words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_audio(tmp_path / "clip.wav", sound, RATE)
    assert run("generate", "--seed-audio", clip, "-o", tmp_path / "out.wav") == 1
    said = told(capsys)
    assert all(word in said for word in words)
    assert not (tmp_path / "out.wav").exists()


def test_folders_without_music_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ("-o", tmp_path / "s.safetensors")
    assert run("prepare", tmp_path, *output) == 2
    assert "there is no sound file in this folder" in told(capsys)
    assert run("prepare", tmp_path / "none", *output) == 2
    assert "no such folder" in told(capsys)
    write_audio(tmp_path / "short.wav", np.ones((500, 1), np.float32), RATE)
    assert run("prepare", tmp_path, *output) == 1
    assert "shorter than a frame" in told(capsys)
    assert run("prepare", tmp_path, "--stems", *output) == 2
    assert "a folder for each song" in told(capsys)
    assert not (tmp_path / "s.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "none.safetensors", "--steps", "1", "-o", "n.safetensors"), "none.safetensors: "),
        (("train", "none.safetensors", "-o", "n.safetensors"), "how long? give --minutes N or --steps N"),
        (("generate",), "where to? give --output FILE, or --live to hear it"),
        (("generate", "-o", "a.txt"), "unknown file type"),
        (("generate", "--preset", "drums", "-o", "a.wav"), "--preset drums is for the engine: say --live, too"),
        (("generate", "--live", "nonsense"), "'nonsense' is no option of qsep-live"),
        (("generate", "--live", "--nonsense"), "No such option"),
    ],
)
def test_what_cannot_be_meant_is_said(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) != 0
    assert said in told(capsys)
    assert list(tmp_path.iterdir()) == []


def test_composed_inputs_have_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(["--input", "compose:nothing", "--output", "a.wav"]) == 2
    assert "compose:spectrogram" in told(capsys)
    assert run_main(["--input", "compose:spectrogram", "--output", "a.wav"]) == 2
    assert "--duration" in told(capsys)
