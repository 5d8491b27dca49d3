from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.compose.beats import bar_start, grid_phase
from qsep_live.compose.melody import BAR, Melody, Note
from qsep_live.compose.midi_file import read_melody, write_melody
from qsep_live.compose.top_line import Line, choose_melody, top_line
from qsep_live.errors import QsepError

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)
TUNE = Melody(tuple(Note(4 * i, 2 if i % 4 else 4, SCALE[(i * i + i // 4) % 8]) for i in range(64)), 256)


def midi(path: Path, *tracks: tuple[str, int, list[Note]], shift: float = 0.0, meter: tuple[int, int] = (4, 4)) -> Path:
    """A file of (name, channel, notes), all of it ``shift`` steps late."""
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(
        mido.MidiTrack(
            [
                mido.MetaMessage("time_signature", numerator=meter[0], denominator=meter[1]),
                mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(90)),
            ]
        )
    )
    for name, channel, notes in tracks:
        events = []
        for note in notes:
            events += [(round((note.start + shift) * 120), "note_on", note.pitch)]
            events += [(round((note.end + shift) * 120), "note_off", note.pitch)]
        track, now = mido.MidiTrack([mido.MetaMessage("track_name", name=name)]), 0
        for tick, kind, pitch in sorted(events):
            track.append(mido.Message(kind, channel=channel, note=pitch, time=tick - now))
            now = tick
        file.tracks.append(track)
    file.save(path)
    return path


def fails(path: Path, *words: str) -> None:
    with pytest.raises(QsepError) as told:
        read_melody(path).sixteen_bars()
    text = str(told.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    for word in words:
        assert word in text


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_melody(tmp_path / "a.mid", TUNE, bpm=97.0)
    found = read_melody(tmp_path / "a.mid")
    assert found.melody == TUNE
    assert found.sixteen_bars() == TUNE
    assert found.bpm == pytest.approx(97.0, abs=0.01)
    assert found.remarks == ()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mid"]


@pytest.mark.parametrize("shift", [0.4, 3.0, 7.7, 12.25])
def test_a_melody_beside_the_grid_is_put_on_it_and_its_bars_found(tmp_path: Path, shift: float) -> None:
    chords = [Note(16 * bar, 16, pitch) for bar in range(16) for pitch in (36, 48, 52)]
    tune = list(TUNE.notes)
    path = midi(tmp_path / "a.mid", ("tune", 0, tune), ("chords", 1, chords), shift=shift, meter=(1, 4))
    assert read_melody(path).melody == TUNE


def test_pickups_stand_in_a_bar_of_their_own(tmp_path: Path) -> None:
    notes = [Note(12, 4, 59), *(note._replace(start=note.start + 16) for note in TUNE.notes)]
    found = read_melody(midi(tmp_path / "a.mid", ("", 0, notes)))
    assert found.melody.bars == 17
    assert found.melody.notes[0] == Note(12, 4, 59)
    assert found.melody.window(1) == TUNE


def test_the_melody_is_found_among_other_parts(tmp_path: Path) -> None:
    low = [note._replace(pitch=note.pitch - 24, start=note.start) for note in TUNE.notes]
    chords = [Note(16 * bar, 16, pitch) for bar in range(16) for pitch in (72, 76, 79)]
    drums = [Note(2 * i, 1, 42) for i in range(128)]
    path = midi(tmp_path / "a.mid", ("x", 1, low), ("", 2, chords), ("drums", 9, drums), ("Melody", 0, [*TUNE.notes]))
    assert read_melody(path).melody == TUNE
    unnamed = [Line("", 0, tuple(chords)), Line("", 0, TUNE.notes), Line("", 33, tuple(low))]
    assert choose_melody(unnamed, 256) is unnamed[1]


def test_a_polyphonic_melody_is_reduced_and_it_is_said(tmp_path: Path) -> None:
    thirds = [note._replace(pitch=note.pitch - 4) for note in TUNE.notes]
    found = read_melody(midi(tmp_path / "a.mid", ("", 0, [*TUNE.notes, *thirds])))
    assert found.melody == TUNE
    (remark,) = found.remarks
    assert "reduced to its top line, 64 of 128 notes" in remark


def test_pitches_without_a_token_move_by_octaves(tmp_path: Path) -> None:
    found = read_melody(midi(tmp_path / "a.mid", ("", 0, [Note(0, 4, 100), Note(4, 4, 60), Note(8, 4, 30)])))
    assert [note.pitch for note in found.melody.notes] == [88, 60, 42]
    assert "2 notes outside" in found.remarks[0]


def test_bad_files_are_named(tmp_path: Path) -> None:
    fails(tmp_path / "missing.mid", "no such file")
    (tmp_path / "text.mid").write_text("this is no MIDI file")
    fails(tmp_path / "text.mid", "no MIDI file")
    (tmp_path / "nothing.mid").write_bytes(b"")
    fails(tmp_path / "nothing.mid", "no MIDI file")
    whole = midi(tmp_path / "whole.mid", ("", 0, [*TUNE.notes])).read_bytes()
    (tmp_path / "cut.mid").write_bytes(whole[:200])
    fails(tmp_path / "cut.mid", "no MIDI file")
    fails(midi(tmp_path / "empty.mid"), "no notes")
    fails(midi(tmp_path / "drums.mid", ("", 9, [Note(0, 1, 36)])), "drums only")
    fails(midi(tmp_path / "waltz.mid", ("", 0, [*TUNE.notes]), meter=(3, 4)), "3/4", "only 4/4")
    fails(midi(tmp_path / "short.mid", ("", 0, [*TUNE.notes[:12]])), "has 3 bars", "16")
    long = midi(tmp_path / "long.mid", ("", 0, [Note(0, 1, 60), Note(16 * 5000, 4, 60)]))
    fails(long, "5001 bars", "damaged")
    fails(tmp_path, "directory")
    path = tmp_path / "free.mid"
    file = mido.MidiFile(tracks=[mido.MidiTrack()])
    for time in np.random.default_rng(1).integers(1, 480, size=200):
        file.tracks[0] += [mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=int(time))]
    file.save(path)
    fails(path, "do not fall on sixteenths", "concord 0.")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match=r"no/where\.mid: could not be written"):
        write_melody(tmp_path / "no" / "where.mid", TUNE)


voices = st.lists(st.builds(Note, st.integers(0, 60), st.integers(1, 20), st.integers(40, 90)), min_size=1, max_size=20)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(voices)
def test_a_top_line_is_a_melody_of_the_highest_starts(notes: list[Note]) -> None:
    kept = top_line(notes)
    Melody(tuple(kept), max(note.end for note in notes))
    for note in kept:
        together = [other.pitch for other in notes if other.start == note.start]
        assert note.pitch == max(together)
    highest = max(notes, key=lambda note: (note.pitch, -note.start))
    assert any(note.start == highest.start and note.pitch == highest.pitch for note in kept)


def test_legato_is_one_voice_and_a_drone_another() -> None:
    assert top_line([Note(0, 5, 64), Note(4, 4, 60)]) == [Note(0, 4, 64), Note(4, 4, 60)]
    assert top_line([Note(0, 16, 64), Note(4, 4, 60)]) == [Note(0, 16, 64)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(-0.49, 0.49), st.integers(0, 15), st.integers(0, 2**32 - 1))
def test_phase_and_bar_of_a_grid(phase: float, place: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    steps = np.concatenate([np.arange(32) * BAR + place, random.integers(0, 512, 40)])
    found, concord = grid_phase(steps + phase)
    assert found == pytest.approx(phase, abs=1e-6)
    assert concord == pytest.approx(1.0)
    weights = np.r_[np.full(32, 8.0), np.ones(40)]
    assert bar_start(steps, weights, 0.3, meter_known=False) == place
