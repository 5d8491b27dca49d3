from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.audio.files import open_audio, read_audio
from qsep_live.cli import offline
from qsep_live.cli.render import find_tracks
from qsep_live.errors import UsageError

Qsep = Callable[..., Any]
Write = Callable[..., Path]
Model = tuple[Path, str]


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_for_each_song_and_a_file_for_each_preset(
    qsep: Qsep, wav: Write, tiny_model: Model, work: Path
) -> None:
    wav("album/a.wav", 1.0, 8000, 1)
    wav("album/b.flac", 0.5, subtype="PCM_16")
    wav("album/disc 2/c.wav", 0.5)
    (work / "album" / "cover.jpg").write_bytes(b"no sound")
    single = wav("single.wav", 0.4)
    told = qsep("render", "album", single, "-o", "out", "-p", "one,two", "--model", tiny_model[0])
    assert (told.code, told.err) == (0, "")
    names = ["a", "b", "disc 2/c", "single"]
    assert written(work / "out") == sorted(f"{name}/{preset}.wav" for name in names for preset in ("one", "two"))
    assert told.out.count("times real time") == 9
    assert "8 files written" in told.out.splitlines()[-1]
    with open_audio("out/b/one.wav") as stem:
        assert (stem.rate, stem.channels, stem.frames, stem.subtype) == (44100, 2, 22050, "PCM_16")


def test_a_batch_and_a_single_file_give_the_same_sound(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    source = wav("in.wav")
    assert qsep("render", source, "-p", "one", "--model", tiny_model[0]).code == 0
    assert qsep("-i", source, "-o", "out.wav", "-p", "one", "--model", tiny_model[0]).code == 0
    assert Path("separated/in/one.wav").read_bytes() == Path("out.wav").read_bytes()


def test_presets_at_once_sound_as_one_by_one(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    """Also with a rack that takes its time behind one of them, and with a delay as live."""
    source = wav("in.wav", 2.0, subtype="FLOAT")
    Path("slow.toml").write_text('schema = 1\n[[effect]]\ntype = "BrickwallLimiter"\nname = "top"\n')
    for options in ((), ("--rack", "slow.toml"), ("--delay", "30ms", "--mode", "remove")):
        arguments = ("render", source, "--overwrite", "--model", tiny_model[0], *options)
        together = qsep(*arguments, "-o", "together", "-p", "one,two", "--json")
        assert together.code == 0, together.err
        rows = [json.loads(line) for line in together.out.splitlines()]
        assert [(row["preset"], row["presets_at_once"]) for row in rows] == [("one", 2), ("two", 2)]
        for preset in ("one", "two"):
            assert qsep(*arguments, "-o", "apart", "-p", preset).code == 0
        for name in written(Path("apart")):
            expected = read_audio(Path("apart") / name)[0]
            # Of several latents at once the network adds in another order.
            np.testing.assert_allclose(read_audio(Path("together") / name)[0], expected, atol=2e-4)
            assert np.abs(expected).max() > 0.01
    assert not np.allclose(read_audio("apart/in/one.wav")[0], read_audio("apart/in/two.wav")[0], atol=1e-3)


def test_presets_at_once_ask_the_network_once(
    qsep: Qsep, wav: Write, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []
    given = offline.TimedNetwork.__call__

    def counted(self: offline.TimedNetwork, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
        asked.append(z.shape)
        return given(self, magnitude, z)

    monkeypatch.setattr(offline.TimedNetwork, "__call__", counted)
    told = qsep("render", wav("in.wav", 2.0), "-p", "one,two", "--json", "--model", tiny_model[0])
    windows = [json.loads(line)["windows"] for line in told.out.splitlines()]
    assert windows == [len(asked)] * 2
    assert set(asked) == {(2, 32)}


def test_stems_and_what_remains_add_up(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    source = wav("in.wav", subtype="FLOAT")
    for mode in ("isolate", "remove", "balance"):
        told = qsep("render", source, "-o", "out", "-p", "one", "--mode", mode, "--model", tiny_model[0])
        assert told.code == 0
    assert written(Path("out")) == ["in/no_one.wav", "in/one.wav", "in/one_balance.wav"]
    whole = read_audio("out/in/one.wav")[0] + read_audio("out/in/no_one.wav")[0]
    np.testing.assert_allclose(whole, read_audio(source)[0], atol=2e-6)


def test_one_bad_file_does_not_stop_the_others(qsep: Qsep, wav: Write, tiny_model: Model, work: Path) -> None:
    wav("b.wav", 0.3)
    (work / "a.wav").write_bytes(b"")
    cut = wav("cut.wav", 0.3)
    cut.write_bytes(cut.read_bytes()[:5000])
    told = qsep(
        "render", "a.wav", "b.wav", "gone.wav", "cut.wav", "-o", "out", "-p", "one,two", "--model", tiny_model[0]
    )
    assert told.code == 1
    assert written(work / "out") == ["b/one.wav", "b/two.wav"]
    assert sorted(path.name for path in (work / "out").iterdir()) == ["b"]
    errors = told.err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("qsep-live: error: ") for line in errors)
    assert [name in line for name, line in zip(("a.wav", "gone.wav", "cut.wav"), errors, strict=True)] == [True] * 3
    assert "2 files written, 3 failed" in told.out


def test_nothing_is_left_of_a_batch_that_failed_whole(qsep: Qsep, work: Path, tiny_model: Model) -> None:
    told = qsep("render", "gone.wav", "-o", "out", "-p", "one", "--model", tiny_model[0])
    told.fails(1, "gone.wav")
    assert list(work.iterdir()) == []


def test_what_exists_is_kept_unless_told_otherwise(qsep: Qsep, wav: Write, tiny_model: Model, work: Path) -> None:
    wav("a.wav", 0.3)
    old = work / "out" / "a" / "one.wav"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    arguments = ("render", "a.wav", "-o", "out", "-p", "one,two", "--model", tiny_model[0])
    told = qsep(*arguments)
    told.fails(1, "one.wav", "exists already", "--overwrite")
    assert old.read_text() == "old"
    assert (work / "out" / "a" / "two.wav").is_file()
    assert qsep(*arguments, "--overwrite").code == 0
    assert read_audio(old)[0].shape == (13230, 2)


def test_json(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    told = qsep("render", wav("a.wav", 0.3), "gone.wav", "-p", "one", "--json", "--model", tiny_model[0])
    assert told.code == 1
    result, error = [json.loads(line) for line in told.out.splitlines()]
    assert (result["type"], result["preset"], result["seconds"]) == ("result", "one", 0.3)
    assert result["output"] == str(Path("separated/a/one.wav"))
    assert (error["type"], "gone.wav" in error["text"]) == ("error", True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-p", "onne", "a.wav"], 2, ["onne"]),
        (["-p", "stranger", "a.wav"], 2, ["stranger"]),
        (["-p", "one", "--rack", "gone.toml", "a.wav"], 2, ["gone.toml"]),
        (["-p", "one", "--format", "m4a", "a.wav"], 2, ["m4a"]),
        (["-p", "one", "empty"], 2, ["empty", "no sound file"]),
        (["-p", "one", "-o", "a.wav", "a.wav"], 2, ["a.wav", "folder"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_is_wrong_for_all_files_is_told_once(
    qsep: Qsep, wav: Write, work: Path, tiny_model: Model, arguments: list[str], code: int, words: list[str]
) -> None:
    wav("a.wav", 0.3)
    (work / "empty").mkdir()
    qsep("render", "--model", tiny_model[0], *arguments).fails(code, *words)
    assert sorted(path.name for path in work.iterdir()) == ["a.wav", "empty"]


def test_songs_with_equal_names_get_folders_of_their_own(tmp_path: Path) -> None:
    for name in ("x/song.wav", "x/song.mp3", "x/deep/song.wav", "y/song.wav", "x/.hidden.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    tracks = find_tracks([tmp_path / "x", tmp_path / "y" / "song.wav"], tmp_path / "out")
    folders = {str(track.path.relative_to(tmp_path)): str(track.folder) for track in tracks}
    assert len(set(folders.values())) == len(folders) == 4
    assert folders["x/deep/song.wav"] == str(Path("deep/song"))
    assert folders["x/song.mp3"] == "song.mp3"


def test_results_of_another_run_are_no_input(tmp_path: Path) -> None:
    for name in ("song.wav", "separated/song/vocals.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (track,) = find_tracks([tmp_path], tmp_path / "separated")
    assert track.path == tmp_path / "song.wav"
    with pytest.raises(UsageError, match="no sound file"):
        find_tracks([tmp_path / "separated"], tmp_path / "separated")


@pytest.mark.parametrize("suffix", ["wave", "aifc", "au", "caf", "w64"])
def test_a_folder_of_any_kind_that_is_read_alone_is_rendered(
    qsep: Qsep, wav: Write, tiny_model: Model, suffix: str
) -> None:
    import soundfile

    source = wav("in.wav", 0.5, subtype="PCM_16")
    sound, rate = soundfile.read(source, dtype="int16")
    Path("album").mkdir()
    kind = {"wave": "WAV", "aifc": "AIFF"}.get(suffix, suffix.upper())
    soundfile.write(f"album/a.{suffix}", sound, rate, "PCM_16", format=kind)
    source.unlink()
    told = qsep("render", "album", "-o", "out", "-p", "one", "--model", tiny_model[0])
    assert told.code == 0, told.err
    assert [path.name for path in Path("out/a").iterdir()] == ["one.wav"]


def test_a_wave_is_a_file_not_a_device(qsep: Qsep, wav: Write, tiny_model: Model) -> None:
    told = qsep("-i", wav("in.wav", 0.5), "-o", "z.wave", "-p", "one", "--model", tiny_model[0])
    assert told.code == 0, told.err
    assert Path("z.wave").is_file()
