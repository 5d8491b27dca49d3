from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.compose.melody import (
    BAR,
    FIRST_NOTE,
    HIGHEST,
    HOLD,
    LOWEST,
    REST,
    STEPS,
    TOKENS,
    Melody,
    Note,
    into_range,
    melody_of,
)


@st.composite
def melodies(draw: st.DrawFn) -> Melody:
    notes, now = [], 0
    for gap, length, pitch in draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(1, 20), st.integers(LOWEST, HIGHEST)), max_size=20)
    ):
        notes.append(Note(now + gap, length, pitch))
        now = notes[-1].end
    return Melody(tuple(notes), now + draw(st.integers(0, 40)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(melodies())
def test_notes_survive_tokens(melody: Melody) -> None:
    tokens = melody.tokens()
    assert tokens.shape == (melody.steps,)
    assert tokens.min(initial=0) >= 0
    assert tokens.max(initial=0) < TOKENS
    assert melody_of(tokens) == melody


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.sampled_from([REST, HOLD]), st.integers(0, TOKENS - 1)), max_size=STEPS))
def test_any_tokens_are_a_melody_and_its_own_tokens_are_canonical(tokens: list[int]) -> None:
    canonical = melody_of(tokens).tokens()
    assert [token for token in canonical if token >= FIRST_NOTE] == [token for token in tokens if token >= FIRST_NOTE]
    differ = [step for step, token in enumerate(tokens) if canonical[step] != token]
    assert all(tokens[step] == HOLD and canonical[step] == REST for step in differ)
    assert np.array_equal(melody_of(canonical).tokens(), canonical)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(melodies(), st.integers(0, 5), st.integers(1, 5))
def test_a_window_has_the_tokens_of_its_bars(melody: Melody, bar: int, bars: int) -> None:
    tokens, inside = melody.tokens(), melody.window(bar, bars).tokens()
    whole = np.full((bar + bars) * BAR + melody.steps, REST)
    whole[: melody.steps] = tokens
    expected = whole[bar * BAR : (bar + bars) * BAR]
    holding = np.logical_and.accumulate(expected == HOLD)
    assert np.array_equal(inside[~holding], expected[~holding])
    if holding.any():  # a note that was sounding is struck at the edge
        struck = [note.pitch for note in melody.notes if note.start < bar * BAR < note.end]
        assert inside[0] == FIRST_NOTE + struck[0] - LOWEST
        assert set(inside[holding][1:]) <= {HOLD}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(melodies(), st.integers(-12, 12))
def test_transposing_moves_pitches_alone_or_refuses(melody: Melody, semitones: int) -> None:
    pitches = [note.pitch + semitones for note in melody.notes]
    if all(LOWEST <= pitch <= HIGHEST for pitch in pitches):
        moved = melody.transposed(semitones)
        assert [note.pitch for note in moved.notes] == pitches
        assert moved.transposed(-semitones) == melody
    else:
        with pytest.raises(ValueError, match="out of range"):
            melody.transposed(semitones)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 127))
def test_into_range_keeps_the_pitch_class(pitch: int) -> None:
    moved = into_range(pitch)
    assert LOWEST <= moved <= HIGHEST
    assert (moved - pitch) % 12 == 0
    assert abs(moved - pitch) < 12 + max(0, LOWEST - pitch, pitch - HIGHEST)
    assert moved == pitch or not LOWEST <= pitch <= HIGHEST


@pytest.mark.parametrize(
    "notes", [(Note(0, 2, 60), Note(1, 1, 62)), (Note(0, 0, 60),), (Note(3, 2, 60),), (Note(0, 1, LOWEST - 1),)]
)
def test_what_is_no_melody_is_refused(notes: tuple[Note, ...]) -> None:
    with pytest.raises(ValueError, match=r"step|range"):
        Melody(notes, 4)


def test_a_token_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=f"token {TOKENS} at step 1"):
        melody_of([REST, TOKENS])
