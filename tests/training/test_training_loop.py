from __future__ import annotations

import csv
import math
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from qsep_live.nets.model import Model, load_model, save_model
from qsep_live.training.data import CLASSES, Bank
from qsep_live.training.loop import LoopConfig, Trainer
from qsep_live.training.losses import LossConfig
from qsep_live.training.mixing import Mixer, MixingConfig
from qsep_live.training.recipe import RECIPES

MIXING = MixingConfig(keep=0.75, single_target=1.0)
CONFIG = LoopConfig(minutes=1000.0, batch=2, learning_rate=1e-2, losses=LossConfig(latent_every=4), mixing=MIXING)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def state(model: Model) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v.clone() for n, m in model.modules().items() for k, v in m.state_dict().items()}


def steps(trainer: Trainer, count: int, seed: int = 0) -> list[float]:
    torch.manual_seed(seed)
    mixer = Mixer(trainer._banks, trainer.config.mixing, seed)
    return [trainer._one(mixer.batch(trainer.config.batch))[0] for _ in range(count)]


def test_a_few_steps_separate_better(model: Model, stem_bank: Bank, tmp_path: Path) -> None:
    """On the same pairs, with the latents that the same seed draws, before and after."""
    trainer = Trainer(model, [stem_bank], stem_bank, CONFIG, tmp_path / "run")
    losses = steps(trainer, 40)
    assert all(math.isfinite(loss) for loss in losses)
    assert trainer.step == 40
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_the_averaged_weights_follow(model: Model, stem_bank: Bank, tmp_path: Path) -> None:
    """Exponentially, with a decay that grows from a fresh start: (1 + n) / (10 + n), at most ``ema``."""
    trainer = Trainer(model, [stem_bank], stem_bank, CONFIG, tmp_path / "run")
    expected = state(trainer.averaged)
    assert all(torch.equal(value, state(model)[key]) for key, value in expected.items())
    for step in (1, 2, 3):
        steps(trainer, 1, seed=step)
        decay = (1 + step) / (10 + step)
        for key, value in state(trainer.model).items():
            expected[key] = decay * expected[key] + (1 - decay) * value
    for key, value in state(trainer.averaged).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-6)
        assert not trainer.averaged.separator.training


def test_a_run_goes_on_where_it_was_saved(model: Model, another_model: Model, stem_bank: Bank, tmp_path: Path) -> None:
    first = Trainer(model, [stem_bank], stem_bank, CONFIG, tmp_path / "run")
    steps(first, 6)
    first.seconds = 123.5
    first.save()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["state.safetensors"], "no half file is left"
    second = Trainer(another_model, [stem_bank], stem_bank, CONFIG, tmp_path / "run")
    assert (second.step, second.seconds) == (6, 123.5)
    for one, other in ((first.model, second.model), (first.averaged, second.averaged)):
        for key, value in state(one).items():
            assert torch.equal(value, state(other)[key]), key
    # The optimiser's moments count too: the same batches lead both to the same weights.
    assert steps(first, 4, seed=9) == steps(second, 4, seed=9)
    for key, value in state(first.model).items():
        assert torch.equal(value, state(second.model)[key]), key


def test_the_rate_warms_up_and_then_falls_with_the_time_used(model: Model, stem_bank: Bank, tmp_path: Path) -> None:
    trainer = Trainer(model, [stem_bank], stem_bank, CONFIG, tmp_path / "run")

    def rate(step: int, share: float) -> float:
        trainer.step, trainer.seconds = step, 60_000.0 * share
        steps(trainer, 1)
        return trainer._optimiser.param_groups[0]["lr"] / CONFIG.learning_rate

    assert rate(0, 0.0) == pytest.approx(0.01)
    assert rate(49, 0.0) == pytest.approx(0.5)
    assert rate(500, 0.0) == pytest.approx(1.0)
    assert rate(500, 0.5) == pytest.approx(0.505)
    assert rate(500, 1.0) == pytest.approx(0.01)
    assert rate(500, 2.0) == pytest.approx(0.01)


def test_run_trains_validates_logs_and_saves(
    model: Model, another_model: Model, stem_bank: Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    valid = Bank(stem_bank.songs[-1:])
    assert set(valid.songs[0].stems) == set(CLASSES)
    folder = tmp_path / "run"
    config = LoopConfig(minutes=1.0, until=0.01, batch=1, losses=LossConfig(latent_every=2), mixing=MIXING)
    trainer = Trainer(model, [stem_bank], valid, config, folder)
    trainer.run()
    assert trainer.step > 0
    assert trainer.seconds >= 0.6
    rows = list(csv.DictReader((folder / "log.csv").open()))
    assert [int(row["step"]) for row in rows] == [trainer.step]
    assert all(math.isfinite(float(value)) for value in rows[0].values())
    assert {f"sdr_{name}" for name in CLASSES} < set(rows[0])
    assert f"step={trainer.step} " in capsys.readouterr().out
    further = LoopConfig(minutes=1.0, until=0.02, batch=1, losses=LossConfig(latent_every=2), mixing=MIXING)
    second = Trainer(another_model, [stem_bank], valid, further, folder)
    assert second.step == trainer.step
    second.run()
    assert second.step > trainer.step
    assert len(list(csv.DictReader((folder / "log.csv").open()))) == 2
    finished = Trainer(another_model, [stem_bank], valid, further, folder)
    finished.run()
    assert finished.step == second.step, "the time is used up"


def test_what_was_trained_can_be_loaded(model: Model, stem_bank: Bank, tmp_path: Path) -> None:
    trainer = Trainer(model, [stem_bank], stem_bank, CONFIG, tmp_path / "run")
    steps(trainer, 3)
    trainer.averaged.card = {"recipe": "test", "steps": trainer.step}
    path = tmp_path / "model.safetensors"
    mark = save_model(trainer.averaged, path)
    loaded = load_model(path)
    assert loaded.fingerprint == mark
    assert loaded.card == {"recipe": "test", "steps": 3}
    assert loaded.separator.config == model.separator.config
    for key, value in state(trainer.averaged).items():
        torch.testing.assert_close(state(loaded)[key], value, rtol=2e-3, atol=1e-6)


def test_recipes_build_networks_that_fit_together() -> None:
    for name, recipe in RECIPES.items():
        assert recipe.separator.latent == recipe.query_net.latent == 32, name
        assert recipe.batch > 0
    paper = RECIPES["paper"]
    assert (paper.losses.reconstruction, paper.losses.kl, paper.losses.latent) == (10.0, 0.01, 0.5)
    assert (paper.mixing.keep, paper.mixing.gain, paper.mixing.coherent) == (0.5, (0.25, 1.25), 0.0)
    assert (paper.batch, paper.learning_rate) == (5, 2e-4)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_memory_is_kept_where_the_c_library_can() -> None:
    code = "from qsep_live.training.memory import keep_freed_memory as keep; print(keep())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True"
