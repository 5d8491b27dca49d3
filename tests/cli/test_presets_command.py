from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qsep_live
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import load_preset, save_preset
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


BANDS = '''
"""A separator of another package: what lies below 1 kHz, and the rest."""

import numpy as np

from qsep_live.models.spec import SeparatorSpec


class Bands:
    spec = SeparatorSpec(
        name="bands", fingerprint="00ba", rate=44100, channels=2, carrier="stems", latent=3, windows=(32768, 8192),
        hop=1024, stems=("low", "high", "nothing"),
    )

    def __init__(self, device="auto", threads=1, exact=True):
        assert threads >= 1

    def warm_up(self, window):
        pass

    def __call__(self, window):
        assert window.shape == (2, 32768) and window.dtype == np.float32
        spectrum = np.fft.rfft(window)
        spectrum[:, round(1000 / 44100 * window.shape[1]) :] = 0.0
        low = np.fft.irfft(spectrum, window.shape[1])
        return np.stack([low, window - low, np.zeros_like(low)]).astype(np.float32)
'''


@pytest.fixture
def bands(tmp_path: Path, spawn: Qsep) -> Qsep:
    """``qsep-live`` where another package, installed as pip leaves one, brings the separator ``bands``."""
    site = tmp_path / "site"
    about = site / "bands_for_qsep-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "bands_for_qsep.py").write_text(BANDS)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bands-for-qsep\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[qsep_live.separators]\nbands = bands_for_qsep:Bands\n")
    path = os.pathsep.join([str(site), str(Path(qsep_live.__file__).parents[1])])

    def call(*arguments: object) -> Any:
        return spawn(*arguments, PYTHONPATH=path)

    return call


def tones(path: Path, low: float, high: float, seconds: float, channels: int, rate: int) -> Path:
    from qsep_live.audio.writer import write_audio

    time = np.arange(round(seconds * rate)) / rate
    sound = low * np.sin(2 * np.pi * 220 * time) + high * np.sin(2 * np.pi * 5000 * time)
    return write_audio(path, np.repeat(sound[:, None], channels, axis=1).astype(np.float32), rate)


def test_new_with_a_model_that_gives_stems_is_the_root_of_their_shares_of_the_energy(
    bands: Qsep, home: Path, work: Path
) -> None:
    tones(work / "a.wav", 0.4, 0.3, 3.0, 2, 44100)
    tones(work / "b.wav", 0.4, 0.3, 1.1, 1, 48000)
    told = bands("presets", "new", "both", "-q", "a.wav", "-q", "b.wav", "--model", "bands", "--description", "Two.")
    assert (told.code, told.err) == (0, "")
    assert "both from 2 queries: low 64 %, high 36 %" in told.out
    made = load_preset(home / "presets" / "both.toml")
    assert (made.stems, made.model, made.description) == (("low", "high"), "", "Two.")
    np.testing.assert_allclose(made.latent, [0.8, 0.6], atol=2e-3)
    assert made.provenance["queries"] == ["a.wav", "b.wav"]
    assert made.provenance["model"] == "bands"
    assert made.provenance["seconds"] == pytest.approx(4.1)

    shown = bands("presets", "show", "both")
    assert "low 64 %, high 36 %" in shown.out
    assert "low 1.000, high 0.75" in shown.out
    values = json.loads(bands("presets", "show", "both", "--json").out)
    assert (values["model"], values["stems"]) == (None, ["low", "high"])

    listed = bands("presets", "list", "--model", "bands")
    assert (listed.code, listed.err) == (0, "")
    rows = {tuple(line.split()[:2]): line for line in listed.out.splitlines()[1:]}
    assert rows["both", "yours"].split()[2:6] == ["yes", "stems", "low,", "high"]
    assert rows["low", "model"].split()[2:4] == ["yes", "stems"]
    assert rows["one", "yours"].split()[2:5] == ["no", "latent", "of"]
    assert rows["vocals", "bundled"].split()[2] == "no"


def test_blend_between_stems(bands: Qsep, home: Path) -> None:
    told = bands("presets", "blend", "half", "--between", "low", "high", "--model", "bands")
    assert (told.code, told.err) == (0, "")
    half = load_preset(home / "presets" / "half.toml")
    assert half.stems == ("low", "high")
    np.testing.assert_allclose(half.latent, np.sqrt([0.5, 0.5]), atol=1e-6)
    assert bands("presets", "blend", "more", "--between", "low", "half", "--model", "bands").code == 0
    # Presets of stems from files need no model.
    assert bands("presets", "blend", "last", "--between", "half", "more").code == 0
    assert load_preset(home / "presets" / "last.toml").stems == ("low", "high")


def test_blend_joins_presets_that_name_different_stems(qsep: Qsep, wav: Write, home: Path) -> None:
    for stem in ("drums", "bass"):
        save_preset(Preset(f"my-{stem}", np.ones(1), stems=(stem,)), home / "presets")
    assert qsep("presets", "blend", "rhythm", "--between", "my-drums", "my-bass").code == 0
    rhythm = load_preset(home / "presets" / "rhythm.toml")
    assert rhythm.stems == ("drums", "bass")
    np.testing.assert_allclose(rhythm.latent, np.sqrt([0.5, 0.5]), atol=1e-6)
    qsep("presets", "blend", "x", "--between", "my-drums", "one").fails(2, "my-drums", "one", "one kind")
    # The own network takes latents.
    qsep("-i", wav("a.wav"), "-o", "b.wav", "-p", "rhythm").fails(
        2, "rhythm", "weights of stems (drums, bass)", "latent"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["new", "low", "-q", "a.wav", "--model", "bands"], 2, ["'low'", "already"]),
        (["new", "x", "-q", "silence.wav", "--model", "bands"], 1, ["silent"]),
        (["new", "x", "-q", "gone.wav", "--model", "bands"], 1, ["gone.wav"]),
        (["new", "x", "-q", "a.wav", "--model", "band"], 2, ["band", "qsep-live models list"]),
        (
            ["blend", "x", "--between", "low", "one", "--model", "bands"],
            2,
            ["'one' is a latent of", "bands", "low, high"],
        ),
        (["blend", "x", "--between", "low", "hihg", "--model", "bands"], 2, ["for bands", "Did you mean 'high'?"]),
        (["blend", "x", "--between", "low", "high", "--model", "band"], 2, ["band", "no model of this name"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_bad_input_with_a_model_that_gives_stems(
    bands: Qsep, home: Path, work: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    tones(work / "a.wav", 0.4, 0.3, 1.0, 2, 44100)
    tones(work / "silence.wav", 0.0, 0.0, 1.0, 2, 44100)
    before = sorted(path.name for path in (home / "presets").iterdir())
    bands("presets", *arguments).fails(code, *words)
    assert sorted(path.name for path in (home / "presets").iterdir()) == before
