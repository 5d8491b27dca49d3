"""What ``--input`` and ``--output`` mean: a device by name, a sound file, the demo song, or a program's sound."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qsep_live.audio.program import Program
from qsep_live.errors import UsageError

if TYPE_CHECKING:
    from qsep_live.audio.devices import DeviceInfo, Kind

JACK = "jack:"
"""Before the name of a JACK server other than the default one."""

SOUND_SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"),
    *(".m4a", ".mp4", ".aac", ".wma", ".webm"),
)
"""Of sound files: a name with one of these is no device; in a folder such files are rendered, or it is said why not."""


@dataclass(frozen=True)
class Endpoint:
    """One end of the session.

    Attributes
    ----------
    name
        The device's (or part of it, or empty for the default), or the path.
    server
        The JACK server whose device it is; empty for the default one's, and for all other devices.
    program
        An input that the command line knows, and this room does not.
    """

    kind: Literal["device", "file", "demo", "program"]
    name: str = ""
    program: Program | None = None
    server: str = ""

    @classmethod
    def of(cls, program: Program) -> Endpoint:
        return cls("program", program.name, program)

    @classmethod
    def parse(cls, text: str | None) -> Endpoint:
        """``None`` is the default device, ``demo`` the demo song; a sound file's suffix or a path makes a file.

        ``jack:NAME`` is the device of the JACK server of that name.
        """
        if text is None:
            return cls("device")
        if text.startswith(JACK):
            if not text.removeprefix(JACK):
                raise UsageError(f"{text}: the name of a JACK server is missing, as in {JACK}usb")
            return cls("device", server=text.removeprefix(JACK))
        if text == "demo":
            return cls("demo", "demo")
        path = Path(text)
        if path.suffix.lower() in SOUND_SUFFIXES or path.is_file() or text.startswith(("./", "../", "/", "~")):
            return cls("file", str(path.expanduser()))
        return cls("device", text)

    @property
    def is_device(self) -> bool:
        return self.kind == "device"

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"{JACK}{self.server}" if self.server else self.name or "the default device"

    def find_device(self, kind: Kind) -> DeviceInfo:
        """The device, as it is now. A process can see the devices of one JACK server, which the first call settles.

        Raises
        ------
        QsepError
            There is none.
        """
        if self.server:
            os.environ["JACK_DEFAULT_SERVER"] = self.server
        from qsep_live.audio.devices import JACK_API, DeviceNotFoundError, find_device

        if not self.server:
            return find_device(kind, self.name or None)
        try:
            return find_device(kind, JACK_API)
        except DeviceNotFoundError:
            raise DeviceNotFoundError(
                f"no JACK server {self.server!r} answers; start it: jackd --name {self.server} -d alsa"
            ) from None
