"""Sounds of single instruments, played from MIDI with SoundFonts: ``ROOT/CLASS/INSTRUMENT/NAME.flac``.

Made for finer classes (``qsep-live train --instruments``, ``qsep-live presets new``) and for ``qsep-live experiment
zeroshot``. Drum parts
are taken apart into kick, snare and hi-hat by their General MIDI notes; melodic parts go by their program.

    python scripts/instrument_sounds.py MIDI... --soundfont FluidR3_GM.sf2 -o sounds
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from qsep_live.audio.synth import SoundFonts, find_soundfonts
from qsep_live.errors import QsepError
from qsep_live.training.midi_parts import Part, read_score

RATE = 44_100
LISTENED = 40.0
"""Seconds of a part, from its first note, that the sound is cut from."""
DRUMS = {"drums/kick": {35, 36}, "drums/snare": {38, 40}, "drums/hi-hat": {42, 44, 46, 22, 26}}
"""Notes: General MIDI's, and the hi-hat edges of Roland kits."""
PROGRAMS = {
    "other/piano": range(0, 4),
    "other/electric-piano": range(4, 6),
    "other/organ": range(16, 21),
    "other/guitar": range(24, 31),
    "bass/bass-guitar": range(32, 40),
    "other/strings": range(40, 52),
    "other/brass": range(56, 64),
    "other/winds": [*range(64, 68), *range(72, 76)],
    "other/synth": range(80, 96),
}


def instruments(part: Part) -> list[tuple[str, Part]]:
    """The part under its instrument's name; a drum part as its pieces."""
    if not part.is_drum:
        return [(name, part) for name, programs in PROGRAMS.items() if part.program in programs]
    pieces = []
    for name, notes in DRUMS.items():
        kept = tuple(e for e in part.events if getattr(e.message, "note", None) is None or e.message.note in notes)
        if any(e.message.type == "note_on" and e.message.velocity for e in kept):
            pieces.append((name, replace(part, events=kept)))
    return pieces


def excerpt(sound: np.ndarray, seconds: float) -> np.ndarray | None:
    """The loudest ``seconds`` of a sound (samples,) at −20 dBFS RMS; None if it hardly sounds there."""
    length = round(seconds * RATE)
    power = np.convolve(np.square(sound)[::100], np.ones(max(1, length // 100)), "valid")
    start = int(np.argmax(power)) * 100
    piece = sound[start : start + length]
    level = float(np.sqrt(np.mean(np.square(piece))))
    sounding = np.abs(piece)[::441] > 0.01 * np.abs(piece).max()
    if level < 1e-4 or sounding.mean() < 0.25:
        return None
    piece = piece * (0.1 / level)
    return piece / max(1.0, float(np.abs(piece).max()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("midi", type=Path, nargs="+", help="MIDI files and folders of them")
    parser.add_argument("--soundfont", type=Path, action="append", required=True)
    parser.add_argument("--each", type=int, default=16, help="sounds of each instrument")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    files = sorted({f for path in arguments.midi for f in (path.rglob("*.mid") if path.is_dir() else [path])})
    random.Random(arguments.seed).shuffle(files)
    fonts = SoundFonts(find_soundfonts(arguments.soundfont), RATE)
    count = len(fonts.paths)
    made: Counter[str] = Counter()
    wanted = {*DRUMS, *PROGRAMS}
    for number, file in enumerate(files):
        try:
            parts = read_score(file).parts
        except QsepError as error:
            print(error)
            continue
        for name, part in (pair for whole in parts for pair in instruments(whole)):
            # One sound of an instrument from a song, so that songs differ.
            path = arguments.output / name / f"{file.parent.name}-{file.stem}.flac"
            if made[name] >= arguments.each or path.exists():
                continue
            first = next(e.seconds for e in part.events if e.message.type == "note_on")
            early = replace(part, events=tuple(e for e in part.events if e.seconds < first + LISTENED))
            order = [(number + i) % count for i in range(count)]
            found = fonts.render(early, order, first + LISTENED, lambda _: None)
            piece = None if found is None else excerpt(found[1], arguments.seconds)
            if piece is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, piece, RATE)
                made[name] += 1
        if all(made[name] >= arguments.each for name in wanted):
            break
    for name in sorted(wanted):
        print(f"{name}: {made[name]} sounds")


if __name__ == "__main__":
    main()
