"""Audio devices, found by name. PortAudio is loaded here, and only when it is needed.

Threading: call from one thread. The list is read anew each time, unless a stream is open: PortAudio cannot
look again while it plays.
"""

from __future__ import annotations

import ctypes
import difflib
import functools
import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

from qsep_live.errors import QsepError, UsageError

Kind = Literal["input", "output"]
RATES = (44100, 48000, 88200, 96000)
JACK_API = "JACK Audio Connection Kit"
#: Streams open in this process; PortAudio must not be restarted under them.
open_streams: set[int] = set()


class DeviceNotFoundError(UsageError):
    """No device has the name, or several have, or there is none: a device that was unplugged, until it is back."""


@dataclass(frozen=True)
class DeviceInfo:
    """One audio device.

    Attributes
    ----------
    index : int
        PortAudio's number; valid until the list is read again.
    name, hostapi : str
    inputs, outputs : int
        Channels.
    default_rate : int
        Sample rate in Hz the device prefers. A JACK device has only this one.
    rates : tuple of int
        Those of 44100, 48000, 88200 and 96000 Hz that it opens with now; empty when it is busy.
    default_input, default_output : bool
        Whether it is what `find_device` takes when no name is given.
    """

    index: int
    name: str
    hostapi: str
    inputs: int
    outputs: int
    default_rate: int
    rates: tuple[int, ...]
    default_input: bool = False
    default_output: bool = False

    @property
    def label(self) -> str:
        """Name and host API: unambiguous where the same device appears under several host APIs."""
        return f"{self.name}, {self.hostapi}"

    def channels(self, kind: Kind) -> int:
        """Channels in one direction."""
        return self.inputs if kind == "input" else self.outputs


JACK_NAME = "qsep-live"


def load_portaudio(name: str = JACK_NAME) -> Any:
    """Import sounddevice, or say in one line how to get PortAudio.

    Parameters
    ----------
    name
        What a JACK server calls this process, from the next listing of devices on.
    """
    # PortAudio's JACK client would otherwise try to start a server of its own.
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    try:
        import sounddevice
    except OSError as error:
        how = {
            "linux": "sudo apt install libportaudio2 (or your distribution's portaudio package)",
            "darwin": "brew install portaudio",
        }.get(sys.platform, "reinstall sounddevice: pip install --force-reinstall sounddevice")
        raise QsepError(f"the PortAudio library is missing; install it: {how}") from error
    except ImportError as error:
        raise QsepError("the sounddevice package is missing: pip install sounddevice") from error
    # sounddevice has no call for it, and PortAudio has one only where it speaks JACK; it keeps the pointer.
    library = ctypes.CDLL(sounddevice._libname)
    if hasattr(library, "PaJack_SetClientName"):
        library.PaJack_SetClientName(_kept(name))
    return sounddevice


@functools.cache
def _kept(name: str) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(name.encode())


def list_devices(name: str = JACK_NAME) -> list[DeviceInfo]:
    """All audio devices there are now, in PortAudio's order; a JACK server sees ``name`` asking.

    Raises
    ------
    QsepError
        PortAudio is missing or cannot be started. No devices at all is an empty list.
    """
    sd = load_portaudio(name)
    try:
        if not open_streams:
            sd._terminate()
            sd._initialize()
        apis = list(sd.query_hostapis())
        devices = list(sd.query_devices())
        defaults = {kind: _default_index(sd, apis, devices, kind) for kind in ("input", "output")}
        return [
            DeviceInfo(
                index=number,
                name=str(device["name"]),
                hostapi=str(apis[device["hostapi"]]["name"]),
                inputs=int(device["max_input_channels"]),
                outputs=int(device["max_output_channels"]),
                default_rate=round(device["default_samplerate"]),
                rates=_rates(sd, number, device),
                default_input=number == defaults["input"],
                default_output=number == defaults["output"],
            )
            for number, device in enumerate(devices)
        ]
    except sd.PortAudioError as error:
        raise QsepError(f"PortAudio cannot list the audio devices: {error.args[0]}") from error


def find_device(kind: Kind, name: str | None = None, devices: list[DeviceInfo] | None = None) -> DeviceInfo:
    """Find a device by its name or part of it.

    Parameters
    ----------
    kind : {"input", "output"}
    name : str, optional
        The exact name, or any part of ``"name, host API"`` in any case. Where several devices match, an exact
        name wins over a part, the default host API over others, and the default device over the rest.
        None takes the default device: JACK's on Linux when its server runs, else the system's.
    devices : list of DeviceInfo, optional
        A list from `list_devices`; read anew by default.

    Raises
    ------
    DeviceNotFoundError
        Nothing matches, or several do, or there is none at all; the message lists what there is.
    """
    there = list_devices() if devices is None else devices
    usable = [device for device in there if device.channels(kind)]
    if not usable:
        file = "--input song.wav or --input demo" if kind == "input" else "--output vocals.wav"
        raise DeviceNotFoundError(
            f"there is no audio {kind} device: connect an interface or start a JACK server,"
            f" or use a file instead: {file}"
        )
    default = "default_input" if kind == "input" else "default_output"
    standard = next((device for device in usable if getattr(device, default)), usable[0])
    if name is None:
        return standard
    matches = _matches(usable, name)
    if not matches:
        near = difflib.get_close_matches(name, [device.name for device in usable], 1, 0.6)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DeviceNotFoundError(f"no audio {kind} device {name!r}; {hint}there are: {_labels(usable)}")
    if len(matches) > 1:
        matches = [d for d in matches if d.hostapi == standard.hostapi] or matches
    if len(matches) > 1 and standard in matches:
        matches = [standard]
    if len(matches) > 1:
        raise DeviceNotFoundError(f"{name!r} fits several audio {kind} devices, say which: {_labels(matches)}")
    return matches[0]


def same_clock(input: DeviceInfo, output: DeviceInfo) -> bool:
    """Whether both are one interface, whose two sides cannot drift apart.

    Windows lists the sides of one as two devices: ``Line In (Scarlett)`` and ``Speakers (Scarlett)``.
    """
    if input.hostapi != output.hostapi:
        return False
    card = input.name.partition("(")[2]
    return input.index == output.index or (card != "" and card == output.name.partition("(")[2])


def _matches(usable: list[DeviceInfo], name: str) -> list[DeviceInfo]:
    wanted = name.strip().casefold()
    if not wanted:
        return []
    found = [device for device in usable if name in (device.name, device.label)]
    found = found or [d for d in usable if wanted in (d.name.casefold(), d.label.casefold())]
    found = found or [device for device in usable if wanted in device.name.casefold()]
    return found or [device for device in usable if wanted in device.label.casefold()]


def _labels(devices: list[DeviceInfo]) -> str:
    return "; ".join(dict.fromkeys(device.label for device in devices))


def _default_index(sd: Any, apis: list[Any], devices: list[Any], kind: str) -> int:
    """The number of the default device, or -1 when there is none."""
    if sys.platform == "linux":
        for api in apis:
            if api["name"] == JACK_API and api[f"default_{kind}_device"] >= 0:
                return int(api[f"default_{kind}_device"])
    chosen = sd.default.device[0 if kind == "input" else 1]
    if isinstance(chosen, int) and chosen >= 0:
        return chosen
    usable = (n for n, device in enumerate(devices) if device[f"max_{kind}_channels"])
    return next(usable, -1)


def _rates(sd: Any, number: int, device: Any) -> tuple[int, ...]:
    return tuple(rate for rate in RATES if _opens(sd, number, device, rate))


def _opens(sd: Any, number: int, device: Any, rate: int) -> bool:
    try:
        if device["max_input_channels"]:
            count = min(2, device["max_input_channels"])
            sd.check_input_settings(number, channels=count, dtype="float32", samplerate=rate)
        if device["max_output_channels"]:
            count = min(2, device["max_output_channels"])
            sd.check_output_settings(number, channels=count, dtype="float32", samplerate=rate)
    except sd.PortAudioError:
        return False
    return True
