from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qsep_live.errors import QsepError
from qsep_live.rack import plugins
from qsep_live.rack.plugins import find_plugins, load, standard_folders
from qsep_live.rack.rack import Rack

Sound = NDArray[np.float32]
RATE = 44100


def effect(folder: Path, plugin: str = "DragonflyPlateReverb.vst3", more: str = "") -> str:
    return f"[[effect]]\nplugin = '{folder / plugin}'\nname = 'hall'\n{more}\n"


def noise(frames: int, channels: int = 2) -> Sound:
    return (0.1 * np.random.default_rng(3).standard_normal((frames, channels))).astype(np.float32)


@pytest.mark.parametrize("plugin", ["DragonflyPlateReverb.vst3", "DragonflyHallReverb.vst3"])
def test_a_real_plugin_keeps_the_contract(
    vst3_folder: Path, make_rack: Callable[..., Rack], play: Callable[..., Sound], plugin: str
) -> None:
    rack, sound = make_rack(effect(vst3_folder, plugin)), noise(9000)
    whole = play(rack, sound, [512])
    assert rack.faults == {}
    assert np.abs(whole).max() > 0.05
    for sizes in ([1], [64], [1, 2, 3, 17, 512, 256, 5, 100]):
        rack.reset()
        assert np.abs(play(rack, sound, sizes) - whole).max() < 1e-6


def test_values_from_the_file_are_heard(
    vst3_folder: Path, make_rack: Callable[..., Rack], play: Callable[..., Sound]
) -> None:
    rack = make_rack(effect(vst3_folder, more="[effect.parameters]\ndry_level = 50\nwet_level = 0"))
    sound = noise(4000)
    out = play(rack, sound, [128])
    assert out[rack.latency :] == pytest.approx(0.5 * sound[: -rack.latency], abs=1e-5)
    by_name = {p.name: p for p in rack.parameters}
    assert by_name["rack.hall.dry_level"].default == pytest.approx(50)
    assert (by_name["rack.hall.decay_s"].unit, by_name["rack.hall.decay_s"].maximum) == ("s", 10.0)
    assert "rack.hall.buffer_size_frames" not in by_name


def test_a_parameter_glides_while_another_thread_plays(vst3_folder: Path, make_rack: Callable[..., Rack]) -> None:
    rack = make_rack(effect(vst3_folder, more="[effect.parameters]\ndry_level = 0\nwet_level = 0"))
    out: list[Sound] = []

    def audio() -> None:
        for number in range(80):
            if number == 10:
                rack.set("rack.hall.dry_level", 100.0)
            out.append(rack.process(np.ones((256, 2), np.float32)))

    thread = threading.Thread(target=audio)
    thread.start()
    thread.join()
    sound = np.concatenate(out)[:, 0]
    assert rack.faults == {}
    assert np.abs(sound[: 10 * 256]).max() < 1e-6
    assert sound[-1] == pytest.approx(1.0, abs=1e-4)
    assert np.abs(np.diff(sound)).max() < 0.02


def test_a_reset_keeps_what_was_set(vst3_folder: Path, make_rack: Callable[..., Rack]) -> None:
    rack = make_rack(effect(vst3_folder, more="[effect.parameters]\nwet_level = 0"))
    rack.set("rack.hall.dry_level", 25.0)
    ones = np.ones((512, 2), np.float32)
    for _ in range(40):
        rack.process(ones)
    rack.reset()
    for _ in range(10):
        out = rack.process(ones)
    assert out == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_stereo_only_plugin_serves_any_number_of_channels(
    vst3_folder: Path, make_rack: Callable[..., Rack], play: Callable[..., Sound], channels: int
) -> None:
    rack = make_rack(effect(vst3_folder, more="[effect.parameters]\ndry_level = 100\nwet_level = 0"), channels)
    sound = noise(3000, channels)
    out = play(rack, sound, [100])
    assert out[rack.latency :] == pytest.approx(sound[: -rack.latency], abs=1e-5)


def test_a_constant_block_is_counted(
    vst3_folder: Path, make_rack: Callable[..., Rack], play: Callable[..., Sound]
) -> None:
    rack = make_rack(effect(vst3_folder, more="block = 64\n[effect.parameters]\ndry_level = 100\nwet_level = 0"))
    sound = noise(3000)
    assert rack.delays == {"hall": 63}
    out = play(rack, sound, [100, 7, 1])
    assert out[rack.latency :] == pytest.approx(sound[: -rack.latency], abs=1e-5)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[effect.parameters]\ndry_levl = 3", ["did you mean 'dry_level'?", "predelay_ms"]),
        ("[effect.parameters]\nbuffer_size_frames = 64", ["no parameter"]),
        ("[effect.parameters]\ndry_level = 300", ["dry_level = 300", "0 to 100 %"]),
        ("[effect.parameters]\ndry_level = 'loud'", ["'loud'", "0 to 100 %"]),
        ("plugin_name = 'Nothing'", ["'Nothing'", "Dragonfly Plate Reverb"]),
    ],
)
def test_mistakes_in_a_plugins_table(
    vst3_folder: Path, make_rack: Callable[..., Rack], more: str, words: list[str]
) -> None:
    with pytest.raises(QsepError) as caught:
        make_rack(effect(vst3_folder, more=more))
    message = str(caught.value)
    assert "\n" not in message
    assert "rack.toml:3: hall: " in message
    for word in words:
        assert word in message


def test_a_plugin_is_found_by_name_in_the_standard_folders(
    vst3_folder: Path, make_rack: Callable[..., Rack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "standard_folders", lambda: (vst3_folder,))
    assert len(find_plugins()) == 4
    assert all(path.parent == vst3_folder for path in find_plugins())
    assert make_rack("[[effect]]\nplugin = 'DragonflyPlateReverb'\n").delays == {"dragonflyplatereverb": 0}
    with pytest.raises(QsepError, match=r"did you mean 'DragonflyHallReverb\.vst3'\?.*DragonflyRoomReverb"):
        make_rack("[[effect]]\nplugin = 'DragonflyHal.vst3'\n")


def test_plugins_load_on_the_main_thread_alone(vst3_folder: Path) -> None:
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            load(vst3_folder / "DragonflyPlateReverb.vst3")
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_what_is_no_plugin(make_rack: Callable[..., Rack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "standard_folders", lambda: (tmp_path / "none",))
    with pytest.raises(QsepError, match=r"rack\.toml:3: gone: no plugin 'gone\.vst3'"):
        make_rack("[[effect]]\nplugin = 'gone.vst3'\n")
    (tmp_path / "text.vst3").write_text("no plugin")
    (tmp_path / "hollow.vst3").mkdir()
    for name in ("text", "hollow"):
        with pytest.raises(QsepError, match=rf"rack\.toml:3: {name}: cannot load {name}\.vst3: \S") as caught:
            make_rack(f"[[effect]]\nplugin = '{name}.vst3'\n")
        assert "\n" not in str(caught.value)


def test_bundles_are_listed_once(tmp_path: Path) -> None:
    inner = tmp_path / "maker" / "Big.vst3" / "Contents" / "x86_64-win"
    inner.mkdir(parents=True)
    (inner / "Big.vst3").touch()
    (tmp_path / "alone.vst3").touch()
    assert [p.relative_to(tmp_path) for p in find_plugins([tmp_path])] == [Path("alone.vst3"), Path("maker/Big.vst3")]
    assert standard_folders()
    assert all(os.fspath(folder) for folder in standard_folders())
