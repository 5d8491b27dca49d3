"""A channel strip, as on a mixing desk: one preset's way from target and dry to the output channels.

Several presets that sound at once have one each. Threading: one caller, the audio callback or the renderer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.tape import Tape
from qsep_live.engine.mix import Mixer, Mode

if TYPE_CHECKING:
    from qsep_live.engine.limiter import Limiter
    from qsep_live.rack.config import RackConfig
    from qsep_live.rack.rack import Rack

STEREO = (0, 1)


@dataclass(frozen=True)
class Outlet:
    """Where one preset is heard.

    Attributes
    ----------
    rack
        Effects behind it.
    outputs
        Channels of the output, from 0: left and right, or one for both together. None: the first two, or what the
        device has of them.
    """

    rack: RackConfig | None = None
    outputs: tuple[int, ...] | None = None


class Strip:
    """Mix, effects, limiter.

    Parameters
    ----------
    channels
        Columns of each block.
    rack
        Effects behind the mix.
    late
        Samples that this strip waits, so that strips whose effects take longer stay in step with it.
    limiter
        The last thing, if any.
    outputs
        As in `Outlet`.
    """

    def __init__(
        self,
        channels: int,
        rack: Rack | None = None,
        late: int = 0,
        limiter: Limiter | None = None,
        outputs: Sequence[int] = STEREO,
    ) -> None:
        self.rack, self.limiter, self.outputs = rack, limiter, tuple(outputs)
        self._mixer = Mixer()
        self._late = Tape(channels, 4 * late + 8192, late) if late else None

    def process(
        self, target: NDArray[np.float32], dry: NDArray[np.float32], mode: Mode, wet: float, gain: float
    ) -> NDArray[np.float32]:
        """Target and dry (n, channels) to what is heard of them, (n, channels); gain in dB."""
        out = self._mixer.mix(target, dry, mode, wet, gain)
        if self.rack is not None:
            out = self.rack.process(out)
        if self._late is not None:
            self._late.push(out.T)
            out = self._late.view(out.shape[0]).T.copy()
            self._late.skip(out.shape[0])
        return out if self.limiter is None else self.limiter.process(out)


def in_step(racks: Sequence[Rack | None]) -> list[int]:
    """Samples that each of the strips with these racks must wait for the slowest of them."""
    delays = [0 if rack is None else rack.latency for rack in racks]
    return [max(delays) - delay for delay in delays]


def width_of(outputs: Sequence[Sequence[int]]) -> int:
    """Channels that an output must have."""
    return 1 + max(max(each) for each in outputs)


def lay_out(
    sounds: Sequence[NDArray[np.float32]], outputs: Sequence[Sequence[int]], out: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Put stereo ``sounds``, each (n, 2), on their channels of ``out`` (n, width); the others are left as they are."""
    for sound, places in zip(sounds, outputs, strict=True):
        if len(places) == 1:
            np.mean(sound, axis=1, out=out[:, places[0]])
        else:
            for channel, place in enumerate(places):
                out[:, place] = sound[:, channel]
    return out
