"""Songs to train on, played from MIDI: ``ROOT/NAME/CLASS.flac`` with drums, bass and the rest, 22,050 Hz, stereo.

Beside SoundFonts, single recorded notes and hits play (``--oneshots``): drum kits, basses, guitars, pianos, brass and
strings. Every song is played once a pass, each time in another key and tempo, by other instruments, through other
amplifiers, equalisers and rooms, and mixed at other levels. A file of drums alone, or without drums and bass, becomes
a recording of one class, ``ROOT/CLASS/NAME.flac``.

    python scripts/song_stems.py MIDI... --soundfont FluidR3_GM.sf2 --oneshots DIR --passes 2 -o songs
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from qsep_live.audio.synth import SoundFonts, find_soundfonts
from qsep_live.errors import QsepError
from qsep_live.training.midi_parts import Event, Part, read_score

RATE = 22_050
Sound = np.ndarray
Random = np.random.Generator

VOICES = {52, 53, 54, 85, 91}
"""Programs that imitate singing: neither vocals nor anything else."""
BASSES = range(32, 40)
FAMILIES = {
    "piano": range(0, 4),
    "epiano": range(4, 6),
    "organ": range(16, 21),
    "guitar": range(24, 32),
    "strings": range(40, 52),
    "brass": range(56, 64),
    "winds": range(64, 76),
    "synth": range(80, 104),
}
"""Programs of the rest that may take each other's place."""
ELECTRIC = range(26, 32)
KIT = {
    **dict.fromkeys((35, 36), "kick"),
    **dict.fromkeys((37, 38, 40), "snare"),
    39: "clap",
    **dict.fromkeys((41, 43, 45, 47, 48, 50), "tom"),
    **dict.fromkeys((42, 44, 46, 22, 26), "hihat"),
    **dict.fromkeys((49, 52, 55, 57), "crash"),
    **dict.fromkeys((51, 53, 59), "ride"),
}
"""General MIDI's drum notes, and the hi-hat edges of Roland kits; all others are percussion."""
OPEN_HATS = (46, 26)
RELEASE = 0.08
"""Seconds in which a recorded note ends once its key is up."""


@dataclass(frozen=True)
class Note:
    """When, how long (seconds), which MIDI note, how hard (0 to 1)."""

    start: float
    length: float
    number: int
    velocity: float


@dataclass(frozen=True)
class Shot:
    """One recorded note or hit: its file's name, MIDI note or drum label, and sound (samples,) that peaks at 1."""

    name: str
    note: int | None
    label: str
    sound: Sound


@cache
def shots(root: Path, group: str) -> dict[str, list[Shot]]:
    """The recordings of a group (``drums``, ``bass``, ``guitar`` …) by the set that they belong to."""
    found: dict[str, list[Shot]] = defaultdict(list)
    for index in sorted((root / group).glob("*.json")):
        audio, rate = soundfile.read(index.with_suffix(".ogg"), dtype="float32")
        assert rate == RATE, index
        audio = audio if audio.ndim == 1 else audio.mean(axis=1)
        for entry in json.loads(index.read_text()):
            start = round(entry["start"] * RATE)
            sound = audio[start : start + round(entry["dur"] * RATE)]
            if sound.size and (peak := float(np.abs(sound).max())) > 1e-3:
                shot = Shot(entry["f"], entry.get("midi"), entry.get("label", "") or "perc", sound / peak)
                found[index.stem.rpartition("__")[0]].append(shot)
    return {name: each for name, each in found.items() if group == "drums" or all(s.note is not None for s in each)}


def notes_of(part: Part) -> list[Note]:
    begun: dict[int, list[tuple[float, int]]] = defaultdict(list)
    notes = []
    for event in part.events:
        message = event.message
        if message.type == "note_on" and message.velocity:
            begun[message.note].append((event.seconds, message.velocity))
        elif message.type in ("note_on", "note_off") and begun[message.note]:
            start, velocity = begun[message.note].pop(0)
            notes.append(Note(start, event.seconds - start, message.note, velocity / 127))
    return notes


def play_notes(recorded: Sequence[Shot], notes: Sequence[Note], seconds: float, random: Random) -> Sound:
    """Notes by the recordings that lie nearest, moved to pitch by resampling, (samples,)."""
    out = np.zeros(round((seconds + 4.0) * RATE), np.float32)
    pitches = np.array([shot.note for shot in recorded])
    for note in notes:
        distance = np.abs(pitches - note.number)
        shot = recorded[int(random.choice(np.flatnonzero(distance <= distance.min() + 1)))]
        ratio = 2.0 ** ((note.number - shot.note) / 12)
        held = min(int(shot.sound.size / ratio) - 1, round((note.length + RELEASE) * RATE))
        start = round(note.start * RATE)
        held = min(held, out.size - start)
        if held <= 0:
            continue
        sound = np.interp(np.arange(held) * ratio, np.arange(shot.sound.size), shot.sound).astype(np.float32)
        fade = min(held, round(RELEASE * RATE))
        sound[held - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        out[start : start + held] += note.velocity**1.5 * sound
    return out


def play_kit(kit: Sequence[Shot], notes: Sequence[Note], seconds: float, random: Random) -> Sound:
    """A drum part by recorded hits: each drum note keeps its drum, harder hits take its harder recordings, (2, n)."""
    out = np.zeros((2, round((seconds + 4.0) * RATE)), np.float32)
    chosen: dict[int, list[Shot]] = {}
    width = random.uniform(0.0, 0.6)
    places: dict[str, float] = defaultdict(lambda: float(random.uniform(-width, width)))
    for note in notes:
        label = KIT.get(note.number, "perc")
        if note.number not in chosen:
            drums: dict[str, list[Shot]] = defaultdict(list)
            for shot in kit:
                opened = "open" in shot.name.lower()
                if shot.label == label and (label != "hihat" or opened == (note.number in OPEN_HATS)):
                    drums[re.sub(r"[-_]?\d*\.\w+$", "", shot.name)].append(shot)
            names = sorted(drums)
            chosen[note.number] = drums[names[int(random.integers(len(names)))]] if names else []
        layers = chosen[note.number]
        start = round(note.start * RATE)
        if not layers or start >= out.shape[1]:
            continue
        shot = layers[min(len(layers) - 1, int(note.velocity * len(layers)))]
        held = min(shot.sound.size, out.shape[1] - start)
        place = places[label] if label not in ("kick", "snare") else 0.0
        for side, sign in zip(out, (-1.0, 1.0), strict=True):
            side[start : start + held] += np.float32((1.0 + sign * place) * note.velocity**1.3) * shot.sound[:held]
    return out


def excerpt(parts: Sequence[Part], seconds: float, tempo: float, semitones: int, random: Random) -> list[Part]:
    """``seconds`` of the parts from where many of them play, faster by ``tempo`` and in another key."""
    onsets = [[n.start for n in notes_of(part)] for part in parts]
    end = max(max(each, default=0.0) for each in onsets)
    starts = random.uniform(0.0, max(0.0, end - seconds * tempo), 6)
    busy = [sum(any(s <= t < s + seconds * tempo for t in each) for each in onsets) for s in starts]
    start = float(starts[int(np.argmax(busy))])
    cut = []
    for part in parts:
        shift = 0 if part.is_drum else semitones
        events = []
        for event in part.events:
            at, message = event.seconds - start, event.message
            if at < 0 and message.type in ("note_on", "note_off"):
                continue
            if at >= seconds * tempo:
                break
            if shift and hasattr(message, "note"):
                message = message.copy(note=min(127, max(0, message.note + shift)))
            events.append(Event(event.tick, max(0.0, at) / tempo, message))
        if any(e.message.type == "note_on" and e.message.velocity for e in events):
            cut.append(replace(part, events=tuple(events)))
    return cut


def placed(sound: Sound, place: float) -> Sound:
    """Mono to stereo, (2, n), at −1 (left) to 1."""
    angle = (place + 1.0) * np.pi / 4
    return np.stack([np.cos(angle) * sound, np.sin(angle) * sound]).astype(np.float32)


def through_effects(sound: Sound, name: str, amplifier: bool, random: Random) -> Sound:
    """(2, n) through an amplifier and its cabinet, a compressor, an equaliser, echoes and a room, each by chance."""
    import pedalboard as pb

    board: list[pb.Plugin] = []
    if amplifier:
        board += [
            pb.HighpassFilter(random.uniform(80, 160)),
            pb.Distortion(random.uniform(12, 38)),
            pb.PeakFilter(random.uniform(500, 2500), random.uniform(-4, 8), 0.8),
            pb.LowpassFilter(random.uniform(3500, 6500)),
            pb.LowpassFilter(random.uniform(4500, 8000)),
            pb.Gain(-18.0),
        ]
    elif name == "other" and random.random() < 0.3:
        board.append(pb.Chorus(random.uniform(0.4, 2.0), 0.25, mix=random.uniform(0.1, 0.5)))
    if random.random() < 0.5:
        board.append(pb.Compressor(random.uniform(-30, -15), random.uniform(2, 6), random.uniform(1, 20), 120.0))
    if random.random() < 0.6:
        board += [
            pb.LowShelfFilter(random.uniform(90, 250), random.uniform(-5, 5)),
            pb.PeakFilter(random.uniform(300, 5000), random.uniform(-6, 6), 0.8),
            pb.HighShelfFilter(random.uniform(3000, 7000), random.uniform(-6, 6)),
        ]
    if name == "other" and random.random() < 0.25:
        board.append(pb.Delay(random.uniform(0.1, 0.45), random.uniform(0.1, 0.4), random.uniform(0.1, 0.3)))
    if random.random() < 0.7:
        wet = random.uniform(0.02, 0.08 if name == "bass" else 0.25)
        board.append(pb.Reverb(random.uniform(0.1, 0.9), random.uniform(0.1, 0.9), wet, 1.0 - wet, 1.0))
    return pb.Pedalboard(board)(sound, RATE) if board else sound


class Player:
    """Plays parts by SoundFonts and recordings."""

    def __init__(self, fonts: Sequence[Path], oneshots: Path | None) -> None:
        self._fonts, self._oneshots = SoundFonts(fonts, RATE), oneshots

    def play(self, part: Part, seconds: float, random: Random) -> tuple[str, Sound] | None:
        """Class and sound (2, n) at an RMS of 1 where it sounds; None for what no class holds."""
        if not part.is_drum and part.program in VOICES:
            return None
        family = next((name for name, programs in FAMILIES.items() if part.program in programs), "")
        if part.is_drum:
            name, group = "drums", "drums"
        elif part.program in BASSES:
            name, group = "bass", "bass"
            part = replace(part, program=int(random.choice(BASSES)))
        else:
            name = "other"
            if family and random.random() < 0.4:
                family = str(random.choice(sorted(FAMILIES)))
                part = replace(part, program=int(random.choice(FAMILIES[family])))
            group = family
        sound = None
        if self._oneshots is not None and group and random.random() < (0.75 if name != "other" else 0.5):
            sets = shots(self._oneshots, group)
            if sets:
                chosen = sets[str(random.choice(sorted(sets)))]
                notes = notes_of(part)
                if name == "drums":
                    sound = play_kit(chosen, notes, seconds, random)
                else:
                    sound = placed(play_notes(chosen, notes, seconds, random), 0.0)
        if sound is None:
            found = self._fonts.render(
                part, random.permutation(len(self._fonts.paths)).tolist(), seconds, lambda _: None
            )
            if found is None:
                return None
            sound = placed(found[1], 0.0)
        amplifier = (part.program in ELECTRIC and not part.is_drum and random.random() < 0.65) or (
            name == "bass" and random.random() < 0.15
        )
        sound = level(sound, 0.1)
        if amplifier and name == "other" and random.random() < 0.4:
            # Played twice, a few milliseconds apart, one to each side.
            late = int(random.uniform(0.008, 0.025) * RATE)
            sound = np.stack([sound[0], np.concatenate([np.zeros(late, np.float32), sound[1][:-late]])])
        elif name == "other":
            sound = placed(sound.mean(axis=0), float(np.clip(random.normal(0.0, 0.45), -1, 1)))
        return name, level(through_effects(sound, name, amplifier, random), 1.0)


def level(sound: Sound, wanted: float) -> Sound:
    """At an RMS of ``wanted`` over the tenths of a second that are within 30 dB of the loudest."""
    size = RATE // 10
    power = np.square(sound).mean(axis=0)[: sound.shape[1] // size * size].reshape(-1, size).mean(axis=1)
    loud = power[power > 1e-3 * power.max(initial=0.0)]
    return sound * np.float32(wanted / np.sqrt(loud.mean())) if loud.size else sound


def make(player: Player, file: Path, output: Path, name: str, seconds: float, random: Random) -> str:
    """One song of ``file``; what it became."""
    parts = read_score(file).parts
    parts = excerpt(parts, seconds, random.uniform(0.85, 1.2), int(random.integers(-5, 6)), random)
    stems: dict[str, Sound] = {}
    for part in parts:
        played = player.play(part, seconds, random)
        if played is None:
            continue
        key, sound = played
        sound = sound[:, : round(seconds * RATE)] * np.float32(10 ** (random.uniform(-8, 2) / 20))
        sound = np.pad(sound, ((0, 0), (0, round(seconds * RATE) - sound.shape[1])))
        stems[key] = stems.get(key, 0.0) + sound
    for key in stems:
        stems[key] = level(stems[key], 0.08 * 10 ** (random.uniform(-5, 3) / 20))
    if not stems:
        return "nothing in it sounds"
    peak = max(float(np.abs(sound).max()) for sound in (*stems.values(), sum(stems.values())))
    folder = output / name
    paths = {key: folder / f"{key}.flac" for key in stems}
    if len(stems) == 1:
        paths = {key: output / key / f"{name}.flac" for key in stems}
    for key, sound in stems.items():
        paths[key].parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(paths[key], (sound / max(1.0, peak)).T, RATE, subtype="PCM_16")
    return ", ".join(sorted(stems))


_player: Player | None = None


def _begin(fonts: Sequence[Path], oneshots: Path | None) -> None:
    global _player
    _player = Player(fonts, oneshots)


def _work(job: tuple[Path, Path, str, float, int, int]) -> str:
    file, output, name, seconds, seed, number = job
    assert _player is not None
    try:
        told = make(_player, file, output, name, seconds, np.random.default_rng((seed, number)))
    except QsepError as error:
        told = f"left out: {error}"
    return f"{name}: {told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("midi", type=Path, nargs="+", help="MIDI files and folders of them")
    parser.add_argument("--soundfont", type=Path, action="append", required=True)
    parser.add_argument("--oneshots", type=Path, help="GROUP/SET.json and .ogg: recorded notes and hits")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    files = sorted({f for path in arguments.midi for f in (path.rglob("*.mid") if path.is_dir() else [path])})
    jobs = [
        (file, arguments.output, f"{file.parent.name}-{file.stem}-{turn}", arguments.seconds, arguments.seed, number)
        for number, (turn, file) in enumerate((turn, file) for turn in range(arguments.passes) for file in files)
    ]
    fonts = find_soundfonts(arguments.soundfont)
    with ProcessPoolExecutor(arguments.jobs, initializer=_begin, initargs=(fonts, arguments.oneshots)) as pool:
        for line in pool.map(_work, jobs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
