"""Everything that a live session is asked to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qsep_live.control.mapping import Mapping
from qsep_live.engine.delay import LIVE_FRAMES
from qsep_live.engine.endpoint import Endpoint
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.mix import Mode
from qsep_live.engine.part import Part
from qsep_live.engine.signal_path import Fallback


@dataclass(frozen=True)
class SessionConfig:
    """Everything a session is asked to be. Times in seconds, gain in dB.

    Attributes
    ----------
    parts
        At least one, at most `PRESETS`; they sound at once, each on output channels of its own.
    delay
        Of the signal path; None takes the shortest at which this machine's masks are on time.
    midi
        Part of a port's name, None for the first there is.
    listen
        Whether to listen to MIDI at all.
    lockstep
        Seconds between masks that are waited for; for a server in freewheel mode, 0 live.
    ahead
        Frames ahead of the sound that masks may be made for, as the model was trained for or fewer.
    foresight
        The model's, if it has one.
    window
        Frames in the network's window.
    """

    parts: tuple[Part, ...]
    model: Path
    input: Endpoint = field(default_factory=lambda: Endpoint("device"))
    output: Endpoint = field(default_factory=lambda: Endpoint("device"))
    mode: Mode = "isolate"
    wet: float = 1.0
    gain: float = 0.0
    delay: float | None = None
    blocksize: int = 0
    rate: int | None = None
    midi: str | None = None
    listen: bool = True
    mapping: Mapping = field(default_factory=Mapping.default)
    device: str = "auto"
    threads: int = 1
    record: Path | None = None
    duration: float | None = None
    fallback: Fallback = "dry"
    lockstep: float = 0.0
    ahead: int = 0
    foresight: Foresight | None = None
    window: int = LIVE_FRAMES
