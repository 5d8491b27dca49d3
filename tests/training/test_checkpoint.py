from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from qsep_live.errors import QsepError
from qsep_live.training.checkpoint import Progress, State, load_state, put_state, save_state, take_state
from qsep_live.training.optimiser import OptimiserConfig, follow, weights
from qsep_live.training.settings import settings_of
from qsep_live.whole_file import write_whole

SMALL = ["separator.widths=2,2,4,4,4,4", "query_net.channels=2,2,4,4,4,4", "query_net.gru_units=8"]


def parts(seed: int, muon: float = 0.0) -> tuple:
    """A model, its average and its optimiser, after one step on random gradients."""
    torch.manual_seed(seed)
    settings = settings_of("paper").changed(SMALL)
    model, averaged = settings.networks(), settings.networks()
    optimiser = OptimiserConfig(muon=muon).make(model, 1e-3)
    for weight in weights(model):
        weight.grad = torch.randn_like(weight)
    optimiser.step(1e-3)
    follow(averaged, model, 0.5)
    return model, averaged, optimiser


@pytest.mark.parametrize("muon", [0.0, 0.95])
def test_a_state_comes_back_to_the_bit(tmp_path: Path, muon: float) -> None:
    path = tmp_path / "state.safetensors"
    before, other = parts(0, muon), parts(1, muon)
    state = take_state(*before, Progress(7, 1.25, -3.5))
    save_state(state, path)
    found = load_state(path)
    assert found.progress == Progress(7, 1.25, -3.5)
    put_state(found, *other)
    again = take_state(*other, found.progress)
    assert again.tensors.keys() == state.tensors.keys()
    assert any(key.startswith("adam.0.exp_avg") for key in state.tensors)
    assert any(key.startswith("muon.0.momentum") for key in state.tensors) == (muon > 0.0)
    for key, value in state.tensors.items():
        assert torch.equal(value, again.tensors[key]), key
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "no half file is left"


def test_a_state_of_other_networks_is_refused(tmp_path: Path) -> None:
    settings = settings_of("paper").changed([*SMALL, "query_net.gru_units=4"])
    model = settings.networks()
    state = take_state(*parts(0), Progress())
    with pytest.raises(ValueError, match="Error"):
        put_state(state, model, settings.networks(), OptimiserConfig().make(model, 1e-3))


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    """A real limit on the size of files, in a process of its own; the system refuses the write half way."""
    path = tmp_path / "state.safetensors"
    save_state(State({"x": torch.arange(10.0)}, Progress(1)), path)
    before = path.read_bytes()
    code = textwrap.dedent("""
        import resource, sys, torch
        from pathlib import Path
        from qsep_live.errors import QsepError
        from qsep_live.training.checkpoint import Progress, State, save_state
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        for path in map(Path, sys.argv[1:]):
            try:
                save_state(State({"x": torch.zeros(100_000)}, Progress(2)), path)
            except QsepError as error:
                print(error)
    """)
    fresh = tmp_path / "fresh.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", code, path, fresh], capture_output=True, text=True, check=True, timeout=60
    )
    first, second = done.stdout.splitlines()
    assert first == f"{path}: could not be written: File too large; what it held before is kept"
    assert second == f"{fresh}: could not be written: File too large"
    assert path.read_bytes() == before
    assert load_state(path).progress.step == 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "the half file is removed"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match=r"nowhere/log\.csv: could not be written: No such file"):
        write_whole(tmp_path / "nowhere" / "log.csv", b"")


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_state_that_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "state.safetensors"
    save_state(take_state(*parts(0), Progress()), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(QsepError, match=r"state\.safetensors: not the state of a run .*--output") as caught:
        load_state(path)
    assert "\n" not in str(caught.value)


def test_another_safetensors_file_is_no_state(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "state.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(QsepError, match="not the state of a run"):
        load_state(path)
    with pytest.raises(QsepError, match="No such file"):
        load_state(tmp_path / "none.safetensors")
