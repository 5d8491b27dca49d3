"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qsep_live.engine.status import Latency, Status


def milliseconds(seconds: float) -> str:
    """``32.1 ms``; no decimals from 100 ms."""
    value = 1e3 * seconds
    return f"{value:.0f} ms" if abs(value) >= 100.0 else f"{value:.1f} ms"


def clock(seconds: float) -> str:
    """``1:05``, ``1:02:03``."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def dbfs(level: float) -> str:
    """``-12.3``; ``-inf`` for silence."""
    return f"{level:.1f}" if math.isfinite(level) else "-inf"


def share(value: float) -> str:
    """``12 %``; one decimal below 10 %."""
    percent = 100.0 * value
    return f"{percent:.1f} %" if 0.0 < percent < 10.0 else f"{percent:.0f} %"


def part(count: int, of: int) -> str:
    """``count`` as a share of ``of``."""
    return share(count / of) if of else share(0.0)


def latency(parts: Latency) -> str:
    """The sum, and what it is made of, in milliseconds."""
    causes = (
        ("device in", parts.device_in),
        ("window", parts.window),
        ("wait", parts.wait),
        ("rack", parts.rack),
        ("device out", parts.device_out),
    )
    return f"{milliseconds(parts.total)} = " + " + ".join(f"{name} {1e3 * value:.1f}" for name, value in causes)


def age(seconds: float | None) -> str:
    """A mask's age; ``none yet`` before the first mask."""
    return "none yet" if seconds is None else milliseconds(seconds)


def drift(share: float) -> str:
    """How much faster the input's clock is, where it has its own."""
    return f", input {1e6 * share:+.0f} ppm" if share else ""


def budget(status: Status) -> float:
    """Seconds that a callback may take: the block's own length."""
    return status.blocksize / status.rate if status.rate else 0.0


def load(seconds: float, status: Status) -> str:
    """A callback time as a share of its budget."""
    allowed = budget(status)
    return share(seconds / allowed) if allowed else "-"


def mix(status: Status) -> str:
    """Mode, wet and gain."""
    return f"{status.mode}, wet {100.0 * status.wet:.0f} %, gain {status.gain:+.1f} dB"
