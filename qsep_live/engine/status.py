"""The numbers a session always tells: on the meters, as JSON lines, and at the end."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.engine.shared import TIME_BIN


class State(Enum):
    """Where a session is."""

    LOADING = "loading"  # the mask process reads the model and warms up
    OPENING = "opening"  # the audio process opens the stream
    RUNNING = "running"  # sound goes through
    DEAF = "no input"  # the input device is gone and tried again; the output plays on, silence after what was in it
    WAITING = "waiting"  # the device or the server is gone; it is tried again and again
    ENDED = "ended"  # stopped, or the input file is over


@dataclass(frozen=True)
class Latency:
    """Seconds by cause; `total` is their sum."""

    device_in: float = 0.0
    window: float = 0.0
    wait: float = 0.0
    rack: float = 0.0
    device_out: float = 0.0

    @property
    def total(self) -> float:
        return self.device_in + self.window + self.wait + self.rack + self.device_out


@dataclass(frozen=True)
class Status:
    """One look at a running session. Levels in dBFS, times in seconds, counters since the start.

    Attributes
    ----------
    limited
        How often the output was too loud and was turned down.
    rack_faults
        Effects that are bypassed because they failed.
    midi_dropped
        MIDI messages that came faster than they could be read.
    reloads
        How often preset files changed and were read again.
    missed
        Frames of the input that were not there in time, or too many.
    drift
        What an input device of its own is faster than the output device, as a share; 0.0 where both are one.
    """

    state: State
    seconds: float = 0.0
    preset: str = ""
    morph: float = 0.0
    wet: float = 1.0
    gain: float = 0.0
    mode: str = "isolate"
    level_in: float = -math.inf
    level_out: float = -math.inf
    rate: int = 0
    blocksize: int = 0
    latency: Latency = field(default_factory=Latency)
    mask_age: float | None = None
    mask_period: float = 0.0
    mask_step: float = 0.0
    mask_steps: int = 0
    callback_load: float = 0.0
    callback_p50: float = 0.0
    callback_p99: float = 0.0
    callback_p999: float = 0.0
    callbacks: int = 0
    underruns: int = 0
    overruns: int = 0
    frames: int = 0
    held: int = 0
    fallbacks: int = 0
    repaired: int = 0
    dropped: int = 0
    mask_restarts: int = 0
    audio_restarts: int = 0
    midi: str | None = None
    device: str = ""
    limited: int = 0
    rack_faults: int = 0
    midi_dropped: int = 0
    reloads: int = 0
    midi_restarts: int = 0
    input_restarts: int = 0
    missed: int = 0
    drift: float = 0.0
    callback_max: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values: −∞ becomes None, the latency carries its total."""
        values = asdict(self)
        values["state"] = self.state.value
        values["latency"]["total"] = self.latency.total
        return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def percentile(histogram: NDArray[np.int64], share: float) -> float:
    """Seconds under which ``share`` of the callbacks stayed; the upper edge of their bin, 0 before the first."""
    total = int(histogram.sum())
    if total == 0:
        return 0.0
    place = int(np.searchsorted(np.cumsum(histogram), math.ceil(share * total)))
    return (place + 1) * TIME_BIN


def decibels(level: float) -> float:
    """Amplitude to dBFS."""
    return 20.0 * math.log10(level) if level > 0.0 else -math.inf
