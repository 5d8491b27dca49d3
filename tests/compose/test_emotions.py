from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from qsep_live.cli.main import run as run_main
from qsep_live.compose.emotions import (
    DEFAULT,
    EMOTIONS,
    KOREAN,
    Reference,
    emotion_of,
    load_references,
    save_references,
)
from qsep_live.compose.melody import Melody, Note
from qsep_live.compose.midi_file import write_melody
from qsep_live.errors import QsepError, UsageError


def quarters(*pitches: int, bars: int = 2) -> Melody:
    """The pitches over and over, four a bar."""
    return Melody(tuple(Note(4 * i, 4, pitches[i % len(pitches)]) for i in range(4 * bars)), 16 * bars)


@pytest.mark.parametrize(("english", "korean"), KOREAN.items())
def test_both_names_are_one_emotion(english: str, korean: str) -> None:
    assert len(EMOTIONS) == 9
    for name in (english, english.upper(), korean, unicodedata.normalize("NFD", korean), f" {english} "):
        assert emotion_of(name) == english


def test_an_unknown_emotion_lists_the_nine() -> None:
    with pytest.raises(UsageError) as told:
        emotion_of("peacful")
    assert "did you mean peaceful?" in str(told.value)
    assert all(english in str(told.value) and korean in str(told.value) for english, korean in KOREAN.items())


def test_the_default_table_is_ordered_as_the_words_are() -> None:
    assert set(DEFAULT) == set(EMOTIONS)
    assert max(DEFAULT, key=lambda name: DEFAULT[name].density) == "intense"
    assert min(DEFAULT, key=lambda name: DEFAULT[name].density) == "peaceful"
    assert min(DEFAULT, key=lambda name: DEFAULT[name].pitch) in ("gloomy", "dark")
    assert DEFAULT["bright"].pitch > DEFAULT["peaceful"].pitch > DEFAULT["dark"].pitch
    assert len(set(DEFAULT.values())) == 9


def test_the_documentation_has_the_default_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "compose.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()]
    told = {row[0].split()[0]: (float(row[3]), float(row[4])) for row in rows if row[0].partition(" ")[0] in EMOTIONS}
    assert told == {name: (each.pitch, each.density) for name, each in DEFAULT.items()}


def test_a_table_is_read_as_written_and_what_is_missing_is_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    save_references({"dark": Reference(50.25, 3.5)}, path)
    assert load_references(path) == {**DEFAULT, "dark": Reference(50.25, 3.5)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[dark]\npitch = 60", "[dark] density is"),
        ("[dark]\npitch = 10\ndensity = 2", "a number from 36 to 95"),
        ("[dark]\npitch = nan\ndensity = 2", "a number from 36 to 95"),
        ("dark = 3", "[dark] pitch is"),
        ("[drak]\n", "did you mean dark?"),
        ("[", "no TOML"),
    ],
)
def test_a_table_that_is_none(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(QsepError) as told:
        load_references(path)
    assert str(told.value).startswith(f"{path}: ")
    assert words in str(told.value)


def test_the_command_measures_and_writes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder, name, pitches in (
        ("밝음", "a.mid", (72, 76)),
        ("밝음", "b.mid", (76, 80)),
        ("dark", "c.mid", (48, 52)),
    ):
        (tmp_path / "music" / folder).mkdir(parents=True, exist_ok=True)
        write_melody(tmp_path / "music" / folder / name, quarters(*pitches))
    (tmp_path / "music" / "dark" / "z.mid").write_bytes(b"")
    table = tmp_path / "mine.toml"
    assert run_main(["compose", "references", str(tmp_path / "music"), "-o", str(table)]) == 0
    out, err = capfd.readouterr()
    assert err.startswith("left out: ")
    assert err.count("\n") == 1
    bright = next(line.split() for line in out.splitlines() if line.startswith("bright"))
    assert bright == ["bright", "76.00", "4.00", "2.00", "0.00", bright[5], "1.00", "2", "밝음"]
    assert load_references(table) == {**DEFAULT, "bright": Reference(76.0, 4.0), "dark": Reference(50.0, 4.0)}
    assert run_main(["compose", "references"]) == 0
    out = capfd.readouterr().out
    assert all(f"{DEFAULT[name].pitch:.2f}" in out and KOREAN[name] in out for name in EMOTIONS)


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ((), "no melody in any of 0"),
        (("happy",), "there is no emotion 'happy'"),
        (("dark", "암울함"), "the same emotion"),
    ],
)
def test_folders_that_cannot_be_meant(
    folders: tuple[str, ...], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
    assert run_main(["compose", "references", str(tmp_path)]) == 2
    (told,) = capfd.readouterr().err.splitlines()
    assert words in told


def test_references_count_each_melody_once(songs: Callable[[int], Path], tmp_path: Path) -> None:
    from qsep_live.compose.measures import measure
    from qsep_live.compose.midi_file import read_melody
    from qsep_live.compose.references import measure_folder

    folder = tmp_path / "clear"
    folder.mkdir()
    for path in songs(3).iterdir():
        path.rename(folder / path.name)
    each = [measure(read_melody(path).melody) for path in folder.iterdir()]
    found = measure_folder(tmp_path, pytest.fail)["clear"]
    assert found.melodies == 3
    assert found.reference.pitch == pytest.approx(sum(one.pitch for one in each) / 3)
    assert found.similarity == pytest.approx(sum(one.similarity for one in each) / 3)


def test_a_byte_order_mark_is_no_part_of_the_table(tmp_path: Path) -> None:
    path = tmp_path / "references.toml"
    path.write_text("[dark]\npitch = 50.25\ndensity = 3.5\n", encoding="utf-8-sig")
    assert load_references(path)["dark"] == Reference(50.25, 3.5)
