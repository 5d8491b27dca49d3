from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from qsep_live.training.recipe import RECIPES

QUICK = ["--recipe", "paper", "--batch", 1, "--threads", 1, "--workers", 0, "--latent-segments", 1]
for setting in ("separator.widths=2,2,2,2,2,2", "query_net.channels=2,2,2,2,2,2", "query_net.gru_units=4"):
    QUICK += ["--set", setting]


@pytest.fixture
def stems(work: Path) -> Path:
    time = np.arange(3 * 22_050) / 22_050
    for number, name in enumerate(("vocals", "drums", "bass", "other")):
        path = work / "stems" / "song" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * 200 * 3**number * time), 22_050)
    return work / "stems"


def test_the_recipes_are_listed_with_what_is_in_them(qsep: Callable[..., Any]) -> None:
    told = qsep("train", "--recipe", "list")
    assert (told.code, told.err) == (0, "")
    lines = {line.split()[0]: line.split() for line in told.out.splitlines() if line.strip()}
    assert lines["SETTING"][1:] == list(RECIPES)
    paper = 1 + list(RECIPES).index("paper")
    assert lines["losses.reconstruction"][paper] == "10.0"
    assert lines["learning_rate"][paper] == "0.0002"
    assert lines["schedule.kind"][paper] == "steps"
    assert lines["optimiser.betas"][paper] == "0.5,0.999"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "run", "--steps", 1], ["nothing to train on", "--musdb DIR", "--stems DIR"]),
        (["--stems", "stems", "--steps", 1], ["--output"]),
        (["--stems", "stems", "-o", "run", "--recipe", "shiped"], ["'shiped'", "did you mean 'shipped'"]),
        (["--stems", "stems", "-o", "run", "--recipe", "shipped"], ["--minutes N or --steps N"]),
        (
            ["--stems", "stems", "-o", "run", "--recipe", "shipped", "--steps", "1"],
            ["keeps the Query-net as it is", "--warm-start", "--recipe query"],
        ),
        (
            ["--stems", "stems", "-o", "run", "--steps", "1", "--set", "train_query=true"],
            ["mixing.anchors is 3", "a Query-net that stays as it is"],
        ),
        (["--stems", "stems", "-o", "run", "--steps", 1, "--minutes", 1], ["--minutes and --steps"]),
        (["--stems", "stems", "-o", "run", "--steps", 1, "--set", "loses.kl=1"], ["did you mean 'losses.kl'"]),
        (["--stems", "nowhere", "-o", "run", "--steps", 1, *QUICK], ["nowhere", "no such folder"]),
        (["--stems", "stems", "-o", "run", "--validate-every", "soon"], ["--validate-every", "10m, 90s, or 500"]),
        (["--stems", "stems", "-o", "run", "--steps", 1, "--warm-start", "no.safetensors"], ["no.safetensors"]),
        (["--stems", "stems", "-o", "stems/song/bass.wav", "--steps", 1, *QUICK], ["bass.wav is a file"]),
    ],
    ids=lambda value: " ".join(map(str, value))[:60],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line_and_makes_nothing(
    qsep: Callable[..., Any], stems: Path, work: Path, arguments: list[object], words: list[str]
) -> None:
    told = qsep("train", *arguments)
    told.fails(1 if "--warm-start" in arguments else 2, *words)
    assert not (work / "run").exists()


def test_without_validation_songs_it_trains_and_says_so(qsep: Callable[..., Any], stems: Path, work: Path) -> None:
    told = qsep("train", "--stems", stems, "-o", "run", "--steps", 1, *QUICK)
    assert told.code == 0, told.err
    assert "no validation: --stems has no validation songs of its own; give --validation DIR" in told.out
    assert (work / "run" / "model.safetensors").exists()
    assert not (work / "run" / "best.safetensors").exists()


def test_a_folder_of_another_run_is_refused(qsep: Callable[..., Any], stems: Path, work: Path) -> None:
    (work / "run").mkdir()
    (work / "run" / "run.json").write_text(json.dumps({"schema": 1, "recipe": "shipped"}))
    before = sorted(path.name for path in (work / "run").iterdir())
    told = qsep("train", "--stems", stems, "-o", "run", "--steps", 1, *QUICK)
    told.fails(2, "run holds a run of recipe 'shipped', not 'paper'", "another --output")
    assert sorted(path.name for path in (work / "run").iterdir()) == before


def test_a_stretch_ends_saved_and_the_same_command_goes_on(qsep: Callable[..., Any], stems: Path, work: Path) -> None:
    command = ["train", "--stems", stems, "-o", "run", "--steps", 3, *QUICK]
    told = qsep(*command, "--stop-after", 1e-6)
    assert told.code == 0, told.err
    assert "step 0" in told.out
    assert (work / "run" / "state.safetensors").exists()
    assert not (work / "run" / "model.safetensors").exists()
    told = qsep(*command)
    assert told.code == 0, told.err
    assert "going on with run" in told.out
    assert "model.safetensors: fingerprint" in told.out


def test_a_warm_start_begins_with_the_weights_given(qsep: Callable[..., Any], stems: Path, work: Path) -> None:
    from qsep_live.nets.model import load_model

    command = ["train", "--stems", stems, *QUICK, "--steps", 1]
    assert qsep(*command, "-o", "first").code == 0
    first = work / "first" / "model.safetensors"
    told = qsep(*command, "-o", "second", "--warm-start", first, "--lr", 1e-30, "--seed", 7)
    assert told.code == 0, told.err
    one, other = load_model(first), load_model(work / "second" / "model.safetensors")
    for mine, theirs in zip(one.separator.parameters(), other.separator.parameters(), strict=True):
        assert mine.equal(theirs)
    other_query = ["--warm-start", first, "--set", "query_net.gru_units=5"]
    told = qsep(*command, "-o", "third", *other_query)
    assert told.code == 0, told.err
    assert "query_net is another one (gru_units is 4 there and 5 here); it begins with fresh weights" in told.out
    told = qsep(*command, "-o", "fourth", *other_query, "--set", "separator.widths=2,2,2,2,2,4")
    told.fails(2, "--warm-start", "separator is another one", "query_net is another one")
    told = qsep(*command, "-o", "second", "--lr", 1e-30, "--seed", 7)
    told.fails(2, "second holds a run with other settings: warm_start is")


def test_a_warm_start_may_be_a_smaller_network(qsep: Callable[..., Any], stems: Path, work: Path) -> None:
    from qsep_live.nets.model import load_model

    small = (
        "train_query=true mixing.anchors=0 separator.widths=4,4 separator.bands=1 separator.attention=0"
        " query_net.channels=2,2,2,2,2,2 query_net.gru_units=4"
    )
    sets = [word for each in small.split() for word in ("--set", each)]
    command = [
        "train",
        "--stems",
        stems,
        "--recipe",
        "shipped",
        "--steps",
        1,
        "--threads",
        1,
        "--latent-segments",
        1,
        *sets,
    ]
    assert qsep(*command, "-o", "first").code == 0
    first = work / "first" / "model.safetensors"
    larger = ["--set", "separator.depth=2", "--set", "separator.widths=6,4"]
    told = qsep(*command, "-o", "larger", "--warm-start", first, "--lr", 1e-30, *larger)
    assert told.code == 0, told.err
    assert "fresh weights" not in told.out
    one, other = (load_model(work / run / "model.safetensors").separator.state_dict() for run in ("first", "larger"))
    assert set(one) < set(other)
    assert other["encoder.0.conv.weight"].shape == (6, 6, 3, 3)
    assert other["encoder.0.conv.weight"][:4, :4].equal(one["encoder.0.conv.weight"])
    assert other["encoder.1.conv.weight"].equal(one["encoder.1.conv.weight"])


def test_a_loss_that_is_no_number_is_one_line(qsep: Callable[..., Any], stems: Path, work: Path) -> None:
    told = qsep("train", "--stems", stems, "-o", "run", "--steps", 9, *QUICK, "--set", "losses.kl=inf")
    assert told.code == 1
    last = told.err.splitlines()[-1]
    assert last.startswith("qsep-live: error: step 1: the loss (total) is ")
    assert "nothing is saved" in last
    assert not math.isfinite(float(last.split(" is ")[1].split(";")[0]))


def test_shipping_writes_a_model_its_card_and_a_preset_for_each_class(
    qsep: Callable[..., Any], stems: Path, work: Path
) -> None:
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.nets.header import read_header

    for name, hertz in (("grand piano", 500.0), ("strings", 900.0)):
        path = stems / "other" / name / "take.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * np.arange(70_000) / 22_050), 22_050)
    command = ["train", "--stems", stems, "--validation", stems, *QUICK, "--data", "tones made by a test"]
    told = qsep(*command, "-o", "run", "--steps", 1)
    assert told.code == 0, told.err
    told = qsep("ship", "run", "-o", "out")
    assert told.code == 0, told.err
    fingerprint = read_header(work / "out" / "models" / "default.safetensors")["fingerprint"]
    assert fingerprint in told.out
    library = PresetLibrary([work / "out" / "presets"])
    assert library.names() == ["bass", "drums", "grand-piano", "other", "strings", "vocals"]
    piano = library.get("grand-piano")
    assert piano.model == fingerprint
    assert piano.provenance["class"] == "other/grand piano"
    assert piano.provenance["data"] == "tones made by a test"
    card = (work / "out" / "models" / "default.md").read_text()
    for words in (fingerprint, "1 × 1 = 1 three-second windows", "| the mixture itself |", "tones made by a test"):
        assert words in card
    qsep("ship", stems, "-o", "out").fails(2, "no best.safetensors and no model.safetensors")
