"""From a wished delay to the windows of the signal path: what it costs, and what it buys.

A gain for time τ is exact once the mask path has seen the model frame centred on τ: half a model window (23 ms)
after τ, plus the age of the newest mask. A filter that looks ahead makes use of the first 23 ms and waits for the rest:
at every delay from none to 93 ms it was better than windows of 5.8 to 46 ms (`qsep-live bench gains`).
"""

from __future__ import annotations

from dataclasses import dataclass

from qsep_live.dsp.grid import FRAME_SECONDS, FRAMES, HOP, MODEL_RATE, N_FFT, SEGMENT
from qsep_live.dsp.lengths import fast_length
from qsep_live.dsp.stream_filter import FilterGrid
from qsep_live.dsp.stream_stft import StreamGrid
from qsep_live.errors import UsageError

REFERENCE_RATE = 2 * MODEL_RATE
SHORTEST = 0.0
LONGEST = 2.5
"""Seconds: the range of the delay dial; the longest gives every gain a centred window."""
FADE = 256
"""Samples at 44.1 kHz: a filter's hop, in which it fades to the next."""
LONG = 0.2
"""Seconds: from here on the signal path has a synthesis window of 46 ms."""
LIVE_FRAMES = 128
"""Frames in the network's window where there is a delay: 1.5 s. A mask costs 0.6 times as much as with the 3 s that the
network was trained with, and the newest gains are hardly worse (docs/evaluation.md)."""
OFFLINE_STEP = FRAMES // 2 * HOP / MODEL_RATE
"""Seconds between windows offline: half overlapped."""
_CENTRED = 0.5 * (SEGMENT / MODEL_RATE + OFFLINE_STEP)


@dataclass(frozen=True)
class DelayPlan:
    """Windows of the signal path and samples it waits for the mask, at ``rate`` Hz."""

    rate: int
    grid: StreamGrid | FilterGrid
    wait: int

    @property
    def samples(self) -> int:
        """The signal path's whole delay."""
        return self.grid.delay + self.wait

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @property
    def lag(self) -> float:
        """Samples from the time that gains are for to the newest one when they are asked for."""
        return self.grid.lag + self.wait


def plan_delay(seconds: float, rate: int) -> DelayPlan:
    """The plan whose delay is ``seconds``, to a sample: a filter, from `LONG` on a window of 46.4 ms.

    Raises
    ------
    UsageError
        The delay is out of range, to the precision at which the range is printed.
    """
    if not SHORTEST <= seconds <= LONGEST:
        raise UsageError(
            f"delay {1e3 * seconds:.1f} ms is out of range; choose {1e3 * SHORTEST:.0f} ms to {LONGEST:.1f} s"
        )
    total = round(seconds * rate)
    return filter_plan(total, rate) if seconds < LONG else window_plan(2048, total, rate)


def window_plan(window: int, total: int, rate: int) -> DelayPlan:
    """A synthesis window of ``window`` samples at 44.1 kHz and waiting: ``total`` samples at ``rate``."""
    synthesis = _scaled(window, rate)
    # Four frames overlap in the long window; in the short ones two, to save the callback's time.
    grid = StreamGrid(_frame(rate), synthesis, synthesis // (4 if window == 2048 else 2))
    return DelayPlan(rate, grid, total - synthesis)


def filter_plan(total: int, rate: int) -> DelayPlan:
    """A filter that looks ``total`` samples ahead, or as far as its response goes, and waiting."""
    frame = _frame(rate)
    ahead = min(total, frame // 2)
    return DelayPlan(rate, FilterGrid(frame, _scaled(FADE, rate), ahead), total - ahead)


def centred_plan(rate: int) -> DelayPlan:
    """The offline plan: gains from the middle of the window, with windows half overlapped."""
    return plan_delay(_CENTRED + 0.5 * _scaled(2048, rate) / rate, rate)


def window_frames(delay: float | None) -> int:
    """Frames in the network's window for a delay in seconds; None is centred."""
    return FRAMES if delay is None or delay > longest_delay(LIVE_FRAMES) else LIVE_FRAMES


def longest_delay(frames: int) -> float:
    """Seconds: with windows of ``frames`` no longer delay, for gains come from their newer half; the whole window of
    training is for all."""
    return LONGEST if frames == FRAMES else 0.5 * frames * FRAME_SECONDS


def exact_delay(age: float) -> float:
    """The shortest delay, seconds, at which gains are exact although masks are up to ``age`` seconds old."""
    return 0.5 * N_FFT / MODEL_RATE + age + FADE / REFERENCE_RATE


def _scaled(samples: int, rate: int) -> int:
    """A window of ``samples`` at 44.1 kHz as long in time at ``rate``, or a little shorter: a multiple of 16."""
    return 16 * max(1, samples * rate // (16 * REFERENCE_RATE))


def _frame(rate: int) -> int:
    """Samples in a frame as long as 2048 at 44.1 kHz, or a little longer: no prime factor over 7.

    At 48 kHz the nearest multiple of 16 is 16·139, and its FFT takes three times as long as that of 2240.
    """
    return fast_length(_scaled(2048, rate), 16)
