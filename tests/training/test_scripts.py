"""The scripts that make data and measure recipes: started, or read as modules."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
import torch

from qsep_live.errors import QsepError
from qsep_live.nets.model import Model
from qsep_live.nets.openvino_ops import import_openvino
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig
from qsep_live.training.data import folder_bank

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SOUNDFONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
RATE = 22_050


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def band(path: Path) -> Path:
    """Four seconds of bass drum, bass and electric guitar."""
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    file.tracks.append(track)
    for channel, program, note in ((9, 0, 36), (0, 33, 40), (1, 27, 64)):
        track.append(mido.Message("program_change", channel=channel, program=program))
        for _ in range(4):
            track.append(mido.Message("note_on", channel=channel, note=note, velocity=100))
            track.append(mido.Message("note_off", channel=channel, note=note, time=160))
    path.parent.mkdir()
    file.save(path)
    return path


def hits(root: Path) -> Path:
    """One recorded bass drum: a click of a hundredth of a second."""
    (root / "drums").mkdir(parents=True)
    sound = np.zeros(RATE // 4, np.float32)
    sound[:220] = 0.5
    soundfile.write(root / "drums" / "kit__00.ogg", sound, RATE)
    entry = {"f": "kick-1.wav", "start": 0.0, "dur": 0.25, "orig_peak": 1.0, "midi": 36, "label": "kick"}
    (root / "drums" / "kit__00.json").write_text(json.dumps([entry]))
    return root


@pytest.mark.skipif(not SOUNDFONT.exists(), reason="needs timgm6mb-soundfont (Debian)")
def test_songs_from_midi_are_stems_to_train_on(tmp_path: Path) -> None:
    midi, oneshots = band(tmp_path / "midi" / "tune.mid"), hits(tmp_path / "hits")

    def made(name: str) -> Path:
        command = [sys.executable, SCRIPTS / "song_stems.py", midi, "--soundfont", SOUNDFONT, "--oneshots", oneshots]
        subprocess.run([*command, "--seconds", "4", "--passes", "2", "-o", tmp_path / name], check=True, timeout=120)
        return tmp_path / name

    once = made("once")
    bank = folder_bank(once, strict=True)
    assert [sorted(song.stems) for song in bank.songs] == [["bass", "drums", "other"]] * 2
    assert all(stem.shape == (2, 4 * RATE) for song in bank.songs for stem in song.stems.values())
    first, second = (song.stems["bass"] for song in bank.songs)
    assert not np.array_equal(first, second), "each pass is another performance"
    again = made("again")
    for path in once.rglob("*.flac"):
        np.testing.assert_array_equal(
            soundfile.read(path)[0], soundfile.read(again / path.relative_to(once))[0], err_msg=path.name
        )


def test_recorded_notes_are_moved_to_pitch() -> None:
    songs = script("song_stems")
    when = np.arange(RATE) / RATE
    shot = songs.Shot("a.wav", 69, "perc", np.sin(2 * np.pi * 440.0 * when).astype(np.float32))
    played = songs.play_notes([shot], [songs.Note(0.5, 0.4, 81, 1.0)], 1.0, np.random.default_rng(0))
    assert not played[: RATE // 2].any()
    spectrum = np.abs(np.fft.rfft(played[RATE // 2 : RATE // 2 + 8820]))
    assert np.argmax(spectrum) * RATE / 8820 == pytest.approx(880.0, abs=3.0)
    assert not played[round((0.9 + songs.RELEASE) * RATE) + 1 :].any()


def test_an_ablation_says_what_a_setting_is_worth() -> None:
    ablation = script("ablation")
    whole = [
        {(0, "vocals"): 4.0, (1, "vocals"): 3.0, (1, "bass"): 2.0},
        {(0, "vocals"): 4.2, (1, "vocals"): 3.2, (1, "bass"): 2.2},
    ]
    text = ablation.table(
        {"everything": whole[0], "speed": {(0, "vocals"): 2.0, (1, "vocals"): 4.0, (1, "bass"): 1.8}}, whole
    )
    assert "| speed | 3.00 | 1.80 | 2.60 | +0.40 | 2 of 3 |" in text
    assert "2 runs with everything lie 0.20 dB apart" in text


def test_the_mean_of_two_models_and_none_of_strangers() -> None:
    average = script("average_models")

    def made(seed: int, query: int = 0, widths: tuple[int, ...] = (2, 2, 4, 4, 4, 4)) -> Model:
        torch.manual_seed(query)
        query_net = QueryNet(QueryNetConfig(channels=(2, 2, 4, 4, 4, 4), gru_units=8))
        torch.manual_seed(seed)
        return Model(Separator(SeparatorConfig(widths=widths)), query_net)

    first = {name: value.clone() for name, value in made(1).separator.state_dict().items()}
    second = made(2).separator.state_dict()
    for name, value in average.mean_of([made(1), made(2)]).separator.state_dict().items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)
    with pytest.raises(QsepError, match="Query-nets differ"):
        average.mean_of([made(1), made(2, query=3)])
    with pytest.raises(QsepError, match="different shapes"):
        average.mean_of([made(1), made(2, widths=(2, 2, 4, 4, 4, 6))])


def test_the_mean_with_a_smaller_network_is_of_what_both_have() -> None:
    average = script("average_models")

    def made(seed: int, **changes: Any) -> Model:
        config = replace(PatchUNetConfig((4, 6), channels=2), **changes)
        torch.manual_seed(7)
        query_net = QueryNet(QueryNetConfig(channels=(2, 2, 4, 4, 4, 4), gru_units=8))
        torch.manual_seed(seed)
        return Model(PatchUNet(config), query_net)

    large, small = made(1, bands=2, attention=1), made(2)
    first = {name: value.clone() for name, value in large.separator.state_dict().items()}
    second = small.separator.state_dict()
    mean = average.mean_of([large, small]).separator.state_dict()
    for name in first:
        theirs = second.get(name, second.get(re.sub(r"\.bands\.\d", "", name)))
        if name.startswith("attention."):
            assert torch.equal(mean[name], first[name]), name
        elif ".film." not in name:
            torch.testing.assert_close(mean[name], (first[name] + theirs) / 2, msg=name)
    with pytest.raises(QsepError, match="different shapes"):
        average.mean_of([made(2), made(1, bands=2)])
    with pytest.raises(QsepError, match="different shapes"):
        average.mean_of([made(2, widths=(6, 6)), made(1)])


def teacher(path: Path) -> Path:
    """A network with HTDemucs's inputs and outputs that gives each stem a share of the spectrum or of the sound."""
    openvino, ops = import_openvino()
    music = script("music_stems")
    sound = ops.parameter([1, 2, music.LENGTH], np.float32, name="sound")
    spectrum = ops.parameter([1, 4, music.BINS, music.FRAMES], np.float32, name="spectrum")
    axis = ops.constant(1, np.int64)
    shares = np.array([0.5, 0.01, 0.3, 0.0], np.float32).reshape(1, 4, 1, 1, 1)
    spectra = ops.multiply(ops.unsqueeze(spectrum, axis), ops.constant(shares))
    added = np.array([0.0, 0.0, 0.0, 0.2], np.float32).reshape(1, 4, 1, 1)
    sounds = ops.multiply(ops.unsqueeze(sound, axis), ops.constant(added))
    openvino.save_model(openvino.Model([spectra, sounds], [sound, spectrum]), path, compress_to_fp16=False)
    return path


def test_music_without_stems_gets_them_from_a_teacher(tmp_path: Path) -> None:
    music = script("music_stems")
    network = teacher(tmp_path / "teacher.xml")
    random = np.random.default_rng(0)
    sound = (0.1 * random.standard_normal((2, music.LENGTH))).astype(np.float32)
    drums, bass, other, vocals = music.Teacher(network, 1).separate(sound)
    for stem, share in ((drums, 0.5), (bass, 0.01), (other, 0.3), (vocals, 0.2)):
        np.testing.assert_allclose(stem[:, 4096:-4096], share * sound[:, 4096:-4096], atol=0.01 * share)

    songs = tmp_path / "songs"
    (songs / "tracks").mkdir(parents=True)
    long = (0.1 * random.standard_normal((20 * 44_100, 2))).astype(np.float32)
    soundfile.write(songs / "song.flac", long, 44_100)
    for name in ("one", "other"):
        soundfile.write(songs / "tracks" / f"{name}.flac", long[: 9 * 44_100, 0], 44_100)
    (songs / "tracks" / "cover.png").write_bytes(b"no")
    (songs / "not sound.ogg").write_bytes(b"no")
    soundfile.write(songs / "short.flac", long[:44_100], 44_100)
    soundfile.write(songs / "silent.flac", 0 * long, 44_100)
    command = [
        sys.executable,
        SCRIPTS / "music_stems.py",
        *sorted(songs.iterdir()),
        "--teacher",
        network,
        "--pieces",
        "2",
    ]
    first = subprocess.run([*command, "-o", tmp_path / "out"], check=True, timeout=120, capture_output=True, text=True)
    assert "not sound.ogg is damaged" in first.stdout
    assert "4 pieces more" in first.stdout
    # What an interrupted run leaves behind is not trained on.
    music.write({"drums": long[: 2 * RATE]}, tmp_path / "out" / "begun")
    (tmp_path / "out" / "begun").rename(tmp_path / "out" / ".begun.part")
    bank = folder_bank(tmp_path / "out", strict=True)
    assert [sorted(song.stems) for song in bank.songs] == [["drums", "other"]] * 4
    assert {stem.shape for song in bank.songs for stem in song.stems.values()} == {(2, round(7.2 * RATE))}
    again = subprocess.run([*command, "-o", tmp_path / "out"], check=True, timeout=120, capture_output=True, text=True)
    assert "0 pieces more" in again.stdout


def test_a_teacher_of_another_kind_is_refused(tmp_path: Path) -> None:
    music = script("music_stems")
    openvino, ops = import_openvino()
    sound = ops.parameter([1, 2, 5], np.float32)
    path = tmp_path / "other.xml"
    openvino.save_model(openvino.Model([ops.relu(sound)], [sound]), path)
    with pytest.raises(QsepError, match=r"other\.xml is not HTDemucs"):
        music.Teacher(path, 1)
    with pytest.raises(QsepError, match="no such file"):
        music.Teacher(tmp_path / "none.onnx", 1)
