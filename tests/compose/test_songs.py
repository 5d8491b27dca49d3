from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.compose.melody import FIRST_NOTE, STEPS, TOKENS, Melody, Note, melody_of
from qsep_live.compose.midi_file import write_melody
from qsep_live.compose.songs import Windows, fingerprint, read_songs, song_windows, split_songs, transposed
from qsep_live.errors import UsageError

Songs = Callable[[int], Path]


def read(folder: Path) -> tuple[list, list[str]]:
    told: list[str] = []
    return read_songs(sorted(folder.glob("*.mid")), told.append, lambda _: None), told


def test_songs_are_cut_and_split_without_a_song_in_two_parts(songs: Songs) -> None:
    read_ones, told = read(songs(20))
    assert told == []
    assert all(song.windows.shape == (3, STEPS) for song in read_ones)
    assert all(len(song.apart()) == 1 for song in read_ones)
    split = split_songs(read_ones)
    names = [{song.name for song in part} for part in (split.train, split.validation, split.held_out)]
    assert [len(each) for each in names] == [16, 2, 2]
    assert len(set.union(*names)) == 20
    assert split_songs(read_ones[::-1]) == split
    assert fingerprint(read_ones) == fingerprint(read_ones[::-1]) != fingerprint(read_ones[1:])


def test_what_cannot_be_learned_from_is_named(songs: Songs) -> None:
    folder = songs(3)
    (folder / "z_broken.mid").write_text("nothing")
    first = read(folder)[0][0].windows[0]
    write_melody(folder / "z_copy.mid", melody_of(first).transposed(3))
    write_melody(folder / "z_dull.mid", Melody(tuple(Note(4 * i, 4, 60) for i in range(64)), STEPS))
    write_melody(folder / "z_short.mid", melody_of(first[:48]))
    found, told = read(folder)
    assert [song.name.split("/")[1] for song in found] == ["song00.mid", "song01.mid", "song02.mid"]
    assert [line.split("z_")[1].split(".")[0] for line in told] == ["broken", "copy", "dull", "short"]
    assert "is the tune of" in told[1]
    assert "5 pitches" in told[2]
    assert "3 bars of melody, 16 are needed" in told[3]


def test_a_bar_of_silence_parts_windows() -> None:
    notes = [Note(4 * i, 4, 60 + i % 7) for i in range(160) if i != 80]
    assert len(song_windows(Melody(tuple(notes), 640))) == 25
    quiet = [note for note in notes if not 320 <= note.start < 340]
    kept = song_windows(Melody(tuple(quiet), 640))
    assert len(kept) == 10  # from bars 0 to 5, the last of which ends with a bar of it, and from 21 to 24
    assert all((window >= FIRST_NOTE).any() for window in kept)


def test_two_songs_are_too_few(songs: Songs) -> None:
    with pytest.raises(UsageError, match="2 usable songs, at least 3"):
        split_songs(read(songs(2))[0])


def test_batches_depend_on_seed_and_step_alone(songs: Songs) -> None:
    train = split_songs(read(songs(6))[0]).train
    batch = Windows(train, 3).batch(7, 32)
    assert batch.shape == (32, STEPS)
    assert np.array_equal(batch, Windows(train, 3).batch(7, 32))
    assert not np.array_equal(batch, Windows(train, 3).batch(8, 32))
    assert not np.array_equal(batch, Windows(train, 4).batch(7, 32))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=30), st.integers(-70, 70))
def test_transposing_tokens_is_transposing_the_melody(tokens: list[int], semitones: int) -> None:
    moved = transposed(np.array([tokens]), np.array([semitones]))[0]
    melody = melody_of(tokens)
    try:
        assert melody_of(moved) == melody.transposed(semitones)
    except ValueError:
        assert moved.tolist() == tokens
