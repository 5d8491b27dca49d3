from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qsep_live.audio.writer import write_audio
from qsep_live.compose.mel import BANDS, FLOOR, HOP, N_FFT, PIECE, RATE, Array, Mel, mel_of, read_mel
from qsep_live.compose.mel_inversion import LOOKAHEAD, StreamInversion, bins_of, filterbank, sound_of
from qsep_live.compose.mel_pieces import SHORTEST, cut_song, cut_songs, find_songs, load_pieces, save_pieces
from qsep_live.errors import QsepError, UsageError

Band = Callable[[int, float], Array]


@pytest.fixture(scope="module")
def music(band: Band) -> Array:
    return band(1, 4.0)


def streamed(db: Array, loudest: float) -> Array:
    """Aligned with librosa's frames, which are centred."""
    stream = StreamInversion(loudest)
    pieces = [stream.push(frame) for frame in db]
    return np.concatenate([*pieces, stream.flush()])[LOOKAHEAD * HOP + N_FFT // 2 :][: (len(db) - 1) * HOP]


def test_a_spectrogram_is_relative_to_its_loudest(music: Array) -> None:
    mel, louder = mel_of(music), mel_of(2.0 * music)
    assert mel.db.shape == (1 + len(music) // HOP, BANDS)
    assert mel.db.dtype == np.float32
    assert (mel.db.max(), mel.db.min()) == pytest.approx((0.0, FLOOR), abs=1e-4)
    assert np.allclose(mel.db, louder.db, atol=1e-3)
    assert louder.loudest == pytest.approx(4.0 * mel.loudest, rel=1e-4)


@pytest.mark.parametrize("inversion", [lambda mel: sound_of(mel), lambda mel: streamed(mel.db, mel.loudest)])
def test_sound_has_the_spectrogram_that_it_was_made_from(music: Array, inversion: object) -> None:
    mel = mel_of(music)
    again = mel_of(inversion(mel))  # type: ignore[operator]
    frames = min(len(mel.db), len(again.db)) - 16
    level = 10.0 * np.log10(again.loudest / mel.loudest)
    apart = again.db[8:frames] + level - mel.db[8:frames]
    heard = mel.db[8:frames] > -60.0
    assert np.sqrt(np.mean(apart[heard] ** 2)) < 3.5
    late = (again.db[8:frames] + level - mel.db[14 : frames + 6])[heard]
    assert np.sqrt(np.mean(late**2)) > 5.0


def test_a_files_sound_is_the_same_at_every_level(music: Array) -> None:
    db = mel_of(music).db[:40]
    loud, soft = sound_of(Mel(db, 1e3)), sound_of(Mel(db, 1e-5))
    assert np.allclose(1e-4 * loud, soft, rtol=1e-5)


def test_a_stream_is_the_same_however_it_is_cut_and_starts_anew(music: Array) -> None:
    mel = mel_of(music)
    assert np.array_equal(streamed(mel.db[:60], mel.loudest), streamed(mel.db[:60], mel.loudest))
    whole, part = streamed(mel.db[:90], mel.loudest), streamed(mel.db[:60], mel.loudest)
    settled = len(part) - (LOOKAHEAD + 1) * HOP
    assert np.array_equal(whole[:settled], part[:settled])  # the future has no say beyond the look-ahead


def test_bins_have_the_power_of_their_bands(music: Array) -> None:
    mel = mel_of(music)
    power = 10.0 ** (mel.db[40] / 10.0)
    bins = bins_of(power)
    assert bins.shape == (N_FFT // 2 + 1,)
    assert (bins >= 0.0).all()
    assert np.abs(filterbank() @ bins - power).sum() < 0.1 * power.sum()
    assert np.abs(filterbank() @ (bins[::-1]) - power).sum() > power.sum()


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.zeros(RATE, np.float32), "it is silent"),
        (np.ones(N_FFT - 1, np.float32), "shorter than a frame of the spectrogram (0.093 s)"),
    ],
)
def test_what_has_no_spectrogram_is_said(sound: Array, words: str, tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", sound[:, None], RATE, "FLOAT")
    with pytest.raises(QsepError) as told:
        read_mel(path)
    assert str(told.value).startswith(f"{path}: ")
    assert words in str(told.value)


def test_a_song_is_cut_into_pieces_and_its_stems_are_added(band: Band, tmp_path: Path) -> None:
    one, two = band(1, 50.0), band(2, 49.0)
    files = [write_audio(tmp_path / f"{name}.wav", sound[:, None], RATE, "FLOAT")
             for name, sound in (("a", one), ("b", two))]  # fmt: skip
    pieces = cut_song("song", files, copies=0, seed=0)
    mixed = one + np.pad(two, (0, len(one) - len(two)))
    assert [len(piece.db) for piece in pieces] == [PIECE]  # the rest is shorter than 3 s
    assert len(mel_of(mixed).db) - PIECE < SHORTEST
    assert np.allclose(pieces[0].db, mel_of(mixed).db[:PIECE], atol=1e-3)


def test_copies_are_other_music_and_always_the_same(band: Band, tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", band(1, 6.0)[:, None], RATE, "FLOAT")
    first, again = (cut_song("song", [path], copies=2, seed=3) for _ in range(2))
    assert [piece.copy for piece in first] == [0, 1, 2]
    assert len({len(piece.db) for piece in first}) == 3  # faster or slower
    assert all(np.array_equal(a.db, b.db) for a, b in zip(first, again, strict=True))


def test_pieces_come_back_from_their_file(band: Band, tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", band(1, 5.0)[:, None], RATE)
    pieces = cut_song("song", [path], copies=1, seed=0)
    save_pieces(pieces, tmp_path / "s.safetensors")
    found = load_pieces(tmp_path / "s.safetensors")
    assert [(each.song, each.copy, each.loudest) for each in found] == [
        (each.song, each.copy, each.loudest) for each in pieces
    ]
    assert all(np.abs(a.db - b.db).max() < 0.05 for a, b in zip(pieces, found, strict=True))


def test_what_cannot_be_used_is_left_out_and_said(band: Band, tmp_path: Path) -> None:
    good = write_audio(tmp_path / "good.wav", band(1, 4.0)[:, None], RATE)
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    said: list[str] = []
    pieces = cut_songs({"good": [good], "bad": [bad]}, 0, 0, said.append, lambda share, text: None)
    assert {piece.song for piece in pieces} == {"good"}
    assert len(said) == 1
    assert str(bad) in said[0]
    with pytest.raises(QsepError, match=r"none of the 2 songs"):
        cut_songs({"bad": [bad], "worse": [bad]}, 0, 0, said.append, lambda share, text: None)


def test_stems_lie_in_a_folder_for_each_song(tmp_path: Path) -> None:
    files = [tmp_path / "one" / "drums.wav", tmp_path / "one" / "bass.wav", tmp_path / "two" / "drums.wav"]
    assert find_songs(tmp_path, files, stems=True) == {"one": files[:2], "two": files[2:]}
    assert len(find_songs(tmp_path, files, stems=False)) == 3
    with pytest.raises(UsageError, match="a folder for each song"):
        find_songs(tmp_path, [tmp_path / "drums.wav"], stems=True)


@pytest.mark.parametrize("data", [b"", b"no tensors", None])
def test_a_file_that_holds_no_pieces_is_named(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "s.safetensors"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(QsepError, match=str(path)):
        load_pieces(path)
