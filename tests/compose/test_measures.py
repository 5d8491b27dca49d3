from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.compose.measures import Key, key_of, measure, sounding
from qsep_live.compose.melody import BAR, Melody, Note

SCALES = {False: (0, 2, 4, 5, 7, 9, 11), True: (0, 2, 3, 5, 7, 8, 10)}


def cadence(tonic: int, minor: bool) -> Melody:
    """The scale up and down, long on tonic and fifth."""
    degrees = (0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 6, 0, 2, 4, 0)
    notes = tuple(Note(4 * i, 4, 60 + tonic + SCALES[minor][degree]) for i, degree in enumerate(degrees))
    return Melody(notes, 64)


def bars(*figures: tuple[int, ...]) -> Melody:
    """Figures of four quarters a bar; 0 is a rest."""
    notes = [
        Note(16 * bar + 4 * beat, 4, pitch)
        for bar, figure in enumerate(figures)
        for beat, pitch in enumerate(figure)
        if pitch
    ]
    return Melody(tuple(notes), BAR * len(figures))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 11), st.booleans())
def test_a_scale_is_in_its_own_key(tonic: int, minor: bool) -> None:
    melody = cadence(tonic, minor)
    assert key_of(melody) == Key(tonic, minor)
    assert measure(melody).in_key == 1.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(-12, 12))
def test_transposing_changes_the_pitch_alone(semitones: int) -> None:
    before, after = measure(cadence(3, True)), measure(cadence(3, True).transposed(semitones))
    assert after.pitch == pytest.approx(before.pitch + semitones)
    assert (after.density, after.in_key, after.similarity) == (before.density, before.in_key, before.similarity)


def test_pitch_and_density_count_notes() -> None:
    found = measure(Melody((Note(0, 12, 60), Note(12, 1, 66)), 32))
    assert (found.pitch, found.density) == (63.0, 1.0)


def test_a_foreign_note_is_out_of_key() -> None:
    notes = (*cadence(0, False).notes[:-1], Note(60, 4, 61))
    assert measure(Melody(notes, 64)).in_key == 15 / 16


def test_similarity_looks_back_four_bars_and_no_further() -> None:
    a, b, c = (60, 62, 64, 65), (67, 69, 71, 72), (48, 50, 52, 53)
    assert measure(bars(a, a, a)).similarity == 1.0
    assert measure(bars(a, b)).similarity == 0.0
    assert measure(bars(a, b, a, b)).similarity == pytest.approx(2 / 3)
    rests = (0, 0, 0, 0)
    assert measure(bars(a, b, c, rests, a)).similarity == pytest.approx(1 / 4)
    far = (55, 57, 59, 60)
    assert measure(bars(a, b, c, rests, far, a)).similarity == pytest.approx(0.0)
    half = (*a[:2], *b[2:])
    assert measure(bars(a, half)).similarity == pytest.approx(0.5)


def test_two_short_notes_are_not_one_long_one() -> None:
    long = Melody((Note(0, 16, 60), Note(16, 8, 60), Note(24, 8, 60)), 32)
    assert measure(long).similarity == pytest.approx(15 / 16)


def test_what_sounds() -> None:
    melody = Melody((Note(1, 2, 60), Note(3, 1, 62)), 6)
    assert sounding(melody).tolist() == [0, 60, 60, 62, 0, 0]
    assert len(sounding(Melody((), 0))) == 0


def test_nothing_has_no_pitch() -> None:
    found = measure(Melody((), 32))
    assert math.isnan(found.pitch)
    assert math.isnan(found.in_key)
    assert found.density == 0.0
    assert found.similarity == 1.0
    assert np.isnan(measure(Melody((), 16)).similarity)
