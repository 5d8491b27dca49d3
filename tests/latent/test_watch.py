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


STEMS = ("drums", "bass", "other", "vocals")


def of_stems(**weights: float) -> Preset:
    return Preset("band", np.array(list(weights.values())), stems=tuple(weights))


def test_a_preset_of_stems_is_read_again_in_the_models_order(tmp_path: Path) -> None:
    path = save_preset(of_stems(vocals=1), tmp_path)
    watch = PresetWatch([of_stems(vocals=1).for_stems(STEMS)], [path])
    save_preset(of_stems(vocals=3, drums=4), tmp_path)
    assert looks(watch) == [f"{path}: read again"]
    assert watch.presets == (of_stems(vocals=3, drums=4).for_stems(STEMS),)
    np.testing.assert_array_equal(watch.presets[0].latent, np.array([0.8, 0, 0, 0.6], np.float32))


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        (of_stems(guitar=1), "needs the stem 'guitar'"),
        (Preset("band", np.ones(32), MODEL), "cannot be on one path"),
    ],
)
def test_a_file_that_no_longer_fits_the_stems_leaves_the_preset(tmp_path: Path, spoilt: Preset, says: str) -> None:
    path = save_preset(of_stems(vocals=1), tmp_path)
    before = of_stems(vocals=1).for_stems(STEMS)
    watch = PresetWatch([before], [path])
    save_preset(spoilt, tmp_path)
    (line,) = looks(watch)
    assert says in line
    assert line.endswith("band stays as it was")
    assert watch.presets == (before,)


def test_a_stem_without_a_file_stays_as_it_is() -> None:
    watch = PresetWatch([of_stems(vocals=1)], [None])
    assert looks(watch) == []
    assert watch.presets == (of_stems(vocals=1),)
