from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.compose.chords import (
    CHORDS,
    Chord,
    certain,
    density_loss,
    estimate_chords,
    expected_density,
    expected_pitch,
    fit_table,
    parse_chords,
    pitch_loss,
)
from qsep_live.compose.energy import energy_density
from qsep_live.compose.measures import measure
from qsep_live.compose.melody import FIRST_NOTE, HOLD, LOWEST, REST, STEPS, TOKENS, Melody, Note


def written(random: np.random.Generator, share: float) -> Melody:
    """Notes that begin with a ``share`` of the steps, each as long as there is room; the first begins at once."""
    starts = np.union1d(0, np.flatnonzero(random.random(STEPS) < share))
    lengths = np.diff(np.r_[starts, STEPS])
    return Melody(
        tuple(Note(int(s), int(n), int(random.integers(48, 90))) for s, n in zip(starts, lengths, strict=True)), STEPS
    )


def arpeggios(*chords: Chord, step: int = 2) -> Melody:
    """Each chord up and down through a bar."""
    notes = []
    for bar, chord in enumerate(chords):
        root = 60 + chord.root
        tones = [root, root + (chord.tones[1] - chord.root) % 12, root + (chord.tones[2] - chord.root) % 12, root + 12]
        notes += [Note(16 * bar + step * i, step, tones[(0, 1, 2, 3, 2, 1)[i % 6]]) for i in range(16 // step)]
    return Melody(tuple(notes), 16 * len(chords))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 11), st.lists(st.sampled_from([(0, ""), (5, ""), (7, ""), (9, "m")]), min_size=4, max_size=16))
def test_broken_chords_are_heard_in_any_key(key: int, places: list[tuple[int, str]]) -> None:
    # In the key: a tonic to begin and to end.
    chords = [Chord((key + root) % 12, quality) for root, quality in [(0, ""), *places, (0, "")]]
    assert list(estimate_chords(arpeggios(*chords))) == chords


def test_a_bar_without_notes_keeps_the_chord() -> None:
    first = arpeggios(Chord(9, "m"))
    held = Melody(first.notes, 64)
    assert [str(chord) for chord in estimate_chords(held)] == ["Am"] * 4
    assert estimate_chords(Melody((), 0)) == ()


def test_a_passing_note_does_not_change_the_chord() -> None:
    notes = list(arpeggios(*[Chord(0, "")] * 3).notes)
    notes[11] = notes[11]._replace(pitch=62)
    assert [str(chord) for chord in estimate_chords(Melody(tuple(notes), 48))] == ["C"] * 3


def test_chords_are_read_as_they_are_written() -> None:
    assert [str(chord) for chord in parse_chords("C Am F G")] == ["C", "Am", "F", "G"] * 4
    for chord in CHORDS:
        assert parse_chords(str(chord)) == (chord,) * 16
    assert parse_chords("Gb")[0] == parse_chords("F#")[0]
    for wrong in ("H", "Cmaj9", "c", ""):
        with pytest.raises(ValueError, match="chord"):
            parse_chords(wrong)


def tokens_of(pitch: int) -> torch.Tensor:
    tokens = torch.full((1, STEPS), HOLD)
    tokens[:, ::4] = FIRST_NOTE + pitch - LOWEST
    return tokens


@pytest.mark.parametrize(
    ("pitch", "loss"), [(60, 0.0), (64, 0.2), (67, 0.1), (61, 1.0), (62, 1.0), (71, 1.0), (48, 0.0)]
)
def test_root_third_and_fifth_lose_little_and_the_rest_all(pitch: int, loss: float) -> None:
    fit = fit_table(parse_chords("C"))
    assert pitch_loss(certain(tokens_of(pitch)), fit) == pytest.approx(loss, abs=1e-6)
    minor = fit_table(parse_chords("Am"))  # A C E: C is its third, and G no tone of it
    assert pitch_loss(certain(tokens_of(60)), minor) == pytest.approx(0.2, abs=1e-6)
    assert pitch_loss(certain(tokens_of(67)), minor) == pytest.approx(1.0, abs=1e-6)


def test_each_bar_has_its_own_chord() -> None:
    chords = parse_chords("C F")
    fit = fit_table(chords)
    assert pitch_loss(certain(tokens_of(60)), fit) == pytest.approx((0.0 + 0.1) / 2, abs=1e-6)
    with pytest.raises(ValueError, match="3 chords"):
        fit_table(chords[:3])


def test_the_losses_lead_towards_the_condition() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, STEPS, TOKENS, requires_grad=True)
    fit, wanted = fit_table(parse_chords("C Am F G")), torch.tensor([3.0, 9.0])
    optimiser = torch.optim.Adam([logits], 0.2)
    before = None
    for _ in range(40):
        shares = torch.softmax(logits, dim=2)
        losses = torch.stack([pitch_loss(shares, fit), density_loss(shares, wanted)])
        before = losses.detach() if before is None else before
        optimiser.zero_grad()
        losses.sum().backward()
        optimiser.step()
    assert (losses < 0.2 * before).all()
    assert expected_density(shares)[:, 0].tolist() == pytest.approx([3.0, 9.0], rel=0.2)


def test_twice_as_many_notes_lose_as_much_as_half_as_many() -> None:
    shares = certain(tokens_of(60))
    assert expected_density(shares).flatten().tolist() == [4.0]
    assert density_loss(shares, 4.0) == pytest.approx(0.0, abs=1e-6)
    above, below = float(density_loss(shares, 8.25)), float(density_loss(shares, 1.875))
    assert above == pytest.approx(1.0)
    assert below == pytest.approx(1.0)


def test_crowding_here_and_nothing_there_is_no_average() -> None:
    crowded = torch.full((1, STEPS), REST)
    crowded[:, 128::2] = FIRST_NOTE
    assert expected_density(certain(crowded)).item() == 4.0
    assert density_loss(certain(crowded), 4.0) > 1.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.9))
def test_what_is_expected_of_certain_tokens_is_what_is_measured(seed: int, share: float) -> None:
    melody = written(np.random.default_rng(seed), share)
    shares = certain(torch.from_numpy(melody.tokens())[None])
    found = measure(melody)
    assert expected_pitch(shares).item() == pytest.approx(found.pitch, rel=1e-5)
    assert expected_density(shares).item() == pytest.approx(found.density, rel=1e-5)


def test_energy_of_the_spectrogram_counts_the_same_notes() -> None:
    random = np.random.default_rng(8)
    for share in (0.1, 0.2, 0.3, 0.45, 0.6):
        melody = written(random, share)
        by_energy = energy_density(melody)
        by_count = expected_density(certain(torch.from_numpy(melody.tokens())[None]), 32)[0].numpy()
        assert by_energy.shape == by_count.shape == (15,)
        assert by_energy == pytest.approx(by_count, rel=0.08, abs=0.15)
    with pytest.raises(ValueError, match="do not go into"):
        energy_density(Melody((), 16))
