from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from qsep_live.errors import UsageError
from qsep_live.training.checkpoint import load_state
from qsep_live.training.distributed import ALONE, Ranks, choose_device, ranks_from_environment

TOLERANCE = 1e-5
"""Two ranks add up gradients in another order than one process does; so far apart may weights be after four steps."""


def stems(root: Path) -> Path:
    time = np.arange(3 * 22_050) / 22_050
    for number, name in enumerate(("vocals", "drums", "bass", "other")):
        (root / "song").mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "song" / f"{name}.wav", 0.3 * np.sin(2 * np.pi * 200 * 3**number * time), 22_050)
    return root


def without_effect(key: str) -> bool:
    """A bias before an instance norm: its gradient is rounding and nothing else, which Adam makes a full step of."""
    return ".query_net.conv." in key and key.endswith(".bias")


def test_two_ranks_are_one_rank_with_the_whole_batch(tmp_path: Path) -> None:
    """Real processes, as torchrun starts them (gloo); then one process goes on with what two have saved."""
    small = ["separator.widths=4,8", "query_net.channels=2,2,2,2,2,2", "query_net.gru_units=4", "train_query=true",
             "mixing.anchors=0", "losses.latent=0.5", "optimiser.muon=0", "separator.attention=0"]  # fmt: skip
    # Muon reckons in bfloat16, which makes much of rounding; what ranks have to agree on are the gradients. A key's
    # bias in attention has no effect, and gets a full step of Adam's.
    common = ["-m", "qsep_live", "train", "--recipe", "shipped", "--stems", stems(tmp_path / "stems"), "--batch", "4",
              "--set", "learning_rate=0.01", "--threads", "1", "--workers", "0",
              "--latent-segments", "1", *(word for each in small for word in ("--set", each))]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*command: object) -> str:
        line = [sys.executable, *map(str, command)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=250, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def weights(name: str) -> dict[str, torch.Tensor]:
        return dict(load_state(tmp_path / name / "state.safetensors").tensors)

    alone = run(*common, "--steps", 4, "-o", tmp_path / "one")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    told = run(*torchrun, *common, "--steps", 4, "-o", tmp_path / "two")
    one, two = weights("one"), weights("two")
    assert one.keys() == two.keys()
    compared = [key for key in one if key.startswith(("model.", "averaged.")) and not without_effect(key)]
    assert len(compared) > 60
    for key in compared:
        value = one[key]
        torch.testing.assert_close(two[key], value, rtol=0, atol=TOLERANCE, msg=key)
    assert told.count("model.safetensors: fingerprint") == 1, "only the first rank prints"
    assert [line.split(",")[0] for line in told.splitlines()[:1]] == ["recipe shipped"]
    assert "2 processes" in told
    assert "2 processes" not in alone
    run(*common, "--steps", 5, "-o", tmp_path / "two")
    assert load_state(tmp_path / "two" / "state.safetensors").progress.step == 5


_ENDING = """
import os
from pathlib import Path
import torch
from qsep_live.training.distributed import joined, ranks_from_environment

def threads():
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]

def step(ranks):
    wrapped = ranks.wrap(torch.nn.Linear(3, 3))
    wrapped(torch.ones(2, 3)).sum().backward()
    ranks.share("ended")

ranks = ranks_from_environment()
with joined(ranks):
    step(ranks)
    assert any("gloo" in name for name in threads()), threads()
assert not any("gloo" in name for name in threads()), threads()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the threads of a process are listed in /proc")
def test_the_threads_of_the_group_end_with_it(tmp_path: Path) -> None:
    """One of them was sometimes at work when the interpreter was gone, which aborted a rank that had done its part."""
    script = tmp_path / "ending.py"
    script.write_text(_ENDING)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *torchrun, script], capture_output=True, text=True, timeout=250, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_the_parts_of_a_batch() -> None:
    parts = [Ranks(rank, 3).part(6) for rank in range(3)]
    assert parts == [(0, 2), (2, 2), (4, 2)]
    assert ALONE.part(7) == (0, 7)
    with pytest.raises(UsageError, match=r"batch of 7 cannot be shared by 3 processes.*multiple of 3"):
        Ranks(0, 3).part(7)


def test_alone_nothing_is_asked_of_others() -> None:
    assert ALONE.highest([1.0, -2.0]) == [1.0, -2.0]
    assert ALONE.share("x") == "x"
    module = torch.nn.Linear(1, 1)
    assert ALONE.wrap(module) is module
    assert ALONE.first
    assert not Ranks(1, 2).first


def test_the_environment_that_torchrun_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert ranks_from_environment() == ALONE
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert ranks_from_environment() == ALONE, "no torchrun: nowhere to meet"
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    assert ranks_from_environment() == Ranks(5, 8, 1, 4)


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="no cuda device here: give --device cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="2 processes and 1 GPUs: give torchrun --nproc-per-node 1"):
        choose_device("auto", Ranks(1, 2, 1, 2))
