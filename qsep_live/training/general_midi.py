"""General MIDI's programs as Slakh2100 names them, and the classes that the paper's Slakh experiment uses.

Names and families are those of the table that Slakh's authors publish (``general_midi_inst_0based.txt`` of their
``slakh-utils``); a fine class is one program of a family, and is written ``"Guitar/Distortion Guitar"``.
"""

from __future__ import annotations

DRUMS = "Drums"
DRUM_PROGRAM = 128
"""What Slakh's metadata says in place of a program where a stem is a drum kit."""

#: Family to the names of its programs, in the programs' order, from 0.
_FAMILIES: dict[str, str] = {
    "Piano": "Acoustic Grand Piano, Bright Acoustic Piano, Electric Grand Piano, Honky-tonk Piano, Electric Piano 1,"
    " Electric Piano 2, Harpsichord, Clavinet",
    "Chromatic Percussion": "Celesta, Glockenspiel, Music Box, Vibraphone, Marimba, Xylophone, Tubular Bells, Dulcimer",
    "Organ": "Drawbar Organ, Percussive Organ, Rock Organ, Church Organ, Reed Organ, Accordion, Harmonica,"
    " Tango Accordion",
    "Guitar": "Acoustic Guitar (nylon), Acoustic Guitar (steel), Electric Guitar (jazz), Electric Guitar (clean),"
    " Electric Guitar (muted), Overdriven Guitar, Distortion Guitar, Guitar harmonics",
    "Bass": "Acoustic Bass, Electric Bass (finger), Electric Bass (pick), Fretless Bass, Slap Bass 1, Slap Bass 2,"
    " Synth Bass 1, Synth Bass 2",
    "Strings": "Violin, Viola, Cello, Contrabass, Tremolo Strings, Pizzicato Strings, Orchestral Harp, Timpani",
    "Strings (continued)": "String Ensemble 1, String Ensemble 2, Synth Strings 1, Synth Strings 2, Choir Aahs,"
    " Voice Oohs, Synth Voice, Orchestra Hit",
    "Brass": "Trumpet, Trombone, Tuba, Muted Trumpet, French Horn, Brass Section, Synth Brass 1, Synth Brass 2",
    "Reed": "Soprano Sax, Alto Sax, Tenor Sax, Baritone Sax, Oboe, English Horn, Bassoon, Clarinet",
    "Pipe": "Piccolo, Flute, Recorder, Pan Flute, Blown Bottle, Shakuhachi, Whistle, Ocarina",
    "Synth Lead": "Lead 1 (square), Lead 2 (sawtooth), Lead 3 (calliope), Lead 4 (chiff), Lead 5 (charang),"
    " Lead 6 (voice), Lead 7 (fifths), Lead 8 (bass + lead)",
    "Synth Pad": "Pad 1 (new age), Pad 2 (warm), Pad 3 (polysynth), Pad 4 (choir), Pad 5 (bowed), Pad 6 (metallic),"
    " Pad 7 (halo), Pad 8 (sweep)",
    "Sound Effects": "FX 1 (rain), FX 2 (soundtrack), FX 3 (crystal), FX 4 (atmosphere), FX 5 (brightness),"
    " FX 6 (goblins), FX 7 (echoes), FX 8 (sci-fi)",
    "Ethnic": "Sitar, Banjo, Shamisen, Koto, Kalimba, Bag pipe, Fiddle, Shanai",
    # The last program of the percussive family stands with the sound effects in Slakh's table.
    "Percussive": "Tinkle Bell, Agogo, Steel Drums, Woodblock, Taiko Drum, Melodic Tom, Synth Drum",
    "Sound effects": "Reverse Cymbal, Guitar Fret Noise, Breath Noise, Seashore, Bird Tweet, Telephone Ring,"
    " Helicopter, Applause, Gunshot",
}
_PROGRAMS = [(family, name) for family, names in _FAMILIES.items() for name in names.split(", ")]

FAMILIES = (*_FAMILIES, DRUMS)
"""Slakh's coarse classes, its ``inst_class``."""
PROGRAM_NAMES = tuple(name for _, name in _PROGRAMS)
"""Slakh's ``midi_program_name`` of the programs 0 to 127."""

_PAPER_LEAVES_OUT = {"Synth Bass 1", "Synth Bass 2", "Synth Brass 1", "Synth Brass 2"}
PAPER_CLASSES = {
    coarse: tuple(
        f"{coarse}/{name}" for family, name in _PROGRAMS if family == coarse and name not in _PAPER_LEAVES_OUT
    )
    for coarse in ("Piano", "Bass", "Guitar", "Strings", "Synth Pad", "Pipe", "Brass", DRUMS)
}
"""The coarse classes of the paper's Slakh experiment (§4.7) and the fine ones of each; drums have none."""


def family(program: int) -> str:
    """Slakh's ``inst_class`` of a program, 0 to 127, or of `DRUM_PROGRAM`."""
    return DRUMS if program == DRUM_PROGRAM else _PROGRAMS[program][0]


def program_name(program: int) -> str:
    """Slakh's ``midi_program_name`` of a program, 0 to 127, or of `DRUM_PROGRAM`."""
    return DRUMS if program == DRUM_PROGRAM else PROGRAM_NAMES[program]


def fine_class(coarse: str, program: int, named: str = "") -> str:
    """The key of a stem: ``"Guitar/Distortion Guitar"``, or ``coarse`` alone for drums and where nothing is known.

    Parameters
    ----------
    coarse
        The stem's ``inst_class``.
    program
        Its ``program_num``; outside 0 to 127 ``named`` counts.
    named
        Its ``midi_program_name``.
    """
    if coarse == DRUMS:
        return DRUMS
    name = program_name(program) if 0 <= program < len(_PROGRAMS) else named
    return f"{coarse}/{name}" if name else coarse
