"""The audio process: the stream, the signal path and the rack, away from everything that may stall or die."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.child import LOST, Word, tell
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.endpoint import Endpoint
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.gain_field import GainField
from qsep_live.engine.limiter import Limiter
from qsep_live.engine.part import numbered
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import Fallback, SignalPath
from qsep_live.engine.stream_watch import StreamWatch
from qsep_live.engine.strip import STEREO, Outlet, Strip, in_step, width_of
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.audio.devices import DeviceInfo
    from qsep_live.audio.recorder import Recorder
    from qsep_live.audio.sources import FileSource
    from qsep_live.audio.stream import DuplexStream
    from qsep_live.engine.input_feed import InputFeed
    from qsep_live.rack.rack import Rack

CHANNELS = 2
LARGEST_BLOCK = 8192
SOURCE_PATIENCE = 20.0
"""Seconds for an input that is a file or a program to have its beginning ready."""
RACK_PATIENCE = 0.25
"""Seconds that an effect may fall behind the sound before it is bypassed."""


@dataclass(frozen=True)
class AudioSettings:
    """What to open. ``delay`` is the signal path's, in seconds; ``lockstep``, if not 0, is the seconds between
    masks, each of which is waited for. ``take`` numbers the streams of one session, and its recordings. Presets that
    sound at once have one of the ``outlets`` each. ``apart``: the input has a process of its own already.
    ``foresight``: the model's, if it has one."""

    input: Endpoint
    output: Endpoint
    rate: int | None
    blocksize: int
    delay: float
    outlets: tuple[Outlet, ...] = (Outlet(),)
    record: Path | None = None
    fallback: Fallback = "dry"
    lockstep: float = 0.0
    take: int = 1
    apart: bool = False
    foresight: Foresight | None = None


def audio_main(link: Connection, board_name: str, settings: AudioSettings) -> None:
    """Entry point of the process, through `run_child`."""
    sys.setswitchinterval(5e-4)
    board = Board(board_name)
    session = _Stream(board, settings)
    session.open()
    tell(link, Word("ready", session.description, session.facts()))
    session.run(link)


class _Stream:
    """One opened stream and everything that hangs on it."""

    def __init__(self, board: Board, settings: AudioSettings) -> None:
        self._board, self._settings = board, settings
        self._racks: list[Rack | None] = []
        self._recorders: list[Recorder] = []
        self._source: FileSource | None = None
        self._feed: InputFeed | None = None
        self.description = ""

    def open(self) -> None:
        board, settings = self._board, self._settings
        heard = settings.output.find_device("output") if settings.output.is_device else None
        given, apart = self._find_input(heard)

        from qsep_live.audio.files import open_audio
        from qsep_live.audio.recorder import Recorder
        from qsep_live.audio.sources import FileSource
        from qsep_live.audio.stream import DuplexStream, choose_rate
        from qsep_live.engine.input_feed import InputFeed

        outputs = [outlet.outputs or STEREO for outlet in settings.outlets]
        width = width_of(outputs)
        if heard is not None and heard.outputs < width and settings.outlets[0].outputs is not None:
            raise UsageError(
                f"{heard.label} has {heard.outputs} output channels; the presets' go up to {width}: choose lower ones,"
                " or another --output"
            )
        wanted = settings.rate
        if wanted is None and settings.input.kind == "file" and heard is not None:
            file_rate = open_audio(settings.input.name).rate
            wanted = file_rate if file_rate in heard.rates else None
        rate = choose_rate(given, heard, wanted)
        plan = plan_delay(settings.delay, rate)
        self._racks = [self._load_rack(outlet, rate) for outlet in settings.outlets]
        source: FileSource | InputFeed | None = None
        if apart:
            source = self._feed = InputFeed(board, CHANNELS, rate)
        elif not settings.input.is_device:
            source = self._source = FileSource(settings.input.program or settings.input.name, rate, CHANNELS)
            source.wait_ready(SOURCE_PATIENCE)
            if source.error:
                raise QsepError(source.error)
        targets = [Path(settings.output.name)] if settings.output.kind == "file" else []
        if settings.record is not None:
            targets.append(settings.record)
        self._recorders = [Recorder(_take(path, settings.take), rate, width) for path in targets]
        board.stream.refresh()
        epoch = int(board.stream["epoch"]) + 1
        field = GainField(settings.foresight)
        signal = SignalPath(
            plan, CHANNELS, field, settings.fallback, float("inf") if settings.lockstep else 1.0,
            position=board.ring.written, presets=len(settings.outlets),
        )  # fmt: skip
        strips = [
            Strip(CHANNELS, rack, late, Limiter(rate), places)
            for rack, late, places in zip(self._racks, in_step(self._racks), outputs, strict=True)
        ]
        lockstep = round(settings.lockstep * rate)
        self.core = AudioCore(board, signal, field, epoch, CHANNELS, source, strips, self._recorders, lockstep)
        self.stream: DuplexStream = DuplexStream(
            given, heard, rate, settings.blocksize, (CHANNELS, width), self.core.process
        )
        latency = self.stream.latency
        board.stream.publish(
            epoch=epoch,
            rate=rate,
            channels_in=given.inputs if given else CHANNELS,
            channels_out=heard.outputs if heard else CHANNELS,
            start=signal.position,
            delay=plan.samples,
            window=plan.grid.delay,
            lag=plan.lag,
            rack_delay=max(rack.latency if rack else 0 for rack in self._racks),
            lockstep=lockstep,
            input_latency=latency[0],
            output_latency=latency[1],
        )
        ends = [given.label if given else settings.input.label, heard.label if heard else settings.output.label]
        self.description = " → ".join(ends)
        self._rate = rate

    def _find_input(self, heard: DeviceInfo | None) -> tuple[DeviceInfo | None, bool]:
        """The input device to open here, if any, and whether it is one for a process of its own."""
        settings = self._settings
        if not settings.input.is_device:
            return None, False
        if heard is None:
            return settings.input.find_device("input"), False
        if settings.apart or settings.input.server != settings.output.server:
            return None, True
        from qsep_live.audio.devices import DeviceNotFoundError, same_clock

        try:
            given = settings.input.find_device("input")
        except DeviceNotFoundError:
            # It was there once, and the output is: that plays on while the input is waited for.
            if settings.take == 1:
                raise
            return None, True
        return (given, False) if same_clock(given, heard) else (None, True)

    def facts(self) -> dict[str, object]:
        """What the host wants to know of the open stream."""
        racks = [(index, rack) for index, rack in enumerate(self._racks) if rack is not None]
        return {
            "rate": self._rate,
            "apart": self._feed is not None,
            "rack": [
                {**asdict(parameter), "name": numbered(parameter.name, index)}
                for index, rack in racks
                for parameter in rack.parameters
            ],
            "rack_values": {
                numbered(name, index): value for index, rack in racks for name, value in rack.values.items()
            },
        }

    def run(self, link: Connection) -> None:
        """Start, watch, stop. Leaves the process by ``os._exit`` when the server is gone."""
        board, watch = self._board, StreamWatch(self._board, 0, self.stream)
        failures: set[str] = set()
        while watch.turn():
            if (why := watch.lost) is not None:
                self._lost(link, why)
            latency = self.stream.latency
            feed = self._feed
            board.stream.publish(
                input_latency=feed.latency if feed else latency[0],
                output_latency=latency[1],
                drift=feed.drift if feed else 0.0,
            )
            for text in self._problems() - failures:
                failures.add(text)
                tell(link, Word("event", text))
        alive = self.stream.abort()
        self._close_recorders(link)
        if not alive:
            os._exit(0)

    def _problems(self) -> set[str]:
        problems = {recorder.error for recorder in self._recorders if recorder.error}
        if self._source is not None and self._source.error:
            problems.add(f"the input ended: {self._source.error}")
        for index, rack in enumerate(self._racks):
            faults = rack.faults if rack is not None else {}
            problems |= {f"{numbered('rack', index)}: {name} is bypassed: {text}" for name, text in faults.items()}
        return problems

    def _load_rack(self, outlet: Outlet, rate: int) -> Rack | None:
        if outlet.rack is None:
            return None
        from qsep_live.rack.rack import Rack

        return Rack(outlet.rack, rate, CHANNELS, LARGEST_BLOCK, inf if self._settings.lockstep else RACK_PATIENCE)

    def _lost(self, link: Connection, why: str) -> None:
        """The server is gone: keep what was recorded, say so, and leave without touching PortAudio again."""
        self._close_recorders(link)
        tell(link, Word("event", f"sound lost: {why}"))
        with suppress(OSError):
            link.close()
        os._exit(LOST)

    def _close_recorders(self, link: Connection) -> None:
        for recorder in self._recorders:
            path = recorder.close()
            if path is not None:
                tell(link, Word("event", f"recorded {recorder.seconds:.1f} s to {path}"))
        self._recorders = []


def _take(path: Path, take: int) -> Path:
    """A stream that starts again records to a file of its own: what came before is not overwritten."""
    return path if take == 1 else path.with_stem(f"{path.stem}-{take}")
