"""`qsep-live compose melody`, from a song or a seed to MIDI and sound, on networks made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import torch

from qsep_live.audio.program import Program, ProgramSound, ours
from qsep_live.cli.composed import choose_input
from qsep_live.cli.main import run as run_main
from qsep_live.compose.actor import Actor, ActorConfig
from qsep_live.compose.actor_file import save_actor
from qsep_live.compose.emotions import EMOTIONS
from qsep_live.compose.melody import Melody
from qsep_live.compose.midi_file import write_melody
from qsep_live.compose.vae import MusicVae, VaeConfig
from qsep_live.compose.vae_file import save_vae
from tests.compose.conftest import tune

SOUNDFONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
SMALL = VaeConfig(embedding=8, encoder=8, latent=12, conductor=8, bar=12, step=8, decoder=16)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with networks in it."""
    torch.manual_seed(3)
    vae = MusicVae(SMALL)
    with torch.no_grad():
        vae.logits.weight.mul_(12)
    mark = save_vae(vae, tmp_path / "vae.safetensors", {})
    save_actor(Actor(ActorConfig(latent=12, hidden=8)), mark, tmp_path / "actor.safetensors", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(line: str) -> int:
    return run_main(["compose", "melody", *line.split(), "--vae", "vae.safetensors", "--actor", "actor.safetensors"])


def test_a_seed_to_midi_and_sound(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(f"--emotion 평화로움 --seed 7 -o a.mid --wav a.wav --soundfont {SOUNDFONT} --bpm 200") == 0
    assert "a.mid: 16 bars, mean pitch" in capfd.readouterr().out
    sound, rate = soundfile.read(work / "a.wav")
    assert len(sound) / rate >= 16 * 4 * 60 / 200
    assert np.abs(sound).max() == pytest.approx(10 ** (-3 / 20), abs=0.001)
    assert call("--emotion peaceful --seed 7 -o b.mid --bpm 200") == 0
    assert call("--emotion peaceful --seed 8 -o c.mid --bpm 200") == 0
    assert (work / "a.mid").read_bytes() == (work / "b.mid").read_bytes() != (work / "c.mid").read_bytes()
    assert any(message.type == "note_on" for message in mido.MidiFile(work / "a.mid"))


def test_the_raw_stream_is_the_sound_of_the_file(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")  # makes pyfluidsynth print
    words = f"--emotion peaceful --seed 7 --bpm 200 --soundfont {SOUNDFONT} --wav"
    assert call(f"{words} a.wav") == 0
    networks = ("--vae", "vae.safetensors", "--actor", "actor.safetensors")
    stream = ProgramSound(Program("melody", ours("compose", "melody", *words.split(), "-", *networks), 44100, 1))
    heard = stream.read(3 * 44100)
    stream.close()
    expected = soundfile.read(work / "a.wav", dtype="float32")[0][: 3 * 44100]
    assert np.abs(expected).max() > 0.1
    assert np.allclose(heard[:, 0], expected, atol=1e-3)


def test_a_song_and_a_way_between_emotions(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_melody(work / "song.mid", tune(4, 18), 95.0)
    assert call("--from song.mid --pitch 70 --strength 0.5 -o a.mid") == 0
    assert "wanted 70.0" in capfd.readouterr().out
    assert mido.tempo2bpm(next(m.tempo for m in mido.MidiFile(work / "a.mid") if m.type == "set_tempo")) == (
        pytest.approx(95.0, abs=0.01)
    )
    assert call("--emotion dark --morph lively --steps 3 -o b.mid") == 0
    assert "b.mid: 48 bars" in capfd.readouterr().out


def test_a_polyphonic_song_is_reduced_and_it_is_said(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_melody(work / "song.mid", tune(4, 18))
    file = mido.MidiFile(work / "song.mid")
    (track,) = file.tracks
    for message in list(track):
        if message.type in ("note_on", "note_off"):
            track.insert(track.index(message) + 1, message.copy(note=message.note - 12, time=0))
    file.save(work / "song.mid")
    assert call("--from song.mid -o a.mid") == 0
    assert "polyphonic: reduced to its top line" in capfd.readouterr().err


@pytest.fixture
def midi(work: Path) -> Callable[[str], None]:
    def make(kind: str) -> None:
        if kind == "short":
            write_melody(work / "song.mid", tune(4, 3))
        elif kind == "empty":
            write_melody(work / "song.mid", Melody((), 256))
        else:
            kinds = ("note_on", "note_off") * 64
            track = mido.MidiTrack([mido.Message(kind, channel=9, note=38, time=60) for kind in kinds])
            mido.MidiFile(tracks=[track]).save(work / "song.mid")

    return make


@pytest.mark.parametrize(
    ("kind", "words"),
    [("short", "has 3 bars; a melody here has 16"), ("empty", "has no notes"), ("drums", "drums only: no melody")],
)
def test_songs_that_are_none(
    midi: Callable[[str], None], kind: str, words: str, work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    midi(kind)
    assert call("--from song.mid --emotion dark -o a.mid") == 1
    (told,) = capfd.readouterr().err.splitlines()
    assert words in told
    assert not (work / "a.mid").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--emotion dark", "where to? give -o OUT.mid"),
        ("--emotion drak -o a.mid", "did you mean dark?"),
        ("--emotion dark --pitch 90 -o a.mid", "90 asked for: the actor has learned a mean pitch from 58 to 82"),
        ("--morph dark -o a.mid", "give --emotion too"),
        ("--emotion dark -o a.wav", "a MIDI file ends in .mid; for sound say --wav a.wav"),
        ("--emotion dark -o no/a.mid", "the folder no does not exist"),
        ("--emotion dark -o a.mid --loop", "--loop is for --midi-out"),
        ("--emotion dark --wav - --from song.mid", "goes on for ever"),
        ("--emotion dark --wav a.wav --soundfont none.sf2", "none.sf2: no such SoundFont"),
    ],
)
def test_what_cannot_be_meant(line: str, words: str, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(line) == 2
    (told,) = capfd.readouterr().err.splitlines()
    assert words in told
    if "drak" in line:
        assert all(emotion in told for emotion in EMOTIONS)
    assert not list(work.glob("a.*"))


def test_an_emotion_is_an_input(capfd: pytest.CaptureFixture[str]) -> None:
    found = choose_input("compose:격렬함:12")
    assert found.name == "compose:intense"
    for text, words in (("compose:drak", "did you mean dark?"), ("compose:dark:x", "'x' is no seed")):
        assert run_main(["--input", text, "--output", "a.wav"]) == 2
        assert words in capfd.readouterr().err


def test_train_actor_and_evaluate(
    songs: Callable[[int], Path], work: Path, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    small = "--set batch=4 --set written=2 --set hidden=8 --set real=64 --threads 1"
    line = f"compose train-actor {songs(12)} --vae vae.safetensors -o new.safetensors {small}"
    assert run_main([*line.split(), "--steps", "2"]) == 0
    assert "new.safetensors: written after 2 steps" in capfd.readouterr().out
    assert run_main([*line.split(), "--steps", "2"]) == 2
    assert "exists already" in capfd.readouterr().err
    more = line.replace("--set hidden=8", "--begin actor.safetensors --precision bf16 --overwrite")
    assert run_main([*more.split(), "--steps", "1"]) == 0
    assert run_main([*more.split(), "--steps", "1", "--set", "hidden=9"]) == 2
    assert "only settings can be --set" in capfd.readouterr().err
    line = f"compose evaluate {songs(22)} -o out --count 4 --searched 0 --pairs 1"
    assert run_main([*line.split(), "--vae", "vae.safetensors", "--actor", "new.safetensors"]) == 0
    written = {path.name for path in (work / "out").iterdir()}
    assert {f"{name}.{kind}" for name in ("steering", "interpolation") for kind in ("md", "csv", "png")} <= written
    rows = (work / "out" / "steering.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1::2]] == ["untouched", *EMOTIONS, "mean"]
    assert {row.split(",")[1] for row in rows[2:]} == {"actor", "once"}
