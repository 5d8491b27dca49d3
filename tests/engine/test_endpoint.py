from __future__ import annotations

from pathlib import Path

import pytest

from qsep_live.engine.endpoint import SOUND_SUFFIXES, Endpoint
from qsep_live.errors import UsageError


@pytest.mark.parametrize("name", ["USB Audio", "system", "hw:1,0", "Scarlett 2i2 (v1.0)", "7"])
def test_a_name_is_a_device(name: str) -> None:
    assert Endpoint.parse(name) == Endpoint("device", name)
    assert Endpoint.parse(name).is_device


def test_nothing_is_the_default_device_and_demo_the_demo() -> None:
    assert Endpoint.parse(None) == Endpoint("device", "")
    assert Endpoint.parse("demo").kind == "demo"
    assert not Endpoint.parse("demo").is_device


@pytest.mark.parametrize("suffix", SOUND_SUFFIXES)
def test_a_sound_suffix_makes_a_file_that_need_not_exist(suffix: str) -> None:
    for name in (f"song{suffix}", f"a folder/song{suffix.upper()}"):
        assert Endpoint.parse(name) == Endpoint("file", str(Path(name)))


@pytest.mark.parametrize("name", ["./song", "../song", "/srv/song"])
def test_a_path_is_a_file_without_a_suffix(name: str) -> None:
    assert Endpoint.parse(name).kind == "file"


def test_a_jack_server_may_be_named() -> None:
    end = Endpoint.parse("jack:usb")
    assert (end.kind, end.name, end.server, end.label) == ("device", "", "usb", "jack:usb")
    with pytest.raises(UsageError, match="the name of a JACK server is missing"):
        Endpoint.parse("jack:")


def test_home_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Path(Endpoint.parse("~/song.wav").name) == tmp_path / "song.wav"


def test_a_file_that_exists_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Endpoint.parse("take").kind == "device"
    Path("take").write_bytes(b"")
    assert Endpoint.parse("take").kind == "file"
