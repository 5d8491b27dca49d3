"""Everything that can be wrong with what a user names: one line, the right exit code, and no file half written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Make = Callable[[Path, Path], list[str]]


def _song(work: Path) -> Path:
    from qsep_live.audio.writer import write_audio

    return write_audio(work / "song.wav", np.zeros((4410, 2), np.float32), 44100)


def _file(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def make(work: Path) -> Path:
        path = work / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def _truncated(work: Path) -> Path:
    song = _song(work)
    path = work / "cut.wav"
    path.write_bytes(song.read_bytes()[:9000])
    return path


def _truncated_model(work: Path, model: Path) -> Path:
    path = work / "cut.safetensors"
    path.write_bytes(model.read_bytes()[:-1000])
    return path


def _altered_model(work: Path, model: Path) -> Path:
    content = bytearray(model.read_bytes())
    content[-100] ^= 0xFF
    path = work / "altered.safetensors"
    path.write_bytes(content)
    return path


#: name, (work, model) → arguments behind those of a good run (which they override), exit code, words.
CASES: list[tuple[str, Callable[[Path, Path], list[object]], int, list[str]]] = [
    ("unknown preset", lambda w, m: ["--preset", "onne"], 2, ["onne", "one", "Did you mean 'one'"]),
    ("preset of another model", lambda w, m: ["--preset", "stranger"], 2, ["stranger", "abababab", "presets new"]),
    ("two presets", lambda w, m: ["--preset", "one,two"], 2, ["one preset", "presets blend", "render"]),
    ("missing input", lambda w, m: ["--input", w / "sonk.wav"], 1, ["sonk.wav", "no such file", "song.wav"]),
    ("input is a folder", lambda w, m: ["--input", w], 1, ["folder"]),
    ("empty input", lambda w, m: ["--input", _file("empty.wav", b"")(w)], 1, ["empty.wav", "empty"]),
    ("input without sound", lambda w, m: ["--input", _no_frames(w)], 1, ["no sound"]),
    ("text as input", lambda w, m: ["--input", _file("text.wav", "la la la")(w)], 1, ["text.wav", "not a sound file"]),
    ("truncated input", lambda w, m: ["--input", _truncated(w)], 1, ["cut.wav", "truncated"]),
    ("missing folder", lambda w, m: ["--output", w / "no" / "out.wav"], 2, ["out.wav", "folder", "does not exist"]),
    ("unknown file type", lambda w, m: ["--output", w / "out.m4a"], 2, ["m4a", "wav, flac"]),
    ("output is the input", lambda w, m: ["--output", w / "song.wav"], 2, ["is the input"]),
    ("output is the input, surely", lambda w, m: ["--output", w / "song.wav", "--overwrite"], 2, ["is the input"]),
    ("output exists", lambda w, m: ["--output", _file("old.wav", "old")(w)], 2, ["exists already", "--overwrite"]),
    ("missing model", lambda w, m: ["--model", w / "no.safetensors"], 1, ["no.safetensors"]),
    ("text as model", lambda w, m: ["--model", _file("m.safetensors", "model")(w)], 1, ["not a qsep-live checkpoint"]),
    ("truncated model", lambda w, m: ["--model", _truncated_model(w, m)], 1, ["cut.safetensors"]),
    ("altered model", lambda w, m: ["--model", _altered_model(w, m)], 1, ["altered.safetensors", "fingerprint"]),
    ("missing rack", lambda w, m: ["--rack", w / "rack.toml"], 2, ["rack.toml"]),
    ("unreadable rack", lambda w, m: ["--rack", _file("rack.toml", "schema = \n")(w)], 2, ["rack.toml:1", "TOML"]),
    ("unknown effect", lambda w, m: ["--rack", _file("r.toml", _REVERP)(w)], 2, ["Reverp", "Reverb"]),
    ("delay out of range", lambda w, m: ["--delay", "3s"], 2, ["3000.0 ms", "0 ms to 2.5 s"]),
    ("no such device", lambda w, m: ["--device", "mps"], 2, ["mps", "cpu"]),
    ("rate offline", lambda w, m: ["--rate", "48000"], 2, ["--rate", "live"]),
    ("midi offline", lambda w, m: ["--midi", "nano"], 2, ["--midi", "live"]),
    ("no midi offline", lambda w, m: ["--no-midi"], 2, ["--no-midi", "live"]),
    ("record offline", lambda w, m: ["--record", "take.wav"], 2, ["--record", "live"]),
]
_REVERP = 'schema = 1\n[[effect]]\ntype = "Reverp"\n'


def _no_frames(work: Path) -> Path:
    from qsep_live.audio.writer import write_audio

    return write_audio(work / "none.wav", np.zeros((0, 2), np.float32), 44100)


@pytest.mark.parametrize(("make", "code", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_offline(
    qsep: Callable[..., Any],
    work: Path,
    tiny_model: tuple[Path, str],
    make: Callable[[Path, Path], list[object]],
    code: int,
    words: list[str],
) -> None:
    good = ["--input", _song(work), "--output", work / "out.wav", "--preset", "one", "--model", tiny_model[0]]
    bad = make(work, tiny_model[0])
    if bad[0] == "--preset":
        good = [word for word in good if word not in ("--preset", "one")]
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    told = qsep(*good, *bad)
    told.fails(code, *words)
    assert told.out == ""
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--preset", "onne"], 2, ["onne"]),
        (["--preset", "stranger"], 2, ["stranger"]),
        (["--delay", "9s"], 2, ["9000.0 ms"]),
        (["--delay", "centred"], 2, ["centred"]),
        (["--input", "gone.wav"], 1, ["gone.wav", "no such file"]),
        (["--record", "no/take.wav"], 2, ["no/take.wav", "folder"]),
        (["--record", "take.xyz"], 2, [".xyz", "wav"]),
        (["--mapping", "gone.toml"], 2, ["gone.toml"]),
        (["--mapping", "bad.toml"], 2, ["bad.toml:2", "controll"]),
        (["--rack", "gone.toml"], 2, ["gone.toml"]),
        (["--model", "gone.safetensors"], 1, ["gone.safetensors"]),
        (["--midi", "nano", "--no-midi"], 2, ["--midi", "--no-midi"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else str(value),
)
def test_live_is_refused_before_anything_is_started(
    qsep: Callable[..., Any], work: Path, tiny_model: tuple[Path, str], monkeypatch: pytest.MonkeyPatch,
    more: list[str], code: int, words: list[str],
) -> None:  # fmt: skip
    from qsep_live.engine.session import LiveSession

    def start(_session: LiveSession) -> None:
        raise AssertionError("a session was started")

    monkeypatch.setattr(LiveSession, "start", start)
    (work / "bad.toml").write_text("schema = 1\n[[controll]]\ncc = 1\n")
    good = ["--model", tiny_model[0], "--preset", "one"]
    if "--preset" in more:
        good = good[:2]
    qsep(*good, *more).fails(code, *words)
    assert [path.name for path in work.iterdir()] == ["bad.toml"]


def test_json_errors_are_told_on_both_streams(qsep: Callable[..., Any], work: Path) -> None:
    import json

    told = qsep("--input", "gone.wav", "--output", "out.wav", "--json")
    told.fails(1, "gone.wav")
    (line,) = told.out.splitlines()
    assert json.loads(line)["type"] == "error"
    assert "gone.wav" in json.loads(line)["text"]


def test_without_devices_live_says_what_to_do(spawn: Callable[..., Any], tiny_model: tuple[Path, str]) -> None:
    from qsep_live.engine.endpoint import Endpoint

    name = "no device has such a name"
    assert Endpoint.parse(name).is_device
    told = spawn("--model", tiny_model[0], "--preset", "one", "--output", name, "--input", "demo", "--no-midi")
    assert told.code in (1, 2)
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith("qsep-live: error: ")
    assert "audio output device" in told.err
