"""Soft takeover: a knob takes hold of a parameter only where the two agree, so that nothing jumps."""

from __future__ import annotations

THRESHOLD = 3 / 128
WINDOW = 0.05


class SoftTakeover:
    """Mixxx's rule for one knob on one parameter, both as travel in [0, 1].

    A value takes effect when it is near the parameter's present position, when the knob came from there or
    moved across it, or when it follows closely upon the last value that took effect (a fast sweep).

    Parameters
    ----------
    threshold
        How near is near, in travel.
    window
        How close behind the last accepted value a value passes anyway, in seconds.
    """

    def __init__(self, threshold: float = THRESHOLD, window: float = WINDOW) -> None:
        self._threshold = threshold
        self._window = window
        self._previous: float | None = None
        self._accepted_at: float | None = None

    def accepts(self, position: float, value: float, now: float) -> bool:
        """Whether ``value`` may move a parameter that stands at ``position``.

        Call it for every value of the knob, refused ones too: the rule needs to know where the knob was.
        ``now`` is any monotonic clock in seconds.
        """
        accepted = self._near(position, value) or self._crossed(position, value) or self._follows(now)
        self._previous = value
        if accepted:
            self._accepted_at = now
        return accepted

    def _near(self, position: float, value: float) -> bool:
        return abs(value - position) <= self._threshold

    def _crossed(self, position: float, value: float) -> bool:
        if self._previous is None:
            return False
        # A knob that was where the parameter is holds it already, however far its next value is.
        return self._near(position, self._previous) or (self._previous < position) != (value < position)

    def _follows(self, now: float) -> bool:
        return self._accepted_at is not None and 0 <= now - self._accepted_at <= self._window
