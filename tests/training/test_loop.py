from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError
from qsep_live.nets.model import Model, load_model
from qsep_live.training import loop
from qsep_live.training.data import CLASSES, Bank, Song
from qsep_live.training.loop import Ending, LoopConfig, Scores, Trainer
from qsep_live.training.losses import objective
from qsep_live.training.mixing import Mixer
from qsep_live.training.run_folder import RunFolder
from qsep_live.training.schedule import Budget, Every
from qsep_live.training.settings import Settings, settings_of

SETTINGS = settings_of("paper").changed(
    ["separator.widths=2,2,2,2,2,2", "separator.input_power=0.5", "separator.final_adain=false",
     "separator.adain_offset=true", "query_net.channels=2,2,2,2,2,2", "query_net.gru_units=8",
     "query_net.input_power=0.5", "mixing.keep=0.75", "mixing.single_target=1", "losses.latent_every=4",
     "schedule.kind=cosine", "schedule.warmup=2", "learning_rate=0.02", "optimiser.clip=5"]
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread; figures are drawn where a test looks at them."""
    torch.set_num_threads(1)
    if not request.node.get_closest_marker("usefixtures"):
        monkeypatch.setattr(loop, "draw_figures", lambda *_: [])


@pytest.fixture
def figures() -> None:
    """Draw them."""


HERTZ = (1200, 7000, 90, 3000)


def tones() -> Bank:
    """Each class has a register of its own, so that a small network can tell them apart."""
    time = np.arange(4 * MODEL_RATE) / MODEL_RATE
    sounds = {name: 9000 * np.sin(2 * np.pi * hertz * time) for name, hertz in zip(CLASSES, HERTZ, strict=True)}
    return Bank((Song("song", {name: sound[None].astype(np.int16) for name, sound in sounds.items()}),))


class Lines:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.shares: list[float] = []

    def line(self, text: str) -> None:
        self.told.append(text)

    def advance(self, share: float, text: str) -> None:
        self.shares.append(share)


class Marks:
    """An examiner that gives the scores it is told to, in turn."""

    def __init__(self, *scores: float) -> None:
        self._scores = iter(scores)
        self.seen: list[Model] = []

    def examine(self, model: Model) -> Scores:
        self.seen.append(model)
        return Scores({"vocals": next(self._scores), "drums": math.nan}, {"vocals": np.zeros(32, np.float32)}, 3)

    def card(self, progress: Any, scores: Scores) -> dict[str, Any]:
        return {"steps": progress.step, "sdr": scores.sdr}


def trainer(
    path: Path, steps: int, seed: int = 0, examiner: Any = None, settings: Settings = SETTINGS, **more: Any
) -> Trainer:
    torch.manual_seed(seed)
    folder = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    recipe = settings.recipe
    config = LoopConfig(
        more.pop("budget", Budget(steps=steps)), 1, recipe.learning_rate, recipe.losses, settings.optimiser,
        settings.schedule, workers=0, **more,
    )  # fmt: skip
    return Trainer(settings.networks(), Mixer([tones()], recipe.mixing, 0), config, folder, Lines(), examiner)


def state(model: Model) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v.clone() for n, m in model.modules().items() for k, v in m.state_dict().items()}


def same(one: Model, other: Model) -> bool:
    mine, theirs = state(one), state(other)
    return all(torch.equal(value, theirs[key]) for key, value in mine.items())


def after(count: int) -> Callable[[], Ending | None]:
    """A wish to stop after so many steps."""
    calls = iter(range(10**6))
    return lambda: Ending.INTERRUPTED if next(calls) >= count else None


def test_training_separates_better(tmp_path: Path) -> None:
    """The same pairs and the same noise, before and after, in dB."""
    settings = SETTINGS.changed(["losses.kind=sdr", "losses.reconstruction=1", "losses.latent_every=1000"])
    found = trainer(tmp_path, 24, settings=settings, log_every=Every(steps=8))
    drawn = replace(found._draw, size=6).at(10**6)

    def error(model: Model) -> float:
        with torch.no_grad():
            return objective(model, drawn, settings.recipe.losses, 1, drawn.noise).reconstruction

    before = error(found.model)
    assert found.run() is Ending.DONE
    assert error(found.model) < before - 1.0
    assert [row["step"] for row in found.folder.rows()] == [8, 16, 24]
    assert found.reporter.shares[-1] == 1.0


@pytest.mark.parametrize(("workers", "muon"), [(0, 0.0), (1, 0.95)])
def test_stopped_and_resumed_is_the_same_run_to_the_bit(tmp_path: Path, workers: int, muon: float) -> None:
    """The whole run, and the run in two parts of which the second begins with other networks."""
    settings = SETTINGS.changed([f"optimiser.muon={muon}"])
    whole = trainer(tmp_path / "whole", 6, settings=settings)
    assert whole.run() is Ending.DONE
    first = trainer(tmp_path / "parts", 6, settings=settings)
    assert first.run(after(2)) is Ending.INTERRUPTED
    assert first.progress.step == 2
    second = trainer(tmp_path / "parts", 6, seed=5, settings=settings)
    second.config = replace(second.config, workers=workers)
    assert second.progress.step == 2
    assert second.run() is Ending.DONE
    assert same(whole.model, second.model)
    assert same(whole.averaged, second.averaged)
    assert not same(whole.model, first.model)


def test_killed_between_two_states_is_the_same_run_too(tmp_path: Path) -> None:
    """What was done after the last state is done again, and is in the log once."""
    every = {"log_every": Every(steps=1), "save_every": Every(steps=2)}
    whole = trainer(tmp_path / "whole", 5, **every)
    whole.run()
    killed = trainer(tmp_path / "killed", 5, **every)
    calls = iter(range(100))

    def kill() -> None:
        if next(calls) == 3:
            raise SystemError("the plug")

    with pytest.raises(SystemError, match="the plug"):
        killed.run(kill)
    assert (killed.progress.step, len(killed.folder.rows())) == (3, 3)
    second = trainer(tmp_path / "killed", 5, seed=5, **every)
    assert second.progress.step == 2
    second.run()
    assert same(whole.model, second.model)
    assert [row["step"] for row in second.folder.rows()] == [1, 2, 3, 4, 5]
    for mine, theirs in zip(whole.folder.rows(), second.folder.rows(), strict=True):
        assert mine["total"] == theirs["total"]


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    trainer(tmp_path, 2).run()
    again = trainer(tmp_path, 2, seed=3)
    before = state(again.model)
    assert again.run() is Ending.DONE
    assert again.progress.step == 2
    assert all(torch.equal(value, before[key]) for key, value in state(again.model).items())


def test_a_budget_of_time_ends_too(tmp_path: Path) -> None:
    found = trainer(tmp_path, 0, budget=Budget(seconds=0.3))
    assert found.run() is Ending.DONE
    assert found.progress.seconds >= 0.3
    assert found.progress.step > 0


def test_the_averaged_weights_follow(tmp_path: Path) -> None:
    """Exponentially, with a decay that grows from a fresh start: (1 + n) / (10 + n)."""
    found = trainer(tmp_path, 3)
    expected = state(found.averaged)
    assert same(found.averaged, found.model)
    for step in (1, 2, 3):
        found.run(after(1))
        decay = (1 + step) / (10 + step)
        for key, value in state(found.model).items():
            expected[key] = decay * expected[key] + (1 - decay) * value
    for key, value in state(found.averaged).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("figures")
def test_the_best_weights_are_kept_as_well_as_the_last(tmp_path: Path) -> None:
    marks = Marks(1.0, 3.0, 2.0)
    found = trainer(tmp_path, 3, examiner=marks, validate_every=Every(steps=1))
    found.run()
    best = load_model(found.folder.best)
    assert best.card == {"steps": 2, "sdr": {"vocals": 3.0, "drums": pytest.approx(math.nan, nan_ok=True)}}
    assert same(best, marks.seen[1])
    assert not same(best, found.finished())
    assert found.progress.best == 3.0
    assert [row["sdr_vocals"] for row in found.folder.rows()] == [1.0, 3.0, 2.0]
    assert sum("the best so far" in line for line in found.reporter.told) == 2
    for name in ("losses.png", "sdr.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_best_score_outlives_a_stop(tmp_path: Path) -> None:
    every = {"validate_every": Every(steps=1)}
    trainer(tmp_path, 2, examiner=Marks(5.0), **every).run(after(1))
    second = trainer(tmp_path, 2, examiner=Marks(4.0), **every)
    assert second.progress.best == 5.0
    second.run()
    assert load_model(second.folder.best).card["steps"] == 1


def test_a_run_that_ends_between_validations_is_validated_at_its_end(tmp_path: Path) -> None:
    marks = Marks(1.0)
    trainer(tmp_path, 2, examiner=marks).run()
    assert len(marks.seen) == 1
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [(row["step"], row["sdr_vocals"]) for row in rows] == [("2", "1")]
    trainer(tmp_path, 2, examiner=marks).run()
    assert len(marks.seen) == 1, "a finished run is not validated again"


def test_bf16_trains_as_well_and_is_not_fp32(tmp_path: Path) -> None:
    short, full = (trainer(tmp_path / name, 2, precision=name) for name in ("bf16", "fp32"))
    short.run()
    full.run()
    assert all(value.dtype == torch.float32 for value in state(short.model).values())
    assert not same(short.model, full.model)
    ours, theirs = short.folder.rows()[0]["total"], full.folder.rows()[0]["total"]
    assert ours == pytest.approx(theirs, rel=0.05)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_saved(tmp_path: Path) -> None:
    found = trainer(tmp_path, 6, save_every=Every(steps=2))
    found.run(after(2))
    saved = found.folder.state.read_bytes()
    weight = next(found.model.separator.parameters())
    with torch.no_grad():
        weight.view(-1)[0] = math.nan
    with pytest.raises(QsepError, match=r"step 3: the loss \(total\) is nan; the state saved last is kept in .*--lr"):
        found.run()
    assert found.folder.state.read_bytes() == saved


def test_a_state_of_other_networks_is_one_line(tmp_path: Path) -> None:
    trainer(tmp_path, 1).run()
    other = SETTINGS.changed(["query_net.gru_units=4"])
    with pytest.raises(QsepError, match="is of other networks") as caught:
        trainer(tmp_path, 1, settings=other)
    assert "\n" not in str(caught.value)
