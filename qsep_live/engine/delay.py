"""From a wished delay to the windows of the signal path: what it costs, and what it buys.

A gain for time τ is exact once the mask path has seen the model frame centred on τ: half a model window (23 ms)
after τ, plus the age of the newest mask. The signal path's own synthesis window brings half its length of that;
the rest is waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from qsep_live.dsp.grid import FRAMES, HOP, MODEL_RATE, N_FFT, SEGMENT
from qsep_live.dsp.stream_stft import StreamGrid
from qsep_live.errors import UsageError

REFERENCE_RATE = 2 * MODEL_RATE
SHORTEST = 256 / REFERENCE_RATE
LONGEST = 2.5
"""Seconds: the range of the delay dial; the longest gives every gain a centred window."""
OFFLINE_STEP = FRAMES // 2 * HOP / MODEL_RATE
"""Seconds between windows offline: half overlapped."""
_CENTRED = 0.5 * (SEGMENT / MODEL_RATE + OFFLINE_STEP)


@dataclass(frozen=True)
class DelayPlan:
    """Windows of the signal path and samples it waits for the mask, at ``rate`` Hz."""

    rate: int
    grid: StreamGrid
    wait: int

    @property
    def samples(self) -> int:
        """The signal path's whole delay."""
        return self.grid.synthesis + self.wait

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @property
    def lag(self) -> float:
        """Samples from the time that a frame's gains are for, the middle of its synthesis window, to its newest one."""
        return self.grid.synthesis / 2 + self.wait


def plan_delay(seconds: float, rate: int) -> DelayPlan:
    """The plan whose delay is ``seconds``, to a sample.

    The synthesis window is the longest of 5.8, 11.6 and 23.2 ms that fits; what remains is waiting. From 200 ms
    the window is 46.4 ms: there is time for the full resolution.

    Raises
    ------
    UsageError
        The delay is out of range, to the precision at which the range is printed.
    """
    if not SHORTEST - 5e-5 <= seconds <= LONGEST:
        raise UsageError(
            f"delay {1e3 * seconds:.1f} ms is out of range; choose {1e3 * SHORTEST:.1f} ms to {LONGEST:.1f} s"
        )
    total = round(max(seconds, SHORTEST) * rate)
    fitting = [m for m in (256, 512, 1024) if _scaled(m, rate) <= total]
    choice = 2048 if seconds >= 0.2 else max(fitting)
    synthesis = _scaled(choice, rate)
    # Four frames overlap in the long window; in the short ones two, to save the callback's time.
    grid = StreamGrid(_frame(rate), synthesis, synthesis // (4 if choice == 2048 else 2))
    return DelayPlan(rate, grid, total - synthesis)


def centred_plan(rate: int) -> DelayPlan:
    """The offline plan: gains from the middle of the window, with windows half overlapped."""
    return plan_delay(_CENTRED + 0.5 * _scaled(2048, rate) / rate, rate)


def exact_delay(age: float) -> float:
    """The shortest delay, seconds, at which gains are exact although masks are up to ``age`` seconds old."""
    synthesis = 1024 / REFERENCE_RATE
    return 0.5 * N_FFT / MODEL_RATE + age + 0.5 * synthesis


def _scaled(samples: int, rate: int) -> int:
    """A window of ``samples`` at 44.1 kHz as long in time at ``rate``, or a little shorter: a multiple of 16."""
    return 16 * max(1, samples * rate // (16 * REFERENCE_RATE))


def _frame(rate: int) -> int:
    """Samples in a frame as long as 2048 at 44.1 kHz, or a little longer: no prime factor over 7.

    At 48 kHz the nearest multiple of 16 is 16·139, and its FFT takes three times as long as that of 2240.
    """
    frame = _scaled(2048, rate)
    while not _is_smooth(frame):
        frame += 16
    return frame


def _is_smooth(number: int) -> bool:
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1
