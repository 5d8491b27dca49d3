from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from qsep_live.audio.devices import DeviceInfo, DeviceNotFoundError, find_device, same_clock
from qsep_live.errors import QsepError, UsageError

ALSA, JACK = "ALSA", "JACK Audio Connection Kit"


def device(index: int, name: str, hostapi: str = ALSA, **more: Any) -> DeviceInfo:
    options = {"inputs": 2, "outputs": 2, "default_rate": 44100, "rates": (44100, 48000)} | more
    return DeviceInfo(index, name, hostapi, **options)


DEVICES = [
    device(0, "HDA Intel PCH: ALC257 (hw:0,0)"),
    device(1, "Scarlett 2i2 USB", inputs=0),
    device(2, "Scarlett 2i2 USB mic", outputs=0),
    device(3, "Scarlett 8i6", default_input=True, default_output=True),
    device(4, "Scarlett 2i2 USB", "OSS"),
    device(5, "system", JACK),
    device(6, "Webcam", outputs=0),
]


@pytest.mark.parametrize(
    ("kind", "name", "index"),
    [
        ("input", None, 3),
        ("output", "system", 5),
        ("output", "SYSTEM", 5),
        ("output", "jack", 5),
        ("input", "hda", 0),
        ("output", "Scarlett 2i2 USB", 1),
        ("output", "Scarlett 2i2 USB, OSS", 4),
        ("output", "2i2", 1),
        ("input", "scarlett", 3),
        ("input", " webcam ", 6),
    ],
)
def test_a_name_or_part_of_it_finds_the_device(kind: Any, name: str | None, index: int) -> None:
    assert find_device(kind, name, DEVICES).index == index


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("output", "webcam", r"no audio output device 'webcam'; there are: HDA Intel PCH.*; Scarlett"),
        ("input", "Scarlet 8i6s", r"did you mean 'Scarlett 8i6'\?"),
        ("input", "", r"no audio input device ''"),
    ],
)
def test_a_wrong_name_lists_what_there_is(kind: Any, name: str, message: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=message) as caught:
        find_device(kind, name, DEVICES)
    assert isinstance(caught.value, UsageError)
    assert "\n" not in str(caught.value)


def test_a_part_of_several_names_lists_them() -> None:
    devices = [device(0, "Webcam left"), device(1, "system", JACK, default_input=True), device(2, "Webcam right")]
    with pytest.raises(DeviceNotFoundError, match="'webcam' fits several audio input devices") as caught:
        find_device("input", "webcam", devices)
    assert str(caught.value).endswith("say which: Webcam left, ALSA; Webcam right, ALSA")


def test_sides_of_one_interface_share_a_clock() -> None:
    both = device(0, "Scarlett 2i2 USB")
    assert same_clock(both, both)
    assert not same_clock(both, device(1, "Webcam"))
    assert not same_clock(both, device(0, "Scarlett 2i2 USB", JACK))
    line, speakers = device(3, "Line In (Scarlett)", "WASAPI"), device(4, "Speakers (Scarlett)", "WASAPI")
    assert same_clock(line, speakers)
    assert not same_clock(line, device(5, "Speakers (Realtek)", "WASAPI"))


def test_no_device_at_all_says_what_to_do() -> None:
    with pytest.raises(QsepError, match=r"there is no audio output device: connect .* --output vocals\.wav"):
        find_device("output", None, [device(0, "mic", outputs=0)])


def test_jack_is_listed_with_its_rate_and_is_the_default(jack: Any, child: Callable[..., Any]) -> None:
    found = child(
        """
        from dataclasses import asdict
        from qsep_live.audio.devices import list_devices, find_device
        first, again = list_devices(), list_devices()
        assert first == again
        chosen = [find_device("input").label, find_device("output", "sys").label]
        report([[asdict(device) for device in first], chosen])
        """,
        jack.env,
    )
    devices, chosen = found
    (system,) = [entry for entry in devices if entry["hostapi"] == JACK]
    assert system["name"] == "system"
    assert (system["inputs"], system["outputs"]) == (2, 2)
    assert system["default_rate"] == 44100
    assert system["rates"] == [44100]
    if sys.platform == "linux":
        assert system["default_input"]
        assert system["default_output"]
        assert chosen == [f"system, {JACK}"] * 2


def test_a_server_that_starts_later_is_seen(jack: Any, child: Callable[..., Any]) -> None:
    found = child(
        """
        server = os.environ.pop("JACK_DEFAULT_SERVER")
        os.environ["JACK_DEFAULT_SERVER"] = "no-such-server"
        from qsep_live.audio.devices import list_devices
        before = [device.name for device in list_devices()]
        os.environ["JACK_DEFAULT_SERVER"] = server
        report([before, [device.name for device in list_devices()]])
        """,
        jack.env,
    )
    before, after = found
    assert "system" not in before
    assert "system" in after


def test_without_portaudio_one_line_says_how_to_get_it(child: Callable[..., Any]) -> None:
    line = child(
        """
        import ctypes.util
        ctypes.util.find_library = lambda name: None
        from qsep_live.audio.devices import list_devices
        from qsep_live.errors import QsepError
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == "_sounddevice_data":
                    raise ImportError(name)
        sys.meta_path.insert(0, Finder())
        try:
            list_devices()
            report("listed")
        except QsepError as error:
            report(str(error))
        """,
        {**os.environ},
    )
    assert line.startswith("the PortAudio library is missing; install it: ")
    if sys.platform == "linux":
        assert "sudo apt install libportaudio2" in line


def test_the_module_does_not_load_portaudio(child: Callable[..., Any]) -> None:
    code = """
        import qsep_live.audio.{0}
        report([name for name in ("sounddevice", "soundfile", "pedalboard") if name in sys.modules])
    """
    for module in ("devices", "stream", "files", "writer", "recorder", "sources", "demo"):
        assert child(code.format(module)) == [], module
