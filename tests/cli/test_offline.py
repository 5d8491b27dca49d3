from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.audio.files import open_audio, read_audio

Qsep = Callable[..., Any]
Write = Callable[..., Path]
Model = tuple[Path, str]


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "suffix"),
    [
        (44100, 2, "PCM_16", "wav"),
        (8000, 1, "PCM_16", "wav"),
        (48000, 8, "PCM_24", "wav"),
        (22050, 1, "FLOAT", "wav"),
        (96000, 2, "PCM_24", "flac"),
        (11025, 2, "PCM_32", "aiff"),
    ],
)
def test_output_has_length_rate_channels_and_format_of_the_input(
    qsep: Qsep, wav: Write, tiny_model: Model, rate: int, channels: int, subtype: str, suffix: str
) -> None:
    source = wav(f"in.{suffix}", 1.3, rate, channels, subtype)
    told = qsep("-i", source, "-o", f"out.{suffix}", "-p", "one", "--model", tiny_model[0])
    assert (told.code, told.err) == (0, "")
    assert "times real time" in told.out
    with open_audio(source) as before, open_audio(f"out.{suffix}") as after:
        for name in ("rate", "channels", "frames", "subtype"):
            assert getattr(after, name) == getattr(before, name)
        assert np.abs(after.read()).max() > 0


def test_isolate_and_remove_add_up_to_the_input(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    source = wav("in.wav", 2.0, subtype="FLOAT")
    for mode in ("isolate", "remove"):
        told = qsep("-i", source, "-o", f"{mode}.wav", "--mode", mode, "-p", "one", "--model", tiny_model[0])
        assert told.code == 0
    whole = read_audio("isolate.wav")[0] + read_audio("remove.wav")[0]
    np.testing.assert_allclose(whole, read_audio(source)[0], atol=2e-6)


def test_the_same_bytes_every_time_and_others_for_another_preset(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    source = wav("in.wav")
    for name, preset in (("a.wav", "one"), ("b.wav", "one"), ("c.wav", "two")):
        assert qsep("-i", source, "-o", name, "-p", preset, "--model", tiny_model[0]).code == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert Path("a.wav").read_bytes() != Path("c.wav").read_bytes()


def test_dry_is_the_input_and_gain_is_in_decibels(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    source = wav("in.wav", subtype="FLOAT")
    arguments = ("-p", "one", "--model", tiny_model[0], "--wet", "0", "--gain", "-6.0206", "--delay", "40ms")
    assert qsep("-i", source, "-o", "out.wav", *arguments).code == 0
    np.testing.assert_allclose(read_audio("out.wav")[0], 0.5 * read_audio(source)[0], atol=1e-5)


def test_a_rack_is_heard_and_a_presets_own_rack_can_be_switched_off(
    qsep: Qsep, wav: Write, tiny_model: Model, home: Path
) -> None:
    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_file import load_preset, save_preset

    folder = home / "presets"
    one = load_preset(folder / "one.toml")
    save_preset(Preset("racked", one.latent, one.model, effects="half"), folder)
    half = 'schema = 1\n[[effect]]\ntype = "Gain"\n[effect.parameters]\ngain_db = -6.0206\n'
    rack = folder.parent / "half.toml"
    rack.write_text(half)
    source = wav("in.wav", subtype="FLOAT")
    common = ("-i", source, "--model", tiny_model[0], "-p")
    assert qsep(*common, "one", "-o", "plain.wav").code == 0
    assert qsep(*common, "one", "-o", "rack.wav", "--rack", rack).code == 0
    np.testing.assert_allclose(read_audio("rack.wav")[0], 0.5 * read_audio("plain.wav")[0], atol=1e-5)
    qsep(*common, "racked", "-o", "own.wav").fails(2, "half.toml")
    rack.rename(folder / "half.toml")
    told = qsep(*common, "racked", "-o", "own.wav")
    assert told.code == 0, told.err
    assert Path("own.wav").read_bytes() == Path("rack.wav").read_bytes()
    assert qsep(*common, "racked", "-o", "none.wav", "--rack", "none").code == 0
    assert Path("none.wav").read_bytes() == Path("plain.wav").read_bytes()


@pytest.mark.parametrize("channels", [1, 2])
def test_presets_at_once_are_each_the_file_of_its_own(qsep: Qsep, wav: Write, tiny_model: Model, channels: int) -> None:
    source = wav("in.wav", channels=channels, subtype="FLOAT")
    common = ("-i", source, "--model", tiny_model[0])
    for name in ("one", "two"):
        assert qsep(*common, "-p", name, "-o", f"{name}.wav").code == 0
    told = qsep(*common, "-p", "one:3-4", "-p", "two:1", "-o", "both.wav", "--json")
    assert (told.code, told.err) == (0, "")
    assert json.loads(told.out)["preset"] == "one | two"
    both, _ = read_audio("both.wav")
    one, two = read_audio("one.wav")[0], read_audio("two.wav")[0]
    np.testing.assert_allclose(both[:, 2:], np.broadcast_to(one, (len(one), 2)), atol=1e-5)
    np.testing.assert_allclose(both[:, 0], two.mean(axis=1), atol=1e-5)
    assert not both[:, 1].any()


def test_what_presets_at_once_cannot_be(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    common = ("-i", wav("in.wav", channels=6), "-o", "out.wav", "--model", tiny_model[0])
    qsep(*common, "-p", "one:1-2", "-p", "two:3-4").fails(2, "has 6 channels")
    many = [part for number in range(9) for part in ("-p", f"one:{number + 1}")]
    qsep(*common, *many).fails(2, "9 presets at once; 1 to 8")
    qsep(*common, "-p", "one:1-2", "-p", "two:3-4", "-p", "one:5", *["--rack", "none"] * 2).fails(
        2, "or 3 in the order"
    )
    qsep(*common, "-p", "one", *["--rack", "none"] * 2).fails(2, "given 2 times: give one")
    qsep(*common, "-p", "one,two:1-2", "-p", "one:3").fails(2, "not 2: blend them first")


def test_nan_in_the_input_is_silence_and_is_told(qsep: Qsep, work: Path, tiny_model: Model) -> None:
    import soundfile

    sound = np.full((20000, 2), 0.1, np.float32)
    sound[100:110] = np.nan
    sound[200, 0] = np.inf
    soundfile.write("nan.wav", sound, 44100, subtype="FLOAT")
    told = qsep("-i", "nan.wav", "-o", "out.wav", "-p", "one", "--model", tiny_model[0])
    assert told.code == 0
    assert "21 NaN or infinite samples" in told.err
    out, _ = read_audio("out.wav")
    assert out.shape == sound.shape
    assert np.isfinite(out).all()


def test_duration_takes_the_beginning(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    told = qsep("-i", wav("in.wav", 2.0), "-o", "out.wav", "-p", "one", "--model", tiny_model[0], "--duration", "500ms")
    assert told.code == 0
    assert read_audio("out.wav")[0].shape == (22050, 2)


def test_the_demo_song_is_an_input(qsep: Qsep, work: Path, tiny_model: Model) -> None:
    told = qsep(
        "-i", "demo", "-o", "out.flac", "-p", "one", "--model", tiny_model[0], "--duration", "1s", "--json",
        "--mode", "balance",
    )  # fmt: skip
    assert (told.code, told.err) == (0, "")
    (line,) = told.out.splitlines()
    result = json.loads(line)
    assert (result["type"], result["input"], result["output"]) == ("result", "demo", "out.flac")
    assert result["seconds"] == 1.0
    assert result["times_real_time"] > 0
    assert result["mode"] == "balance"


def test_frames_ahead_are_those_that_the_model_was_trained_for(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    wav("in.wav")
    arguments = ("--input", "in.wav", "--output", "out.wav", "--model", tiny_model[0], "--preset", "one")
    qsep(*arguments, "--ahead", "1").fails(2, "--ahead 1: tiny.safetensors was trained for 0 frames ahead at most")
    assert qsep(*arguments, "--ahead", "0", "--delay", "50ms").code == 0


def test_a_window_is_of_a_delay_and_as_long_as_it_needs(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    wav("in.wav")
    arguments = ("--input", "in.wav", "--output", "out.wav", "--model", tiny_model[0], "--preset", "one")
    qsep(*arguments, "--window", "64").fails(
        2, "--window 64: files have centred windows; give --delay too, up to 372ms"
    )
    qsep(*arguments, "--window", "64", "--delay", "0.5s").fails(2, "--window 64 is for delays of up to 372 ms, not 500")
    qsep(*arguments, "--window", "99", "--delay", "50ms").fails(2, "99 frames", "takes a multiple of")
    assert qsep(*arguments, "--window", "64", "--delay", "50ms").code == 0


def test_overwrite_replaces(qsep: Qsep, wav: Write, tiny_model: Model, work: Path) -> None:
    (work / "out.wav").write_text("old")
    told = qsep("-i", wav("in.wav"), "-o", "out.wav", "-p", "one", "--model", tiny_model[0], "--overwrite")
    assert told.code == 0
    assert read_audio("out.wav")[0].shape == (44100, 2)


def test_clipping_is_told(qsep: Qsep, work: Path, tiny_model: Model) -> None:
    import soundfile

    sound = np.random.default_rng(0).uniform(-0.9, 0.9, (44100, 1)).astype(np.float32)
    soundfile.write("loud.wav", sound, 44100, subtype="PCM_16")
    told = qsep("-i", "loud.wav", "-o", "out.wav", "-p", "one", "--model", tiny_model[0], "--wet", "0", "--gain", "12")
    assert told.code == 0
    assert "clipped" in told.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_rendering_leaves_nothing(
    start: Callable[..., Any], work: Path, tiny_model: Model, number: signal.Signals, code: int
) -> None:
    import soundfile

    with soundfile.SoundFile("long.wav", "w", 44100, 2) as file:
        for _ in range(900):
            file.write(np.zeros((44100, 2), np.float32))
    process = start("-i", "long.wav", "-o", "out.wav", "-p", "one", "--model", tiny_model[0])
    deadline = time.monotonic() + 100
    while not list(work.glob(".out.wav.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(work.glob(".out.wav.*")), "the rendering never began to write"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert err.splitlines() == ["qsep-live: interrupted"]
    assert process.returncode == code
    assert [path.name for path in work.iterdir()] == ["long.wav"]
