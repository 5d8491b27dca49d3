"""The whole program with somebody else's separator of stems, which is installed as a package of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qsep_live
from qsep_live.audio.files import open_audio, read_audio
from qsep_live.cli import offline

SOURCE = (Path(__file__).parents[1] / "models" / "bands.py").read_text("utf-8")
ROOT = str(Path(qsep_live.__file__).parents[1])
Qsep = Callable[..., Any]
Write = Callable[..., Path]
Package = Callable[..., Path]
Model = tuple[Path, str]


@pytest.fixture
def bands(separator_package: Package, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``PYTHONPATH`` is with the package installed; in this process it is there too."""
    folder = separator_package("bands", SOURCE, "Bands")
    monkeypatch.syspath_prepend(str(folder))
    return os.pathsep.join((ROOT, str(folder)))


def sound_of(folder: str, *names: str) -> list[np.ndarray]:
    return [read_audio(f"{folder}/{name}.wav")[0].astype(np.float64) for name in names]


def names_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_the_program_itself_finds_and_runs_it(spawn: Qsep, wav: Write, bands: str) -> None:
    """Twice, in processes of their own: the same bytes."""
    source = wav("in.wav", 3.3, 48_000, subtype="FLOAT")
    for output in ("one", "two"):
        told = spawn("render", source, "-o", output, "--stems", "--model", "bands", PYTHONPATH=bands)
        assert (told.code, told.err) == (0, "")
        assert "3 files written" in told.out
    for name in ("low", "high", "rest"):
        assert Path(f"one/in/{name}.wav").read_bytes() == Path(f"two/in/{name}.wav").read_bytes()
    told = spawn("-i", source, "-o", "low.wav", "-p", "low", "--model", "bands", PYTHONPATH=bands)
    assert (told.code, told.err) == (0, "")
    assert "times real time on bands" in told.out
    assert Path("low.wav").read_bytes() == Path("one/in/low.wav").read_bytes()


@pytest.mark.parametrize("rate", [22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_all_stems_add_up_to_the_input(qsep: Qsep, wav: Write, bands: str, rate: int, channels: int) -> None:
    source = wav("in.wav", 2.9, rate, channels, subtype="FLOAT")
    assert qsep("render", source, "-o", "out", "--stems", "--model", "bands").code == 0
    assert names_in("out/in") == ["high.wav", "low.wav", "rest.wav"]
    low, high, rest = sound_of("out/in", "low", "high", "rest")
    whole = read_audio(source)[0]
    assert low.shape == high.shape == rest.shape == whole.shape
    np.testing.assert_allclose(low + high + rest, whole, atol=1e-7)
    with open_audio("out/in/low.wav") as stem:
        assert (stem.rate, stem.subtype) == (rate, "FLOAT")
    # It separates: the tone of 440 Hz is in the one, and none of it in the others.
    tone = np.exp(-2j * np.pi * 440 * np.arange(len(whole)) / rate) * 2 / len(whole)
    heard = [abs(tone @ each[:, 0]) for each in (low, high, rest)]
    assert heard[0] == pytest.approx(0.3, abs=0.01)
    assert max(heard[1:]) < 0.01
    if channels == 6:  # each pair was heard
        assert all(abs(tone @ low[:, each]) == pytest.approx(0.3, abs=0.01) for each in range(6))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_one_stem_and_the_rest_add_up_to_the_formats_step(qsep: Qsep, wav: Write, bands: str, subtype: str) -> None:
    source = wav("in.wav", 2.5, subtype=subtype)
    told = qsep("render", source, "-o", "out", "--two", "low", "--model", "bands", "--json")
    assert told.code == 0
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [(row["preset"], row["windows"], row["subtype"]) for row in rows] == [
        ("low", 2, subtype),
        ("rest", 2, subtype),
    ]
    low, rest = sound_of("out/in", "low", "rest")
    step = 2.0 ** (1 - int(subtype[4:]))
    np.testing.assert_allclose(low + rest, read_audio(source)[0], atol=1.01 * step)


def test_presets_modes_racks_and_channels(qsep: Qsep, wav: Write, bands: str) -> None:
    source = wav("in.wav", 1.5, subtype="FLOAT")
    common = ("-i", source, "--model", "bands")
    assert qsep("render", source, "-o", "out", "-p", "low,high", "--model", "bands").code == 0
    low, high = sound_of("out/in", "low", "high")
    assert qsep(*common, "-o", "both.wav", "-p", "low:1-2", "-p", "high:3-4").code == 0
    np.testing.assert_allclose(read_audio("both.wav")[0], np.hstack([low, high]), atol=1e-6)
    assert qsep(*common, "-o", "no.wav", "-p", "low", "--mode", "remove").code == 0
    np.testing.assert_allclose(read_audio("no.wav")[0], read_audio(source)[0] - low, atol=1e-6)
    Path("half.toml").write_text(
        'schema = 1\n[[effect]]\ntype = "Gain"\nname = "half"\n[effect.parameters]\ngain_db = -6.0206\n'
    )
    assert qsep(*common, "-o", "half.wav", "-p", "low", "--rack", "half.toml").code == 0
    np.testing.assert_allclose(read_audio("half.wav")[0], 0.5 * low, atol=1e-4)
    assert qsep(*common, "-o", "fast.wav", "-p", "low", "--fast").code == 0
    fast = read_audio("fast.wav")[0]
    np.testing.assert_allclose(fast, low, atol=1e-3)
    assert not np.array_equal(fast, low.astype(np.float32))
    assert qsep(*common, "-o", "short.wav", "-p", "low", "--duration", "0.5s").code == 0
    assert read_audio("short.wav")[0].shape == (22_050, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-i", "in.wav", "-o", "out.wav", "-p", "lw"], ["bands", "high, low", "Did you mean 'low'"]),
        (["-i", "in.wav", "-o", "out.wav"], ["'vocals'", "low, high"]),
        (["-i", "in.wav", "-o", "out.wav", "-p", "low", "--delay", "25ms"], ["--delay", "bands"]),
        (["-i", "in.wav", "-o", "out.wav", "-p", "low", "--window", "128"], ["--window", "bands"]),
        (["-i", "in.wav", "-o", "out.wav", "-p", "low", "--rack", "gone.toml"], ["gone.toml"]),
        (["-p", "low"], ["bands", "only files"]),
        (["render", "in.wav", "-p", "low", "--delay", "25ms"], ["--delay", "bands"]),
        (["render", "in.wav", "--two", "lo"], ["high, low"]),
        (["render", "in.wav", "--two", "rest"], ["rest"]),
        (["render", "in.wav", "--stems", "--two", "low"], ["--stems", "--two"]),
        (["render", "in.wav", "--stems", "-p", "low"], ["--stems", "--preset"]),
        (["render", "in.wav", "--two", "low", "--mode", "remove"], ["--two", "--mode"]),
        (["demo"], ["bands", "only files"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_meant_is_one_line(
    qsep: Qsep, wav: Write, bands: str, work: Path, arguments: list[str], words: list[str]
) -> None:
    wav("in.wav", 0.2)
    qsep(*arguments, "--model", "bands").fails(2, *words)
    assert [path.name for path in work.iterdir()] == ["in.wav"]


def test_a_name_of_no_model_says_how_to_add_one(qsep: Qsep, wav: Write) -> None:
    source = wav("in.wav", 0.2)
    for arguments in (["-i", source, "-o", "out.wav"], ["render", source], ["demo"], ["--no-midi"]):
        qsep(*arguments, "--model", "htdemuks").fails(
            2, "'htdemuks'", "qsep-live models list", "qsep-live models add htdemuks"
        )


WRONG = {
    "import": ('raise RuntimeError("no licence\\nfile")', "no licence"),
    "spec": ("class Bands:\n    spec = 3\n", "spec"),
    "name": (SOURCE.replace('name="bands"', 'name="other"'), "'other'"),
    "load": (SOURCE.replace("self._exact = exact", 'raise OSError("weights are gone")'), "weights are gone"),
    "shape": (SOURCE.replace("return np.stack([low,", "return np.stack([low, low,"), "shape (3, 2, 64000)"),
    "nan": (SOURCE.replace("0.5 * (window", "np.nan * (window"), "NaN"),
    "fails": (SOURCE.replace("spectrum = np", "spectrum = nothing_such"), "nothing_such"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_broken_package_is_one_line(spawn: Qsep, wav: Write, separator_package: Package, kind: str) -> None:
    source, word = WRONG[kind]
    path = os.pathsep.join((ROOT, str(separator_package("bands", source, "Bands"))))
    sound = wav("in.wav", 0.3)
    for arguments in (("-i", sound, "-o", "out.wav", "-p", "low"), ("render", sound, "-p", "low")):
        spawn(*arguments, "--model", "bands", PYTHONPATH=path).fails(1, "bands", word)
    assert not Path("out.wav").exists()
    assert not Path("separated").exists()


def test_stems_of_the_own_network_add_up_in_one_pass(
    qsep: Qsep, wav: Write, tiny_model: Model, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_file import save_preset

    random = np.random.default_rng(3)
    for name in ("vocals", "drums", "bass"):
        save_preset(Preset(name, random.standard_normal(32).astype(np.float32), tiny_model[1]), home / "presets")
    source = wav("in.wav", 2.0, 48_000, subtype="FLOAT")
    asked: list[tuple[int, ...]] = []
    given = offline.TimedNetwork.__call__

    def counted(self: offline.TimedNetwork, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
        asked.append(z.shape)
        return given(self, magnitude, z)

    monkeypatch.setattr(offline.TimedNetwork, "__call__", counted)
    assert qsep("render", source, "-o", "out", "--stems", "--model", tiny_model[0]).code == 0
    assert set(asked) == {(3, 32)}
    names = ("vocals", "drums", "bass", "other")
    assert names_in("out/in") == sorted(f"{name}.wav" for name in names)
    stems = sound_of("out/in", *names)
    assert all(np.abs(stem).max() > 0.01 for stem in stems)
    np.testing.assert_allclose(sum(stems), read_audio(source)[0], atol=1e-7)
    assert qsep("render", source, "-o", "two", "--two", "one", "--model", tiny_model[0]).code == 0
    np.testing.assert_allclose(sum(sound_of("two/in", "one", "rest")), read_audio(source)[0], atol=1e-7)


def test_a_part_that_exists_already_keeps_all_of_them_from_being_written(qsep: Qsep, wav: Write, bands: str) -> None:
    source = wav("in.wav", 0.3)
    Path("out/in").mkdir(parents=True)
    Path("out/in/high.wav").write_text("mine")
    qsep("render", source, "-o", "out", "--stems", "--model", "bands").fails(1, "high.wav", "exists already")
    assert names_in("out/in") == ["high.wav"]
    assert qsep("render", source, "-o", "out", "--stems", "--model", "bands", "--overwrite").code == 0
    assert len(names_in("out/in")) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(
    start: Callable[..., Any], wav: Write, separator_package: Package, work: Path, number: signal.Signals
) -> None:
    """While the network is at work on a later window, and the first stems are on the disk already."""
    wait = "        __import__('time').sleep(0.2 if window.any() else 0)\n"
    slow = SOURCE.replace("        spectrum = np", f"{wait}        spectrum = np")
    path = os.pathsep.join((ROOT, str(separator_package("bands", slow, "Bands"))))
    process = start("render", wav("in.wav", 60.0), "-o", "out", "--stems", "--model", "bands", PYTHONPATH=path)
    until = time.monotonic() + 60
    while not (parts := list((work / "out").rglob("*.part"))) or min(part.stat().st_size for part in parts) < 4096:
        assert time.monotonic() < until, process.communicate()
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (out, err.splitlines()) == ("", ["qsep-live: interrupted"])
    assert [path.name for path in work.iterdir()] == ["in.wav"]


def test_fast_is_for_files(qsep: Qsep) -> None:
    qsep("--fast", "--no-midi").fails(2, "--fast", "files")
