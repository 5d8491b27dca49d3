from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_callback_rows(spawn: Callable[..., Any], tiny_model: tuple[Path, str]) -> None:
    told = spawn("bench", "callback", "--model", tiny_model[0], "--blocksize", "512", "--seconds", "0.5", "--json")
    assert (told.code, told.err) == (0, "")
    without, with_masks = [json.loads(line) for line in told.out.splitlines()]
    assert (without["mask"], with_masks["mask"]) == (False, True)
    for row in (without, with_masks):
        assert row["blocksize"] == 512
        assert 0 < row["median"] <= row["p99"] <= row["p999"]


def test_mask_rows(spawn: Callable[..., Any], tiny_model: tuple[Path, str]) -> None:
    arguments = ("--threads", "1", "--repeats", "2", "--window", "64", "--window", "128", "--json")
    told = spawn("bench", "mask", "--model", tiny_model[0], *arguments)
    assert told.code == 0, told.err
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert {row["type"] for row in rows} == {"mask"}
    assert all(row["median"] > 0 for row in rows)
    work = {row["frames"]: row["operations"] for row in rows}
    assert work[128] == pytest.approx(2 * work[64], rel=0.05)


def test_a_hop_of_models_side_by_side(spawn: Callable[..., Any], tiny_model: tuple[Path, str], work: Path) -> None:
    import torch

    from qsep_live.nets.band_stream import BandStream, BandStreamConfig
    from qsep_live.nets.model import Model, save_model
    from qsep_live.nets.query_net import QueryNet, QueryNetConfig

    torch.manual_seed(0)
    network = BandStream(BandStreamConfig(width=8, shared=1, steered=1))
    save_model(Model(network, QueryNet(QueryNetConfig(channels=(2,) * 6, gru_units=4))), work / "kept.safetensors")
    told = spawn("bench", "hop", "kept.safetensors", tiny_model[0], "--repeats", "4", "--presets", "1", "--json")
    assert told.code == 0, told.err
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [(row["model"], row["kept"]) for row in rows] == [("default", False), ("kept", True), ("tiny", False)]
    assert all(0 < row["median"] <= row["p95"] for row in rows)
    table = spawn("bench", "hop", "kept.safetensors", "--repeats", "4").out
    assert "% of default with 4 presets" in table
    spawn("bench", "hop", "nowhere.safetensors").fails(1, "nowhere.safetensors")


def test_startup(spawn: Callable[..., Any]) -> None:
    told = spawn("bench", "startup")
    assert (told.code, told.err) == (0, "")
    assert [line.split()[0] for line in told.out.splitlines()] == ["python", "help"]


@pytest.fixture
def stems(tiny_model: tuple[Path, str], work: Path, home: Path) -> Path:
    """A song, and presets of the tiny model for its stems."""
    import numpy as np
    import soundfile

    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_file import save_preset

    random = np.random.default_rng(0)
    folder = work / "songs" / "one"
    folder.mkdir(parents=True)
    for name in ("vocals", "drums", "bass", "other"):
        save_preset(Preset(name, random.standard_normal(32).astype(np.float32), tiny_model[1], ""), home / "presets")
        soundfile.write(folder / f"{name}.wav", 0.1 * random.standard_normal((22_050, 2)), 22_050)
    return folder.parent


def test_delay_writes_the_frontier(qsep: Callable[..., Any], tiny_model: tuple[Path, str], stems: Path) -> None:
    arguments = ("--model", tiny_model[0], "--period", "0.2s", "--mark", "23ms", "--mark", "0.1s")
    told = qsep("bench", "delay", "--stems", stems, *arguments, "-o", "out")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert lines[0] == "# SDR against delay"
    assert sum("| this machine |" in line for line in lines) == 3
    assert {path.name for path in Path("out").iterdir()} == {
        "delay.md", "delay.csv", "delay.png", "delay-tracks.csv", "tiny.frontier.json",
    }  # fmt: skip


def test_gains_compares_ways_at_equal_delay(
    qsep: Callable[..., Any], tiny_model: tuple[Path, str], stems: Path
) -> None:
    arguments = ("--model", tiny_model[0], "--period", "0.3s", "--mark", "0")
    told = qsep("bench", "gains", "--stems", stems, *arguments, "-o", "out")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert lines[0] == "# Gains at equal delay"
    assert [line.split(" | ")[0] for line in lines if " | 0.0 | " in line] == [
        "| as the dial has it", "| newest gains held", "| newest gains' own trend", "| attack 10 ms, release 40 ms",
        "| look-ahead filter", "| minimum phase",
    ]  # fmt: skip
    assert {path.name for path in Path("out").iterdir()} == {"gains.md", "gains.csv", "gains-tracks.csv"}
    qsep("bench", "gains", "--model", tiny_model[0]).fails(2, "--musdb DIR or --stems DIR")


def test_delay_has_to_know_where_the_songs_are(qsep: Callable[..., Any]) -> None:
    qsep("bench", "delay").fails(2, "--musdb DIR or --stems DIR")
    qsep("bench", "delay", "--stems", ".", "--period", "50ms", "--mark", "3s").fails(2, "out of range")
    qsep("bench", "delay", "--stems", ".", "--mark", "0.5s", "--window", "64").fails(2, "up to 372 ms, not 500 ms")


def test_a_missing_model_is_one_line(qsep: Callable[..., Any]) -> None:
    for name in ("mask", "callback", "memory", "live"):
        qsep("bench", name, "--model", "gone.safetensors").fails(1, "gone.safetensors")
