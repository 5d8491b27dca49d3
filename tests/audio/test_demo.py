from __future__ import annotations

import numpy as np
import pytest

from qsep_live.audio.demo import DemoSong, demo_song


@pytest.fixture(scope="module")
def song() -> DemoSong:
    return demo_song()


def level(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-12))


def part(sound: np.ndarray, low: float, high: float) -> float:
    """The share of the power between two frequencies at 44.1 kHz, in dB."""
    power = np.abs(np.fft.rfft(sound.mean(axis=1))) ** 2
    at = np.fft.rfftfreq(len(sound), 1 / 44100)
    return float(10 * np.log10(power[(at >= low) & (at < high)].sum() / power.sum()))


def test_the_mixture_is_the_sum_of_four_stems(song: DemoSong) -> None:
    assert list(song.stems) == ["vocals", "drums", "bass", "other"]
    total = np.zeros_like(song.mixture)
    for stem in song.stems.values():
        assert stem.dtype == np.float32
        assert stem.shape == (882_000, 2)
        total += stem
    assert (total == song.mixture).all()


def test_it_is_mastered_like_music(song: DemoSong) -> None:
    assert 20 * np.log10(np.abs(song.mixture).max()) == pytest.approx(-1, abs=0.05)
    assert -18 < level(song.mixture) < -13
    for stem in song.stems.values():
        assert -9 < level(stem) - level(song.mixture) < -3
    assert np.abs(song.mixture[-1]).max() < 1e-3


def test_the_spectra_are_those_of_the_instruments(song: DemoSong) -> None:
    """Within some decibels of the medians over MUSDB18's training songs."""
    stems = song.stems
    assert part(stems["vocals"], 400, 1600) > -3
    assert part(stems["vocals"], 0, 150) < -30
    assert -30 < part(stems["vocals"], 6400, 11025) < -15
    assert part(stems["bass"], 0, 200) > -2
    assert part(stems["drums"], 0, 200) > -3
    assert part(stems["drums"], 3200, 22050) > -16
    assert part(stems["other"], 100, 3200) > -1.5


def test_the_voice_sings_phrases_with_rests_in_the_middle(song: DemoSong) -> None:
    vocals = song.stems["vocals"]
    loud = [level(piece) for piece in np.array_split(vocals, 200)]
    assert sum(value > -25 for value in loud) > 100
    assert sum(value < -50 for value in loud) > 12
    left, right = vocals.T
    assert np.corrcoef(left, right)[0, 1] > 0.9


def test_the_voice_is_voiced_at_the_melody_and_its_pitch_moves(song: DemoSong) -> None:
    # The long note of the second bar: G4 on the syllable "she", 2.5 s in.
    note = song.stems["vocals"][round(2.9 * 44100) : round(3.35 * 44100)].mean(axis=1)
    pitches = []
    for start in range(0, len(note) - 4096, 512):
        piece = note[start : start + 4096] * np.hanning(4096)
        spectrum = np.abs(np.fft.rfft(piece, 1 << 16)) ** 2
        correlation = np.fft.irfft(spectrum)[:1000]
        lag = 60 + int(np.argmax(correlation[60:300]))
        pitches.append(44100 / lag)
        assert correlation[lag] > 0.4 * correlation[0]
    assert np.median(pitches) == pytest.approx(392.0, rel=0.03)
    assert 0.005 < (max(pitches) - min(pitches)) / 392 < 0.12


def test_equal_arguments_give_equal_samples(song: DemoSong) -> None:
    one, two, other = demo_song(2.0, 22050), demo_song(2.0, 22050), demo_song(2.0, 22050, seed=8)
    assert (one.mixture == two.mixture).all()
    assert not (one.mixture == other.mixture).all()


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 88200, 96000])
def test_any_rate_and_length(rate: int) -> None:
    song = demo_song(1.3, rate)
    assert song.mixture.shape == (round(1.3 * rate), 2)
    assert song.rate == rate
    assert np.isfinite(song.mixture).all()
    for stem in song.stems.values():
        assert level(stem) > -45


def test_a_longer_song_goes_on() -> None:
    song = demo_song(27.0, 16000)
    assert level(song.mixture[20 * 16000 : 26 * 16000]) > -20


@pytest.mark.parametrize(("seconds", "rate"), [(0, 44100), (-1, 44100), (5, 8000)])
def test_what_is_no_song_is_refused(seconds: float, rate: int) -> None:
    with pytest.raises(ValueError, match="a song of"):
        demo_song(seconds, rate)
