"""Overlapping windows through a stem separator at its own rate: as demucs does it, with bounded memory.

Windows begin a fixed step apart, each fades into the next in a triangle, and a last short one is heard with what really
came before it (demucs 4.1, ``apply_model`` with ``overlap=0.25``, ``transition_power=1`` and ``shifts=0``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.tape import Tape
from qsep_live.errors import QsepError
from qsep_live.models.spec import SeparatorSpec, StemSeparator

Array = NDArray[np.float32]

OVERLAP = 0.25


class CheckedSeparator:
    """A separator of somebody else's, of which nothing but right stems or one line of error comes.

    Attributes
    ----------
    windows
        How many were separated.
    """

    def __init__(self, separator: StemSeparator, spec: SeparatorSpec) -> None:
        self._separator, self.spec = separator, spec
        self.windows = 0

    def __call__(self, window: Array) -> Array:
        """As `StemSeparator` says.

        Raises
        ------
        QsepError
            It failed, or what it gave is no stems.
        """
        spec, wanted = self.spec, (len(self.spec.stems), *window.shape)
        try:
            stems = np.asarray(self._separator(window))
        except QsepError:
            raise
        except Exception as error:  # somebody else's code: whatever it raises is one line here
            reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
            raise QsepError(f"model {spec.name} failed: {reason}") from error
        if stems.shape != wanted or stems.dtype != np.float32:
            raise QsepError(
                f"model {spec.name} gave stems of shape {stems.shape} ({stems.dtype}), must be {wanted} (float32)"
            )
        if not np.isfinite(np.sum(stems)):
            raise QsepError(f"model {spec.name} gave samples that are NaN or infinite; try another --device")
        self.windows += 1
        return stems


class StemWindows:
    """Samples in, their stems out as they become final; a window's length behind.

    Parameters
    ----------
    separator
        Called with windows of the longest length that it is ready for.
    """

    def __init__(self, separator: CheckedSeparator) -> None:
        spec = separator.spec
        self._separator = separator
        self._window = spec.windows[0]
        # What is not to be trusted of a window is heard and not used.
        self._used = self._window - spec.edge
        self._step = max(1, int((1.0 - OVERLAP) * self._used))
        rise = np.arange(1, self._used // 2 + 1, dtype=np.float32)
        fall = np.arange(self._used - self._used // 2, 0, -1, dtype=np.float32)
        weight = np.concatenate([rise, fall])
        self._weight = weight / weight.max()
        self._sum = np.zeros((len(spec.stems), spec.channels, self._used), np.float32)
        self._weights = np.zeros(self._used, np.float32)
        self._heard = Tape(spec.channels, 4 * self._window)
        self._received = self._forgotten = self._offset = 0

    def push(self, sound: Array) -> Iterator[Array]:
        """``sound`` (channels, n) to the stems that it completes, each (stems, channels, m)."""
        self._heard.push(sound)
        self._received += sound.shape[1]
        while self._received >= self._offset + self._window:
            yield self._separate(self._used)

    def finish(self) -> Iterator[Array]:
        """After the last sample: the stems of what is left."""
        while self._offset < self._received:
            yield self._separate(min(self._used, self._received - self._offset))

    def _separate(self, length: int) -> Array:
        """Hear the ``length`` samples from the next offset; the stems that no later window will change."""
        lead = (self._used - length) // 2
        start = self._offset - lead
        window = np.zeros((self._separator.spec.channels, self._window), np.float32)
        first, last = max(start, 0), min(start + self._window, self._received)
        window[:, first - start : last - start] = self._heard.view(last - first, first - self._forgotten)
        stems = self._separator(window)[..., lead : lead + length]
        self._sum[..., :length] += self._weight[:length] * stems
        self._weights[:length] += self._weight[:length]
        final = min(self._step, length)
        done = self._sum[..., :final] / self._weights[:final]
        for kept in (self._sum, self._weights):
            kept[..., : self._used - final] = kept[..., final:].copy()
            kept[..., self._used - final :] = 0.0
        self._offset += final
        # The last window may begin half of its length before the next offset.
        keep = max(self._forgotten, min(self._offset - self._used // 2, self._received))
        self._heard.skip(keep - self._forgotten)
        self._forgotten = keep
        return done
