"""`qsep-live models` through the command line, with a small HTDemucs of random weights."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

SETTINGS = {
    "sources": ["drums", "bass", "other", "vocals"], "channels": 8, "bottom_channels": 32, "t_layers": 2, "t_heads": 4,
    "dconv_mode": 3,
}  # fmt: skip


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the demucs package publishes a network: a safetensors file with the class and its arguments in the header."""
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    words = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(SETTINGS)}
    save_file({name: value.half() for name, value in HTDemucs(**SETTINGS).state_dict().items()}, path, words)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A user's models folder with the model ``small``, added by the program."""
    import os
    import sys

    home = tmp_path_factory.mktemp("made")
    line = [sys.executable, "-m", "qsep_live", "models", "add", str(weights), "--as", "small", "--yes"]
    told = subprocess.run(
        line, capture_output=True, text=True, env={**os.environ, "QSEP_LIVE_HOME": str(home)}, timeout=250
    )
    assert told.returncode == 0, told.stderr
    assert "licence: Meta's weights" in told.stderr
    assert "not a file that is known" in told.stderr
    assert told.stdout.startswith("small is ready: a second of sound takes ")
    return home / "models"


@pytest.fixture
def added(made: Path, home: Path) -> Path:
    """The same in this test's own folder; the folder of ``small``."""
    shutil.copytree(made, home / "models", dirs_exist_ok=True)
    return home / "models" / "small"


def rows(told: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in map(json.loads, told.out.splitlines())}


def test_nothing_is_added_yet(qsep: Callable[..., Any]) -> None:
    found = rows(qsep("models", "list", "--json"))
    assert [*found] == ["own", "htdemucs", "htdemucs_6s", "htdemucs_ft"]
    assert [row["here"] for row in found.values()] == [True, False, False, False]
    assert "personal and research use" in found["htdemucs"]["licence"]
    assert qsep("models").out.splitlines()[0].startswith("NAME")
    assert qsep("models", "default").out == "own\n"


def test_what_was_added_is_listed_checked_and_separates(
    qsep: Callable[..., Any], added: Path, wav: Callable[..., Path]
) -> None:
    row = rows(qsep("models", "list", "--json"))["small"]
    assert row["here"]
    assert row["stems"] == ["drums", "bass", "other", "vocals"]
    assert 0.0 < row["delay"] < row["window"]
    assert qsep("models", "check", "small").out == "small: ok\n"
    source = wav("in.wav", 2.5, 48_000, subtype="FLOAT")
    told = qsep("render", source, "--model", "small", "--stems", "-o", "out")
    assert told.code == 0, told.err
    stems = [soundfile.read(path)[0] for path in sorted(Path("out/in").iterdir())]
    assert len(stems) == 4
    np.testing.assert_allclose(np.sum(stems, axis=0), soundfile.read(source)[0], atol=1e-5)
    assert qsep("-i", source, "-o", "v.wav", "--model", "small", "-p", "vocals").code == 0
    assert soundfile.info("v.wav").frames == soundfile.info(source).frames


def test_a_preset_of_stems_is_played(qsep: Callable[..., Any], added: Path, wav: Callable[..., Path]) -> None:
    (added.parents[1] / "presets" / "rhythm.toml").write_text("schema = 2\n[stems]\ndrums = 1.0\nbass = 1.0\n")
    source = wav("in.wav", 1.0, subtype="FLOAT")
    for name in ("drums", "bass", "rhythm"):
        told = qsep("-i", source, "-o", f"{name}.wav", "--model", "small", "-p", name)
        assert told.code == 0, told.err
    drums, bass, both = (soundfile.read(f"{name}.wav")[0] for name in ("drums", "bass", "rhythm"))
    np.testing.assert_allclose(both, drums + bass, atol=1e-5)
    qsep("-i", source, "-o", "x.wav", "--model", "small", "-p", "one").fails(2, "preset 'one'")


def test_the_default_is_used_for_files_until_it_is_removed(
    qsep: Callable[..., Any], added: Path, wav: Callable[..., Path]
) -> None:
    source = wav("in.wav")
    assert "separated by small" in qsep("models", "default", "small").out
    assert qsep("models", "default").out == "small\n"
    assert qsep("render", source, "--two", "vocals", "-o", "out").code == 0
    named = qsep("render", source, "--two", "vocals", "-o", "named", "--model", "small")
    assert named.code == 0
    assert Path("out/in/vocals.wav").read_bytes() == Path("named/in/vocals.wav").read_bytes()
    own = qsep("-i", source, "-o", "own.wav", "-p", "vocals", "--model", "own")
    assert own.code == 0, own.err
    assert Path("own.wav").read_bytes() != Path("out/in/vocals.wav").read_bytes()
    assert "came along again" in qsep("models", "remove", "small", "--yes").out
    assert not added.exists()
    assert qsep("models", "default").out == "own\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["add", "htdemuc"], 2, ["'htdemuc' is neither a file nor a known model", "htdemucs_ft"]),
        (["add", "weights", "--as", "../up"], 2, ["cannot name a model"]),
        (["add", "weights", "--as", "own", "--yes"], 2, ["cannot name a model"]),
        (["add", "weights"], 2, ["no terminal to answer on", "--yes"]),
        (["add", "weights", "--as", "small", "--yes"], 2, ["small is here already", "--overwrite"]),
        (["add", "text.onnx", "--yes"], 1, ["text.onnx"]),
        (["add", "half.safetensors", "--yes"], 1, ["half.safetensors"]),
        (["add", "model.th", "--yes"], 1, ["pickle"]),
        (["remove", "nobody", "--yes"], 2, ["no model nobody was added"]),
        (["remove", "small"], 2, ["--yes"]),
        (["remove", "../presets", "--yes"], 2, ["cannot name a model"]),
        (["default", "nobody"], 2, ["there is no model 'nobody' here"]),
        (["check", "nobody"], 1, ["1 of 1 models cannot be used"]),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_changes_nothing(
    spawn: Callable[..., Any], added: Path, work: Path, weights: Path, arguments: list[str], code: int,
    words: list[str],
) -> None:  # fmt: skip
    (work / "text.onnx").write_text("<html>not found</html>")
    (work / "half.safetensors").write_bytes(weights.read_bytes()[:100_000])
    (work / "model.th").write_bytes(b"PK")
    before = sorted(added.parent.rglob("*"))
    told = spawn("models", *[str(weights) if each == "weights" else each for each in arguments])
    # What is told of a model before the question is no error.
    lines = [line for line in told.err.splitlines() if line.startswith("qsep-live: error: ")]
    assert told.code == code, told.err
    assert len(lines) == 1
    assert told.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in told.err
    assert all(word in lines[0] for word in words), lines[0]
    assert sorted(added.parent.rglob("*")) == before


def test_a_damaged_model_is_named_and_hides_no_other(qsep: Callable[..., Any], added: Path) -> None:
    shutil.copytree(added, added.with_name("twin"))
    (added.with_name("twin") / "model.json").write_text("{}")
    told = qsep("models", "list", "--json")
    assert told.code == 1
    assert "twin" in told.err
    found = rows(told)
    assert "error" in found["twin"]
    assert "error" not in found["small"]
    graph = next(added.glob("*.bin"))
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    told = qsep("models", "check", "small")
    assert told.code == 1
    assert f"small: {graph.name} is not what was written" in told.out


def test_a_link_in_place_of_a_model_is_not_followed(qsep: Callable[..., Any], added: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(added, outside)
    added.with_name("linked").symlink_to(outside)
    assert qsep("models", "remove", "linked", "--yes").code != 0
    assert (outside / "model.json").exists()


def test_ctrl_c_leaves_nothing_half_made(start: Callable[..., Any], home: Path, weights: Path) -> None:
    process = start("models", "add", weights, "--as", "late", "--yes")
    for line in process.stderr:
        if line.startswith("making the graph"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert list((home / "models").iterdir()) == []


def test_a_full_disk_leaves_nothing_half_made(home: Path, work: Path, weights: Path) -> None:
    """A file system of its own, of two megabytes, in place of the models folder."""
    import os
    import sys

    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs unshare and root (a small file system of its own)")
    folder = home / "models"
    folder.mkdir(parents=True)
    script = 'mount -t tmpfs -o size=2m none "$1" && shift && exec "$@"'
    program = [sys.executable, "-m", "qsep_live", "models", "add", str(weights), "--as", "full", "--yes"]
    told = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{script}; ', "sh", str(folder), *program],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert told.returncode == 1, told.stderr
    assert "MB are free" in told.stderr.splitlines()[-1]
    assert list(folder.iterdir()) == []
