from __future__ import annotations

import pytest

from qsep_live.training.general_midi import (
    DRUM_PROGRAM,
    FAMILIES,
    PAPER_CLASSES,
    family,
    fine_class,
    program_name,
)


@pytest.mark.parametrize(
    ("program", "coarse", "name"),
    [
        (0, "Piano", "Acoustic Grand Piano"),
        (30, "Guitar", "Distortion Guitar"),
        (34, "Bass", "Electric Bass (pick)"),
        (54, "Strings (continued)", "Synth Voice"),
        (79, "Pipe", "Ocarina"),
        (95, "Synth Pad", "Pad 8 (sweep)"),
        (110, "Ethnic", "Fiddle"),
        (118, "Percussive", "Synth Drum"),
        (119, "Sound effects", "Reverse Cymbal"),
        (127, "Sound effects", "Gunshot"),
        (DRUM_PROGRAM, "Drums", "Drums"),
    ],
)
def test_programs_stand_where_slakh_has_them(program: int, coarse: str, name: str) -> None:
    assert (family(program), program_name(program)) == (coarse, name)


def test_there_are_128_programs() -> None:
    assert len({program_name(program) for program in range(128)}) == 128
    assert {family(program) for program in range(DRUM_PROGRAM + 1)} == set(FAMILIES)
    with pytest.raises(IndexError):
        program_name(129)


def test_the_papers_classes() -> None:
    """PAPER: eight coarse classes; six basses and six brass, since it leaves the synthesised ones out."""
    counts = {coarse: len(fine) for coarse, fine in PAPER_CLASSES.items()}
    assert counts == {
        "Piano": 8, "Bass": 6, "Guitar": 8, "Strings": 8, "Synth Pad": 8, "Pipe": 8, "Brass": 6, "Drums": 0,
    }  # fmt: skip
    assert "Bass/Slap Bass 2" in PAPER_CLASSES["Bass"]
    assert "Brass/French Horn" in PAPER_CLASSES["Brass"]


@pytest.mark.parametrize(
    ("coarse", "program", "named", "key"),
    [
        ("Guitar", 30, "Distortion Guitar", "Guitar/Distortion Guitar"),
        ("Guitar", 30, "another name", "Guitar/Distortion Guitar"),
        ("Theremin", -1, "Big One", "Theremin/Big One"),
        ("Theremin", -1, "", "Theremin"),
        ("Drums", 128, "Drums", "Drums"),
        ("Drums", 8, "Room Kit", "Drums"),
    ],
)
def test_the_key_of_a_stem(coarse: str, program: int, named: str, key: str) -> None:
    assert fine_class(coarse, program, named) == key
