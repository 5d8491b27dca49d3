from __future__ import annotations

import json
from pathlib import Path

import pytest

from qsep_live.errors import QsepError, UsageError
from qsep_live.training.checkpoint import Progress, State, save_state
from qsep_live.training.figures import draw_figures
from qsep_live.training.run_folder import RunFolder

SETTINGS = {"losses.kl": 0.01, "optimiser.clip": float("inf"), "mixing.gain": (0.25, 1.25)}


def claim(path: Path, recipe: str = "paper", seed: int = 0, warm: str = "", **settings: object) -> bool:
    """Whether the run was there, before it was claimed."""
    identity = (recipe, {**SETTINGS, **settings}, seed, warm)
    there = RunFolder(path).check(*identity)
    RunFolder(path).claim(*identity)
    return there


def test_a_folder_is_made_and_known_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    assert not RunFolder(path).check("paper", SETTINGS, 0, "")
    assert not path.exists(), "to look is not to make"
    assert not claim(path)
    assert not claim(path), "nothing is saved yet"
    save_state(State({}, Progress(3)), RunFolder(path).state)
    assert claim(path)
    assert json.loads((path / "run.json").read_text())["recipe"] == "paper"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"recipe": "shipped"}, "holds a run of recipe 'paper', not 'shipped'"),
        ({"losses.kl": 0.02}, "losses.kl is 0.01 there and 0.02 here"),
        ({"mixing.gain": (0.5, 1.25)}, "mixing.gain is [0.25, 1.25] there and [0.5, 1.25] here"),
        ({"new": 1}, "new is None there and 1 here"),
        ({"seed": 4}, "seed is 0 there and 4 here"),
        ({"warm": "abcd"}, "warm_start is  there and abcd here"),
    ],
)
def test_another_run_is_refused_and_left_as_it_is(tmp_path: Path, other: dict, words: str) -> None:
    claim(tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(UsageError) as caught:
        claim(tmp_path, **other)
    assert words in str(caught.value)
    assert "another --output" in str(caught.value)
    assert (tmp_path / "run.json").read_bytes() == before


def test_what_is_no_folder_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UsageError, match="a file; give --output a folder"):
            claim(path)
    (tmp_path / "old").mkdir()
    save_state(State({}, Progress()), tmp_path / "old" / "state.safetensors")
    with pytest.raises(UsageError, match=r"without its run\.json"):
        claim(tmp_path / "old")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    with pytest.raises(QsepError, match=r"run\.json: cannot be read"):
        claim(tmp_path / "bad")
    (tmp_path / "bad" / "run.json").write_text("[]")
    with pytest.raises(UsageError, match="another version"):
        claim(tmp_path / "bad")


def test_the_log_keeps_what_each_row_has(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.rows() == []
    rows = [{"step": 1.0, "total": 0.123456}, {"step": 20_000_000.0, "total": None, "sdr_vocals": -1.5}]
    folder.write_log(rows)
    assert folder.log.read_text().splitlines() == ["step,total,sdr_vocals", "1,0.123456,", "20000000,,-1.5"]
    assert folder.rows() == [{"step": 1.0, "total": 0.123456, "sdr_vocals": None}, rows[1]]
    folder.write_log(folder.rows())
    assert folder.rows()[1] == rows[1]


def test_figures_show_what_there_is(tmp_path: Path) -> None:
    assert draw_figures([], tmp_path) == []
    rows = [{"step": float(step), "total": 1.0 / step, "learning_rate": 1e-3, "minutes": 0.1} for step in (1, 2)]
    assert [path.name for path in draw_figures(rows, tmp_path)] == ["losses.png"]
    rows.append({"step": 3.0, "sdr_vocals": 4.0, "sdr_drums": float("nan")})
    assert [path.name for path in draw_figures(rows, tmp_path)] == ["losses.png", "sdr.png"]
