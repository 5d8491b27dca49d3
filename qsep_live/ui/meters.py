"""The live terminal display: levels, masks, callbacks, latency, troubles; a line a second where there is no terminal.

Threading: the host's thread alone; rich's own refreshing thread is switched off.
"""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from qsep_live.engine.status import State, Status
from qsep_live.ui import words
from qsep_live.ui.display import Output
from qsep_live.ui.summary import summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

FLOOR = -60.0
"""dBFS at the left end of a level bar."""
BAR = 40
EVENTS = 5


class PlainDisplay:
    """A `Display` of plain lines: one a second, one an event."""

    interval = 1.0

    def __init__(self, stream: TextIO) -> None:
        self._out = Output(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @property
    def closed(self) -> bool:
        return self._out.closed

    def event(self, text: str) -> None:
        self._out.line(f"- {text}")

    def show(self, status: Status) -> None:
        self._out.line(plain_line(status))

    def finish(self, status: Status) -> None:
        for line in summary(status):
            self._out.line(line)


def plain_line(status: Status) -> str:
    """One second in one line."""
    return (
        f"{words.clock(status.seconds)} {status.state.value}: {status.preset};"
        f" in {words.dbfs(status.level_in)} out {words.dbfs(status.level_out)} dBFS;"
        f" mask age {words.age(status.mask_age)} period {words.milliseconds(status.mask_period)};"
        f" callback p99.9 {words.load(status.callback_p999, status)};"
        f" latency {words.milliseconds(status.latency.total)}; underruns {status.underruns}"
        f" held {words.part(status.held, status.frames)} fallbacks {status.fallbacks}"
        f" restarts {status.mask_restarts + status.audio_restarts + status.input_restarts}"
    )


class Meters:
    """A `Display` on a terminal.

    Parameters
    ----------
    stream
        The terminal.
    told
        Where the summary goes at the end.
    """

    interval = 0.1

    def __init__(self, stream: TextIO, told: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=stream)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._events: deque[str] = deque(maxlen=EVENTS)
        self._out = Output(told)
        self._status: Status | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @property
    def closed(self) -> bool:
        return self._out.closed

    def event(self, text: str) -> None:
        self._events.append(f"{time.strftime('%H:%M:%S')} {text}")
        self._redraw()

    def show(self, status: Status) -> None:
        self._status = status
        self._redraw()

    def finish(self, status: Status) -> None:
        for event in self._events:
            self._out.line(event)
        for line in summary(status):
            self._out.line(line)

    def _redraw(self) -> None:
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [] if self._status is None else [panel(self._status)]
        parts += [Text(event, style="dim", no_wrap=True, overflow="ellipsis") for event in self._events]
        self._live.update(Group(*parts), refresh=True)


def panel(status: Status) -> RenderableType:
    """The meters of one moment."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    running = status.state is State.RUNNING
    state = Text(status.state.value, style="green" if running else "yellow")
    grid.add_row("qsep-live", Text.assemble(state, f"  {words.clock(status.seconds)}  {status.device}"))
    grid.add_row("preset", Text.assemble((status.preset, "bold cyan"), f"  {words.mix(status)}"))
    grid.add_row("morph", Text(_bar(status.morph) + f" {100.0 * status.morph:.0f} %"))
    grid.add_row("in", level(status.level_in))
    grid.add_row("out", level(status.level_out))
    grid.add_row(
        "mask",
        f"age {words.age(status.mask_age)}  period {words.milliseconds(status.mask_period)}"
        f"  step {words.milliseconds(status.mask_step)}",
    )
    loads = [words.load(time, status) for time in (status.callback_p50, status.callback_p99, status.callback_p999)]
    grid.add_row(
        "callback",
        f"p50 {loads[0]}  p99 {loads[1]}  p99.9 {loads[2]}  of {words.milliseconds(words.budget(status))}"
        f" ({status.blocksize} frames at {status.rate} Hz)",
    )
    grid.add_row("latency", words.latency(status.latency))
    grid.add_row("troubles", troubles(status))
    grid.add_row("midi", Text(status.midi or "no port"))
    return grid


def troubles(status: Status) -> Text:
    """Counters that should be zero: red when they are not."""
    from rich.text import Text

    counts: tuple[tuple[str, Any], ...] = (
        ("underruns", status.underruns),
        ("held", words.part(status.held, status.frames)),
        ("fallbacks", status.fallbacks),
        ("restarts", status.mask_restarts + status.audio_restarts + status.input_restarts),
    )
    text = Text()
    for name, count in counts:
        bad = name != "held" and count
        text.append(f"{name} {count}  ", style="red bold" if bad else "")
    return text


def level(decibels: float) -> Text:
    """A level as a bar and a number: green, yellow above −12, red above −1 dBFS."""
    from rich.text import Text

    style = "red" if decibels > -1.0 else "yellow" if decibels > -12.0 else "green"
    place = min(1.0, max(0.0, 1.0 - decibels / FLOOR)) if decibels > FLOOR else 0.0
    return Text.assemble((_bar(place), style), f" {words.dbfs(decibels):>6} dBFS")


def _bar(place: float) -> str:
    full = round(BAR * min(1.0, max(0.0, place)))
    return "█" * full + "░" * (BAR - full)
