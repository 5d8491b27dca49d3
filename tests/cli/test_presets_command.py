from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.latent.preset_file import load_preset
from qsep_live.latent.slerp import slerp

Qsep = Callable[..., Any]
Write = Callable[..., Path]
Model = tuple[Path, str]


def test_list_tells_names_origin_and_fit(qsep: Qsep, tiny_model: Model) -> None:
    told = qsep("presets", "list", "--model", tiny_model[0])
    assert (told.code, told.err) == (0, "")
    rows = {line.split()[0]: line.split() for line in told.out.splitlines()[1:]}
    assert rows["one"][1:3] == ["yours", "yes"]
    assert rows["stranger"][1:3] == ["yours", "no"]
    assert rows["vocals"][1:3] == ["bundled", "no"]


def test_without_a_command_it_lists(qsep: Qsep) -> None:
    assert qsep("presets").out == qsep("presets", "list").out != ""


def test_list_as_json(qsep: Qsep, tiny_model: Model) -> None:
    told = qsep("presets", "list", "--json", "--model", tiny_model[0])
    found = {line["name"]: line for line in map(json.loads, told.out.splitlines())}
    assert found["one"]["usable"] is True
    assert found["stranger"]["usable"] is False
    assert found["vocals"]["bundled"] is True


def test_a_broken_file_is_a_warning(qsep: Qsep, home: Path) -> None:
    (home / "presets" / "broken.toml").write_text("schema = \n")
    told = qsep("presets", "list")
    assert told.code == 0
    assert "one" in told.out
    (line,) = told.err.splitlines()
    assert line.startswith("qsep-live: warning: ")
    assert "broken.toml:1" in line


def test_show(qsep: Qsep, home: Path) -> None:
    told = qsep("presets", "show", "one")
    assert told.code == 0
    assert "the preset one" in told.out
    assert str(home / "presets" / "one.toml") in told.out
    values = json.loads(qsep("presets", "show", "one", "--json").out)
    np.testing.assert_array_equal(
        np.array(values["latent"], np.float32), load_preset(home / "presets" / "one.toml").latent
    )


def test_new_is_the_mean_latent_and_says_where_it_came_from(
    qsep: Qsep, wav: Write, home: Path, tiny_model: Model
) -> None:
    from qsep_live.audio.files import read_audio
    from qsep_live.audio.resample import resample
    from qsep_live.latent.query import query_latent
    from qsep_live.nets.encode import encode
    from qsep_live.nets.model import load_model

    queries = [wav("a.wav", 5.0), wav("b.flac", 1.0, 48000, 1)]
    told = qsep(
        "presets", "new", "tone", "--query", queries[0], "--query", queries[1], "--description", "A tone.",
        "--model", tiny_model[0],
    )  # fmt: skip
    assert (told.code, told.err) == (0, "")
    made = load_preset(home / "presets" / "tone.toml")
    assert (made.model, made.description) == (tiny_model[1], "A tone.")
    assert made.provenance["queries"] == ["a.wav", "b.flac"]
    assert made.provenance["segments"] == 4
    assert "date" in made.provenance
    model = load_model(tiny_model[0])
    sounds = []
    for query in queries:
        sound, rate = read_audio(query)
        sounds.append(resample(sound.mean(axis=1, keepdims=True), rate, 22050)[:, 0])
    wanted = query_latent(lambda audio: encode(model, audio), sounds)
    np.testing.assert_allclose(made.latent, wanted.latent, atol=1e-6)
    # And it can be used.
    assert qsep("-i", queries[0], "-o", "out.wav", "-p", "tone", "--model", tiny_model[0]).code == 0


def test_blend_is_slerp(qsep: Qsep, home: Path) -> None:
    told = qsep("presets", "blend", "mix", "--between", "one", "two", "--at", "30%")
    assert (told.code, told.err) == (0, "")
    one, two, mix = (load_preset(home / "presets" / f"{name}.toml") for name in ("one", "two", "mix"))
    np.testing.assert_allclose(mix.latent, slerp(one.latent, two.latent, 0.3), rtol=1e-6)
    assert mix.provenance["between"] == ["one", "two"]
    assert mix.provenance["at"] == pytest.approx(0.3)
    assert mix.description == "one 70 % → two 30 %"


def test_remove(qsep: Qsep, home: Path) -> None:
    assert qsep("presets", "remove", "one").code == 0
    assert not (home / "presets" / "one.toml").exists()
    qsep("presets", "remove", "one").fails(2, "no preset 'one'")


def test_overwrite(qsep: Qsep, home: Path) -> None:
    arguments = ("presets", "blend", "two", "--between", "one", "two", "--at", "0")
    before = (home / "presets" / "two.toml").read_bytes()
    qsep(*arguments).fails(2, "two", "exists already", "--overwrite")
    assert (home / "presets" / "two.toml").read_bytes() == before
    assert qsep(*arguments, "--overwrite").code == 0
    table = tomllib.loads((home / "presets" / "two.toml").read_text())
    assert table["provenance"]["at"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "onne"], 2, ["onne", "one"]),
        (["remove", "vocals"], 2, ["vocals", "comes with"]),
        (["blend", "x", "--between", "one", "stranger"], 2, ["different models"]),
        (["blend", "a/b", "--between", "one", "two"], 2, ["a/b", "cannot name"]),
        (["blend", "x", "--between", "one", "two", "--at", "3"], 2, ["--at"]),
        (["new", "no way", "--query", "a.wav"], 2, ["no way"]),
        (["new", "one", "--query", "a.wav"], 2, ["one", "already"]),
        (["new", "x", "--query", "gone.wav"], 1, ["gone.wav"]),
        (["new", "x", "--query", "silence.wav"], 1, ["silent"]),
        (["new", "x", "--query", "a.wav", "--model", "gone.safetensors"], 1, ["gone.safetensors"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_bad_input(
    qsep: Qsep, wav: Write, home: Path, tiny_model: Model, arguments: list[str], code: int, words: list[str]
) -> None:
    from qsep_live.audio.writer import write_audio

    wav("a.wav")
    write_audio("silence.wav", np.zeros((44100, 1), np.float32), 44100)
    before = sorted(path.name for path in (home / "presets").iterdir())
    model = ["--model", tiny_model[0]] if arguments[0] == "new" and "--model" not in arguments else []
    qsep("presets", *arguments, *model).fails(code, *words)
    assert sorted(path.name for path in (home / "presets").iterdir()) == before
