"""Offline: the same two paths in one process, the signal path waiting for the exact mask. Same bytes every time.

Without a delay, every gain comes from the middle of its window. With one, the engine does what it would do live on
a machine whose mask period is ``period``: that is how the delay dial can be heard and measured without waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.engine.delay import OFFLINE_STEP, centred_plan, plan_delay, window_frames
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.gain_field import GainField
from qsep_live.engine.mask_path import mid_side_of
from qsep_live.engine.mix import Mode
from qsep_live.engine.signal_path import SignalPath
from qsep_live.engine.stream_path import Network, open_path
from qsep_live.engine.strip import Strip, in_step

if TYPE_CHECKING:
    from qsep_live.rack.config import RackConfig
    from qsep_live.rack.rack import Rack

BLOCK = 4096


@dataclass(frozen=True)
class RenderSettings:
    """How to render.

    Attributes
    ----------
    latent
        z, (32,), or weights over stems, (stems,); of several presets at once (presets, 32).
    delay
        Seconds, to hear what live would give; None for centred windows.
    period
        Seconds between masks when ``delay`` is given.
    ahead
        Frames ahead that masks may be made for then, as the model was trained for or fewer.
    foresight
        The model's, if it has one; with a delay it matters.
    window
        Frames in the network's window; None as the delay asks for.
    racks
        Effects behind each preset; shorter than the presets where the last have none.
    """

    latent: NDArray[np.float32]
    mode: Mode = "isolate"
    wet: float = 1.0
    gain: float = 0.0
    delay: float | None = None
    period: float = 0.05
    ahead: int = 0
    foresight: Foresight | None = None
    window: int | None = None
    racks: tuple[RackConfig | None, ...] = ()

    @property
    def presets(self) -> int:
        """How many sound at once."""
        return int(self.latent.size // self.latent.shape[-1])

    @property
    def frames(self) -> int:
        """In the network's window."""
        return self.window or window_frames(self.delay)


@dataclass
class RenderReport:
    """What a rendering did."""

    frames: int = 0
    windows: int = 0
    repaired: int = 0
    latency: int = 0
    rack_faults: list[dict[str, str]] = field(default_factory=list)
    """Of each preset's rack, effect to fault."""


class Renderer:
    """Blocks in, blocks out, `latency` samples late; of several presets side by side.

    Parameters
    ----------
    rate, channels
        Of the sound.
    separate
        The network, see `MaskPath`.
    """

    def __init__(self, rate: int, channels: int, separate: Network, settings: RenderSettings) -> None:
        self.report = RenderReport()
        self._settings = settings
        if settings.delay is None:
            plan, period = centred_plan(rate), OFFLINE_STEP
        else:
            plan, period = plan_delay(settings.delay, rate), settings.period
        self.step = max(1, round(period * rate))
        self._field = GainField(settings.foresight)
        ahead = 0 if settings.delay is None else settings.ahead
        self._mask = open_path(rate, separate, ahead=ahead, frames=settings.frames)
        self._signal = SignalPath(plan, channels, self._field, patience=np.inf, presets=settings.presets)
        self._racks = load_racks(settings, rate, channels)
        self._strips = [
            Strip(channels, rack, late) for rack, late in zip(self._racks, in_step(self._racks), strict=True)
        ]
        self.latency = plan.samples + max(rack.latency if rack else 0 for rack in self._racks)
        self.report.latency = self.latency

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """``block`` (n, channels) to as many samples (n, presets·channels), `latency` late."""
        pieces = [np.zeros((0, len(self._strips) * block.shape[1]), np.float32)]
        start = 0
        while start < block.shape[0]:
            here = self._signal.position
            if here and here % self.step == 0:
                until = here + self.step - self._signal.plan.lag
                self._field.publish(self._mask.step(self._settings.latent, self._mask.ahead_for(until)))
                self.report.windows += 1
            stop = min(block.shape[0], start + BLOCK, start + self.step - here % self.step)
            pieces.append(self._piece(block[start:stop]))
            start = stop
        return np.concatenate(pieces)

    def _piece(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        settings = self._settings
        self._mask.push(mid_side_of(block))
        target, dry = self._signal.process(block)
        channels = block.shape[1]
        sounds = [
            strip.process(
                target[:, index * channels : (index + 1) * channels], dry, settings.mode, settings.wet, settings.gain
            )
            for index, strip in enumerate(self._strips)
        ]
        self.report.repaired = self._signal.counts.repaired
        self.report.rack_faults = [{} if rack is None else dict(rack.faults) for rack in self._racks]
        return sounds[0] if len(sounds) == 1 else np.concatenate(sounds, axis=1)


def load_racks(settings: RenderSettings, rate: int, channels: int) -> list[Rack | None]:
    """The rack behind each preset, ready for blocks of `BLOCK`; None where it has none."""
    if not any(settings.racks):
        return [None] * settings.presets
    from qsep_live.rack.rack import Rack

    configs = [*settings.racks, *[None] * (settings.presets - len(settings.racks))]
    return [None if config is None else Rack(config, rate, channels, BLOCK) for config in configs]


def render(
    blocks: Iterable[NDArray[np.float32]],
    rate: int,
    channels: int,
    separate: Network,
    settings: RenderSettings,
    report: RenderReport | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Separate a whole stream of ``blocks`` (n, channels); what comes out is aligned with it and as long.

    Several presets at once give blocks (n, presets·channels).
    """
    renderer = Renderer(rate, channels, separate, settings)
    if report is not None:
        renderer.report = report
        report.latency = renderer.latency
    skip, owed = renderer.latency, 0
    for block in blocks:
        owed += block.shape[0]
        renderer.report.frames += block.shape[0]
        out = renderer.process(block)
        dropped = min(skip, out.shape[0])
        skip -= dropped
        if dropped < out.shape[0]:
            owed -= out.shape[0] - dropped
            yield out[dropped:]
    while owed > 0:
        out = renderer.process(np.zeros((BLOCK, channels), np.float32))
        dropped = min(skip, BLOCK)
        skip -= dropped
        piece = out[dropped : dropped + owed]
        owed -= piece.shape[0]
        if piece.shape[0]:
            yield piece
