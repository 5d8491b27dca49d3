"""What ``--input`` and ``--output`` mean: a device by name, a sound file, the demo song, or a program's sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qsep_live.audio.program import Program

SOUND_SUFFIXES = (
    ".wav",
    ".w64",
    ".rf64",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aiff",
    ".aif",
    ".m4a",
    ".mp4",
)


@dataclass(frozen=True)
class Endpoint:
    """One end of the session. ``name`` is the device's (or part of it, or empty for the default), or the path; a
    ``program`` is an input that the command line knows, and this room does not."""

    kind: Literal["device", "file", "demo", "program"]
    name: str = ""
    program: Program | None = None

    @classmethod
    def of(cls, program: Program) -> Endpoint:
        return cls("program", program.name, program)

    @classmethod
    def parse(cls, text: str | None) -> Endpoint:
        """``None`` is the default device, ``demo`` the demo song; a sound file's suffix or a path makes a file."""
        if text is None:
            return cls("device")
        if text == "demo":
            return cls("demo", "demo")
        path = Path(text)
        if path.suffix.lower() in SOUND_SUFFIXES or path.is_file() or text.startswith(("./", "../", "/", "~")):
            return cls("file", str(path.expanduser()))
        return cls("device", text)

    @property
    def is_device(self) -> bool:
        return self.kind == "device"
