from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import pytest

Qsep = Callable[..., Any]
SOUNDFONTS = [Path("/usr/share/sounds/sf2") / name for name in ("TimGM6mb.sf2", "FluidR3_GM.sf2")]


@pytest.fixture(scope="module")
def soundfont() -> Path:
    pytest.importorskip("fluidsynth", reason="needs pyfluidsynth and FluidSynth (Debian: libfluidsynth3)")
    for path in SOUNDFONTS:
        if path.is_file():
            return path
    pytest.skip("needs a General MIDI SoundFont (Debian: apt-get install timgm6mb-soundfont)")


def song(path: Path, program: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = [mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=240)]
    mido.MidiFile(tracks=[mido.MidiTrack([mido.Message("program_change", program=program), *notes])]).save(path)
    return path


def test_a_batch(qsep: Qsep, work: Path, soundfont: Path) -> None:
    song(work / "midi" / "a.mid", 0)
    song(work / "midi" / "deeper" / "b.MIDI", 40)
    (work / "midi" / "c.mid").write_bytes(b"no MIDI")
    (work / "midi" / "readme.txt").write_text("")
    line = ["slakh", "render", "midi", "-s", soundfont, "-o", "out", "--split", "validation", "--rate", "22050"]
    told = qsep(*line)
    assert told.code == 1
    assert told.err.splitlines() == ["qsep-live: error: midi/c.mid: damaged or no MIDI file (it ends too early)"]
    lines = told.out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("out/validation/Track00001: a.mid, 1 stems, ")
    assert lines[1].startswith("out/validation/Track00002: b.MIDI, 1 stems, ")

    (work / "midi" / "c.mid").unlink()
    told = qsep(*line)
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[0] == "out/validation/Track00001: there already, from a.mid"
    assert sorted(path.name for path in (work / "out" / "validation").iterdir()) == ["Track00001", "Track00002"]


def test_json(qsep: Qsep, work: Path, soundfont: Path) -> None:
    song(work / "a.mid")
    told = qsep("slakh", "render", "a.mid", "--soundfont", soundfont, "-o", "out", "--json", "--jobs", 1)
    assert told.code == 0
    (made,) = map(json.loads, told.out.splitlines())
    assert (made["type"], made["midi"], made["track"], made["stems"]) == ("result", "a.mid", "out/train/Track00001", 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a.mid", "-s", "none.sf2", "-o", "out"], 2, "none.sf2: no such SoundFont"),
        (["a.mid", "-s", "near.sf", "-o", "out"], 2, "near.sf: no such SoundFont (did you mean near.sf2?)"),
        (["a.mid", "-s", "near.sf2", "-o", "out"], 1, "near.sf2: damaged or no SoundFont (.sf2, .sf3)"),
        (["a.mid", "-s", "cut.sf2", "-o", "out"], 1, "cut.sf2: truncated: 30,000 of "),
        (["a.mid", "-s", "bad.sf2", "-o", "out"], 1, "bad.sf2: damaged or no SoundFont (.sf2, .sf3)"),
        (["a.mid", "-s", "folder", "-o", "out"], 2, "folder: there is no SoundFont (.sf2, .sf3) in this folder"),
        (["folder", "-s", "near.sf2", "-o", "out"], 2, "folder: there is no MIDI file"),
        (["a.mid", "-s", "near.sf2", "-o", "a.mid"], 2, "a.mid is a file; give a folder"),
        (["a.mid", "-s", "near.sf2", "-o", "out", "--rate", "192k"], 2, "8000 to 96000 Hz"),
        (["a.mid", "-s", "near.sf2", "-o", "out", "--split", "dev"], 2, "'train', 'validation', 'test'"),
        (["a.mid", "-o", "out"], 2, "--soundfont"),
        (["-s", "near.sf2", "-o", "out"], 2, "MIDI..."),
        (["none.mid", "-s", "whole.sf2", "-o", "out"], 1, "none.mid: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line(
    qsep: Qsep, work: Path, soundfont: Path, arguments: list[str], code: int, words: str
) -> None:
    song(work / "a.mid")
    (work / "folder").mkdir()
    (work / "near.sf2").write_bytes(b"no SoundFont")
    (work / "bad.sf2").write_bytes(b"RIFF\4\0\0\0sfbk")
    with soundfont.open("rb") as file:
        (work / "cut.sf2").write_bytes(file.read(30_000))
    (work / "whole.sf2").symlink_to(soundfont)
    qsep("slakh", "render", *arguments).fails(code, words)
    assert not (work / "out").exists()


@pytest.mark.parametrize("package", ["mido", "pyloudnorm", "fluidsynth"])
def test_a_package_that_is_missing(
    qsep: Qsep, work: Path, soundfont: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qsep_live.audio import synth

    synth._library.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, package, None)
    named = {"fluidsynth": "pyfluidsynth"}.get(package, package)
    song(work / "a.mid")
    told = qsep("slakh", "render", "a.mid", "-s", soundfont, "-o", "out")
    monkeypatch.undo()
    synth._library.cache_clear()
    assert told.code in (1, 2)
    assert f"the {named} package: pip install 'qsep-live[train]'" in told.err
    assert len(told.err.splitlines()) == 1
