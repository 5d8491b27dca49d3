from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.compose import preset_retrain
from qsep_live.compose.emotions import EMOTIONS
from qsep_live.latent.preset_file import load_preset

Qsep = Callable[..., Any]
Model = tuple[Path, str]


@pytest.fixture
def song(work: Path) -> Path:
    """Four seconds of stereo: plucked tones at two a second over noise."""
    import soundfile

    rng = np.random.default_rng(3)
    time = np.arange(4 * 22050) / 22050
    tone = np.sin(2 * np.pi * 440.0 * time) * np.exp(-8.0 * (time % 0.5))
    sound = np.stack([tone, 0.5 * tone], axis=1) + 0.05 * rng.standard_normal((len(time), 2))
    soundfile.write(work / "song.wav", (0.4 * sound).astype(np.float32), 22050)
    return work / "song.wav"


def retrain(qsep: Qsep, model: Model, *more: object, name: str = "one", emotion: str = "bright") -> Any:
    return qsep("presets", "retrain", name, "--emotion", emotion, "-o", "made", "--model", model[0], *more)


def test_it_makes_a_preset_and_says_what_changed(
    qsep: Qsep, tiny_model: Model, home: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_retrain, "ROUNDS", 4)
    told = retrain(qsep, tiny_model, "--audio", song, "--json", emotion="밝음")
    assert (told.code, told.err) == (0, "")
    values = json.loads(told.out)
    made, old = load_preset(home / "presets" / "made.toml"), load_preset(home / "presets" / "one.toml")
    assert made.model == tiny_model[1]
    assert made.provenance["method"] == "actor-critic"
    assert made.provenance["emotion"] == "bright"
    assert made.provenance["audio"] == ["song.wav"]
    asked, got = (np.array([values[key]["pitch"] / 12, values[key]["density"]]) for key in ("asked", "got"))
    assert np.linalg.norm(asked - got) <= np.linalg.norm(asked)
    assert values["after"]["structure"] <= values["allowed"]
    assert values["allowed"] == pytest.approx(max(values["limit"], values["before"]["structure"]))
    assert np.log2(made.provenance["pitch_after"] / made.provenance["pitch_before"]) == pytest.approx(got[0], abs=1e-3)
    assert not np.array_equal(made.latent, old.latent)
    latent = made.latent
    told = retrain(qsep, tiny_model, "--audio", song, "--overwrite")
    np.testing.assert_array_equal(load_preset(home / "presets" / "made.toml").latent, latent)
    words = told.out.split()
    assert {"pitch", "density", "structure"} <= set(words)
    assert ("less real" in told.out) == (values["after"]["structure"] > values["limit"])
    short = values["short"]
    assert ("bright is not reached" in told.out) == any(short.values())


def test_strength_0_moves_nothing(
    qsep: Qsep, tiny_model: Model, home: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_retrain, "ROUNDS", 1)
    assert retrain(qsep, tiny_model, "--audio", song, "--strength", "0").code == 0
    folder = home / "presets"
    np.testing.assert_array_equal(load_preset(folder / "made.toml").latent, load_preset(folder / "one.toml").latent)


def test_a_comparison_asks_each_method_as_much(
    qsep: Qsep, tiny_model: Model, home: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_retrain, "ROUNDS", 2)
    asked: list[int] = []
    whole = preset_retrain.Listener.ask

    def ask(self: Any, latents: Any) -> Any:
        asked.append(len(latents))
        return whole(self, latents)

    monkeypatch.setattr(preset_retrain.Listener, "ask", ask)
    told = qsep(
        "presets", "compare", "one,two", "--emotions", "밝음", "--audio", song, "--model", tiny_model[0], "-o", "out"
    )
    assert told.code == 0, told.err
    assert told.out == Path("out/presets.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in told.out.splitlines() if line.startswith("| ")][2:]
    methods = ["actor-critic", "gradient", "random"]
    assert [row[:3] for row in rows[:-3]] == [[name, "bright", method] for name in ("one", "two") for method in methods]
    assert all(float(row[7]) >= 0.0 for row in rows[:-3])  # nothing is taken that does not come nearer
    assert sum(asked) % 6 == 0
    assert asked.count(1) == 2 * 2 * preset_retrain.PROPOSALS
    assert not (home / "presets" / "made.toml").exists()


def test_an_unknown_emotion_lists_the_nine(qsep: Qsep, tiny_model: Model) -> None:
    retrain(qsep, tiny_model, emotion="brihgt").fails(2, "did you mean bright", *EMOTIONS)


def test_a_preset_of_another_model(qsep: Qsep, tiny_model: Model) -> None:
    retrain(qsep, tiny_model, name="stranger").fails(2, "stranger", "abababab")


def test_a_name_that_is_taken(qsep: Qsep, tiny_model: Model) -> None:
    qsep("presets", "retrain", "one", "--emotion", "dark", "-o", "two", "--model", tiny_model[0]).fails(
        2, "--overwrite"
    )


@pytest.mark.parametrize(("samples", "words"), [(44100, "is silent"), (500, "shorter than a frame"), (0, "")])
def test_audio_of_which_nothing_can_be_heard(
    qsep: Qsep, tiny_model: Model, home: Path, work: Path, samples: int, words: str
) -> None:
    import soundfile

    soundfile.write(work / "odd.wav", np.zeros((samples, 2), np.float32), 22050)
    retrain(qsep, tiny_model, "--audio", work / "odd.wav").fails(1, "odd.wav", words)
    assert not (home / "presets" / "made.toml").exists()
