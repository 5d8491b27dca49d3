from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import dump_preset, save_preset
from qsep_live.latent.watch import PresetWatch

MODEL = "0123456789abcdef" * 4


def preset(name: str, value: float, model: str = MODEL) -> Preset:
    return Preset(name, np.full(32, value, np.float32), model, name)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [save_preset(preset(name, 0.0), tmp_path) for name in ("one", "two")]


@pytest.fixture
def watch(paths: list[Path]) -> PresetWatch:
    return PresetWatch([preset("one", 0.0), preset("two", 0.0)], paths)


def looks(watch: PresetWatch) -> list[str]:
    """Two: the first sees the change, the second that it is over."""
    return watch.look() + watch.look()


def test_nothing_changed_is_no_news(watch: PresetWatch, paths: list[Path]) -> None:
    assert looks(watch) == []
    os.utime(paths[0], (1, 1))
    assert looks(watch) == []


def test_an_edited_file_is_read_again(watch: PresetWatch, paths: list[Path], tmp_path: Path) -> None:
    save_preset(preset("two", 2.0), tmp_path)
    assert watch.look() == []
    (line,) = watch.look()
    assert line == f"{paths[1]}: read again"
    assert [float(each.latent[0]) for each in watch.presets] == [0.0, 2.0]
    assert looks(watch) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("schema = 1\nlatent = [0.5,"),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.write_text(""),
        lambda path: path.unlink(),
        lambda path: path.write_text(dump_preset(preset("one", 3.0, "f" * 64))),
    ],
    ids=["cut off", "no text", "empty", "gone", "another model"],
)
def test_a_broken_file_leaves_its_preset_until_it_is_mended(
    watch: PresetWatch, paths: list[Path], tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(paths[0])
    (line,) = looks(watch)
    assert line.endswith("one stays as it was")
    assert "\n" not in line
    assert looks(watch) == []
    assert watch.presets[0] == preset("one", 0.0)
    paths[0].write_text(dump_preset(preset("one", 0.0)))
    assert looks(watch) == [f"{paths[0]}: reads well again"]
    paths[0].write_text(dump_preset(preset("one", 4.0)))
    assert looks(watch) == [f"{paths[0]}: read again"]
    assert watch.presets[0] == preset("one", 4.0)


def test_a_file_that_is_being_written_is_left_alone(watch: PresetWatch, paths: list[Path]) -> None:
    text = dump_preset(preset("one", 5.0))
    with paths[0].open("w") as file:
        for start in range(0, len(text), 40):
            file.write(text[start : start + 40])
            file.flush()
            assert watch.look() == []
    assert looks(watch) == [f"{paths[0]}: read again"]
