"""The audio process: the stream, the signal path and the rack, away from everything that may stall or die."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.child import LOST, HostWatch, Word, tell
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.endpoint import Endpoint
from qsep_live.engine.gain_field import GainField
from qsep_live.engine.limiter import Limiter
from qsep_live.engine.part import numbered
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import Fallback, SignalPath
from qsep_live.engine.strip import STEREO, Outlet, Strip, in_step, width_of
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.audio.recorder import Recorder
    from qsep_live.audio.sources import FileSource
    from qsep_live.audio.stream import DuplexStream
    from qsep_live.rack.rack import Rack

CHANNELS = 2
LARGEST_BLOCK = 8192
STALLED = 2.0
"""Seconds without a callback after which the server counts as gone."""
SOURCE_PATIENCE = 20.0
"""Seconds for an input that is a file or a program to have its beginning ready."""
RACK_PATIENCE = 0.25
"""Seconds that an effect may fall behind the sound before it is bypassed."""


@dataclass(frozen=True)
class AudioSettings:
    """What to open. ``delay`` is the signal path's, in seconds; ``lockstep``, if not 0, is the seconds between
    masks, each of which is waited for. ``take`` numbers the recordings of one session. Presets that sound at once have
    one of the ``outlets`` each."""

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
        self.description = ""

    def open(self) -> None:
        from qsep_live.audio.devices import find_device
        from qsep_live.audio.files import open_audio
        from qsep_live.audio.recorder import Recorder
        from qsep_live.audio.sources import FileSource
        from qsep_live.audio.stream import DuplexStream, choose_rate

        board, settings = self._board, self._settings
        given = find_device("input", settings.input.name or None) if settings.input.is_device else None
        heard = find_device("output", settings.output.name or None) if settings.output.is_device else None
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
        source = None
        if not settings.input.is_device:
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
        field = GainField()
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
            window=plan.grid.synthesis,
            rack_delay=max(rack.latency if rack else 0 for rack in self._racks),
            lockstep=lockstep,
            input_latency=latency[0],
            output_latency=latency[1],
        )
        ends = [given.label if given else settings.input.name, heard.label if heard else settings.output.name]
        self.description = " → ".join(ends)
        self._rate = rate

    def facts(self) -> dict[str, object]:
        """What the host wants to know of the open stream."""
        racks = [(index, rack) for index, rack in enumerate(self._racks) if rack is not None]
        return {
            "rate": self._rate,
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
        board, host = self._board, HostWatch()
        # A collection in the middle of a callback is an xrun: what exists is exempt, what is new has no cycles.
        gc.collect()
        gc.freeze()
        gc.disable()
        self.stream.start()
        failures: set[str] = set()
        ended = _Ended()
        last = trust = 0.0
        while not ended.asked:
            time.sleep(0.02)
            now = board.beats[0] = time.monotonic()
            if last and now - last > 0.5 * STALLED:
                # This process was stopped, so no callback could come: the stream gets the time to go on.
                trust = now + STALLED
            last = now
            if board.control["stop"] or host.gone():
                break
            if not self.stream.alive(STALLED if now >= trust else inf):
                self._lost(link)
            latency = self.stream.latency
            board.stream.publish(input_latency=latency[0], output_latency=latency[1])
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

    def _lost(self, link: Connection) -> None:
        """The server is gone: keep what was recorded, say so, and leave without touching PortAudio again."""
        error = self.stream.error
        why = f"{type(error).__name__}: {error}" if error else "the audio server stopped calling"
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


class _Ended:
    """SIGTERM, which a service manager sends to every process of a session: the recording is completed first."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def _take(path: Path, take: int) -> Path:
    """A stream that starts again records to a file of its own: what came before is not overwritten."""
    return path if take == 1 else path.with_stem(f"{path.stem}-{take}")
