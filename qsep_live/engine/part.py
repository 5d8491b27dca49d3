"""What plays one part of a session: the presets its knob moves between, and where it is heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qsep_live.engine.strip import Outlet
from qsep_live.latent.preset import Preset


@dataclass(frozen=True)
class Part:
    """One of the instruments that are isolated at once.

    Attributes
    ----------
    presets
        At least one; more make the path that the morph position moves along.
    files
        Where they came from: each is read again when it changes. None: they stay as they are.
    outlet
        Effects and output channels.
    """

    presets: tuple[Preset, ...]
    files: tuple[Path, ...] | None = None
    outlet: Outlet = field(default_factory=Outlet)


def numbered(name: str, index: int) -> str:
    """A parameter of the part at ``index``: ``morph`` and ``rack.hall.mix`` of the first, ``morph2`` and
    ``rack2.hall.mix`` of the second."""
    head, dot, rest = name.partition(".")
    return name if index == 0 else f"{head}{index + 1}{dot}{rest}"
