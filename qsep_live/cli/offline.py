"""A file, or the demo song, to a file: blocks through the engine's renderer, written atomically."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsep_live.cli.choices import ModelChoice
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qsep_live.audio.demo import DemoSong
    from qsep_live.audio.files import SoundFileReader
    from qsep_live.audio.program import Program
    from qsep_live.audio.writer import AudioWriter
    from qsep_live.engine.render import RenderReport, RenderSettings
    from qsep_live.models.registry import Entry
    from qsep_live.nets.band_stream_steps import Memory

    Block = NDArray[np.float32]

BLOCK = 1 << 14
LOWEST_RATE, HIGHEST_RATE = 4000, 384_000


class TimedNetwork:
    """The network as the renderer with ``settings`` calls it, warm, with the time it took."""

    def __init__(
        self, model: ModelChoice, device: str, threads: int, settings: RenderSettings, exact: bool = True
    ) -> None:
        from qsep_live.nets.inference import open_network

        self._backend = open_network(model.path, device, threads=threads, latents=settings.presets, exact=exact)
        self._backend.warm_up(settings.frames)
        self.name: str = self._backend.name
        self.channels = self._backend.channels
        self.looks: tuple[int, ...] = getattr(self._backend, "looks", ())
        self.calls = 0
        self.seconds = 0.0

    @property
    def step(self) -> float:
        """Mean seconds of a window; 0 before the first."""
        return self.seconds / self.calls if self.calls else 0.0

    def __call__(self, magnitude: Block, z: Block, *memory: Memory) -> Block:
        start = time.perf_counter()
        mask: Block = self._backend(magnitude, z, *memory)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        return mask

    def render(
        self, blocks: Iterable[Block], rate: int, channels: int, settings: RenderSettings, report: RenderReport
    ) -> Iterator[Block]:
        """As `engine.render.render`."""
        from qsep_live.engine.render import render

        return render(blocks, rate, channels, self, settings, report)


class StemNetwork:
    """A separator of stems, loaded and warm.

    Raises
    ------
    QsepError
        It cannot be loaded, or this machine cannot run it.
    """

    def __init__(self, entry: Entry, device: str, threads: int, exact: bool = True) -> None:
        from qsep_live.engine.stem_windows import CheckedSeparator

        self.name = entry.spec.name
        try:
            separator = entry.open(device, threads, exact)
            separator.warm_up(entry.spec.windows[0])
        except QsepError:
            raise
        except Exception as error:  # somebody else's code: whatever it raises is one line here
            reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
            raise QsepError(f"model {self.name} ({entry.origin}) cannot be loaded: {reason}") from error
        self._separator = CheckedSeparator(separator, entry.spec)

    def render(
        self, blocks: Iterable[Block], rate: int, channels: int, settings: RenderSettings, report: RenderReport
    ) -> Iterator[Block]:
        """As `engine.stem_render.render_stems`."""
        from qsep_live.engine.stem_render import render_stems

        return render_stems(blocks, rate, channels, self._separator, settings, report)


Network = TimedNetwork | StemNetwork


@dataclass(frozen=True)
class Sound:
    """What is rendered: a file that is open, or samples in memory."""

    name: str
    rate: int
    channels: int
    frames: int
    reader: SoundFileReader | None = None
    samples: Block | None = None

    def blocks(self, frames: int) -> Iterator[Block]:
        """The first ``frames`` of it, from the start."""
        start = 0
        while start < frames:
            count = min(BLOCK, frames - start)
            if self.reader is not None:
                yield self.reader.read(count)
            elif self.samples is not None:
                yield self.samples[start : start + count]
            start += count


@dataclass(frozen=True)
class Rendered:
    """What a rendering came to. Times in seconds; ``latency`` is what was taken off to align the output."""

    source: str
    target: Path
    seconds: float
    wall: float
    rate: int
    channels: int
    subtype: str
    windows: int
    latency: float
    repaired: int
    clipped: int
    faults: dict[str, str]
    remark: str = ""

    @property
    def speed(self) -> float:
        """Seconds of sound per second of work."""
        return self.seconds / self.wall if self.wall > 0.0 else 0.0

    def remarks(self) -> list[str]:
        """What the user should know of, one line each."""
        remarks = [self.remark] if self.remark else []
        if self.repaired:
            remarks.append(f"{self.source}: {self.repaired} NaN or infinite samples were taken as silence")
        if self.clipped:
            remarks.append(
                f"{self.target}: {self.clipped} samples beyond full scale were clipped;"
                " lower --gain, or write a wav from a float wav"
            )
        remarks += [f"{self.target}: {name} was bypassed: {text}" for name, text in self.faults.items()]
        return remarks

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "input": self.source,
            "output": str(self.target),
            "seconds": round(self.seconds, 6),
            "wall_seconds": round(self.wall, 3),
            "times_real_time": round(self.speed, 2),
            "rate": self.rate,
            "channels": self.channels,
            "subtype": self.subtype,
            "windows": self.windows,
            "latency_removed": round(self.latency, 6),
            "repaired": self.repaired,
            "clipped": self.clipped,
            "rack_faults": self.faults,
        }


def open_sound(path: str | None, stack: ExitStack) -> Sound:
    """The sound file at ``path``, or the demo song for None."""
    if path is None:
        from qsep_live.audio.demo import demo_song

        return sound_of(demo_song())
    from qsep_live.audio.files import open_audio

    reader = stack.enter_context(open_audio(path))
    return Sound(str(path), reader.rate, reader.channels, reader.frames, reader=reader)


def sound_of(song: DemoSong) -> Sound:
    """The demo song's mixture."""
    frames, channels = song.mixture.shape
    return Sound("demo", song.rate, channels, frames, samples=song.mixture)


def sound_of_program(program: Program, seconds: float | None) -> Sound:
    """The first ``seconds`` of what a program plays.

    Raises
    ------
    UsageError
        How long is not said, and programs go on for ever.
    QsepError
        It failed.
    """
    from qsep_live.audio.program import ProgramSound

    if seconds is None:
        raise UsageError(f"{program.name} has no end: say how much of it with --duration 30s")
    with closing(ProgramSound(program)) as playing:
        samples = playing.read(round(seconds * program.rate))
    return Sound(program.name, program.rate, program.channels, len(samples), samples=samples)


def render_sound(
    sound: Sound,
    target: Path,
    network: Network,
    settings: RenderSettings,
    progress: Callable[[float], None],
    duration: float | None = None,
    keep: list[Block] | None = None,
    outputs: Sequence[tuple[int, ...]] = (),
) -> Rendered:
    """Render ``sound`` to ``target``, which appears only when it is whole.

    Parameters
    ----------
    progress
        Called with the seconds of sound done so far.
    duration
        Seconds of the input to render; None for all.
    keep
        Where to put the blocks of the output too, if given.
    outputs
        Channels of ``target`` for each preset, stereo; none for one preset with the channels of ``sound``.

    Raises
    ------
    QsepError
        The input is damaged or the output cannot be written; nothing is left of it.
    """
    from qsep_live.audio.writer import AudioWriter
    from qsep_live.engine.part import numbered
    from qsep_live.engine.render import RenderReport
    from qsep_live.engine.strip import width_of

    start = time.perf_counter()
    frames = sound.frames if duration is None else min(sound.frames, round(duration * sound.rate))
    report = RenderReport()
    width = width_of(outputs) if outputs else sound.channels
    with AudioWriter(target, sound.rate, width, _subtype(sound, target)) as writer:
        blocks: Iterator[Block] = sound.blocks(frames)
        if outputs:
            blocks = map(_stereo, blocks)
        for block in network.render(blocks, sound.rate, 2 if outputs else sound.channels, settings, report):
            if outputs:
                block = _laid_out(block, outputs)
            writer.write(block)
            if keep is not None:
                keep.append(block)
            progress(writer.frames / sound.rate)
    faults = {
        name if index == 0 else f"{numbered('rack', index)}.{name}": text
        for index, each in enumerate(report.rack_faults)
        for name, text in each.items()
    }
    return _rendered(sound, writer, start, report, faults)


def render_stems(
    sound: Sound,
    targets: Sequence[Path],
    network: Network,
    settings: RenderSettings,
    progress: Callable[[float], None],
    rest: Path | None = None,
) -> list[Rendered]:
    """Render ``sound`` with all presets of ``settings`` at once, each to its file in ``targets``.

    What they leave over of ``sound`` goes to ``rest``, if given; it comes last in the result. The files appear when all
    are whole; otherwise as `render_sound`.
    """
    import numpy as np

    from qsep_live.audio.writer import AudioWriter
    from qsep_live.dsp.repair import repair
    from qsep_live.dsp.tape import Tape
    from qsep_live.engine.render import RenderReport
    from qsep_live.engine.stem_render import left_over

    start = time.perf_counter()
    report = RenderReport()
    dry = Tape(sound.channels, 4 * BLOCK)

    def heard() -> Iterator[Block]:
        for block in sound.blocks(sound.frames):
            if rest is not None:
                dry.push(repair(block)[0].T)
            yield block

    with ExitStack() as closing:
        writers = [
            closing.enter_context(AudioWriter(target, sound.rate, sound.channels, _subtype(sound, target)))
            for target in [*targets, *([] if rest is None else [rest])]
        ]
        for block in network.render(heard(), sound.rate, sound.channels, settings, report):
            stems = np.split(block, len(targets), axis=1)
            if rest is not None:
                stems.append(left_over(dry.view(len(block)).T, stems))
                dry.skip(len(block))
            for writer, stem in zip(writers, stems, strict=True):
                writer.write(stem)
            progress(writers[0].frames / sound.rate)
    faults = [*report.rack_faults, *[{} for _ in writers]]
    return [_rendered(sound, writer, start, report, each) for writer, each in zip(writers, faults, strict=False)]


def _subtype(sound: Sound, target: Path) -> str:
    from qsep_live.audio.writer import choose_subtype

    return choose_subtype(target, sound.reader.subtype if sound.reader is not None else None)


def _rendered(
    sound: Sound, writer: AudioWriter, start: float, report: RenderReport, faults: dict[str, str]
) -> Rendered:
    # What the reader took out the engine did not see; what is finite and no sound only the engine takes out.
    repaired = report.repaired + (sound.reader.repaired if sound.reader is not None else 0)
    return Rendered(
        sound.name, writer.path, writer.frames / sound.rate, time.perf_counter() - start, sound.rate, writer.channels,
        writer.subtype, report.windows, report.latency / sound.rate, repaired, writer.clipped, faults,
        sound.reader.remark if sound.reader is not None else "",
    )  # fmt: skip


def _stereo(block: Block) -> Block:
    """Mono is heard in the middle."""
    import numpy as np

    return block if block.shape[1] == 2 else np.repeat(block, 2, axis=1)


def _laid_out(block: Block, outputs: Sequence[tuple[int, ...]]) -> Block:
    """Several presets' stereo side by side to the channels of each."""
    import numpy as np

    from qsep_live.engine.strip import lay_out, width_of

    sounds = [block[:, 2 * index : 2 * index + 2] for index in range(len(outputs))]
    return lay_out(sounds, outputs, np.zeros((len(block), width_of(outputs)), np.float32))


def check_render(sound: Sound, settings: RenderSettings, outputs: Sequence[tuple[int, ...]] = ()) -> None:
    """Say what would make the rendering fail before a network is loaded for it.

    Raises
    ------
    UsageError
        The delay, the sample rate or the channels cannot be meant.
    """
    from qsep_live.engine.delay import plan_delay

    if not LOWEST_RATE <= sound.rate <= HIGHEST_RATE:
        raise UsageError(
            f"{sound.name}: has a sample rate of {sound.rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} can be separated"
        )
    if outputs and sound.channels > 2:
        raise UsageError(
            f"{sound.name}: has {sound.channels} channels; a preset's output channels can be chosen for mono and stereo"
        )
    if settings.delay is not None:
        plan_delay(settings.delay, sound.rate)
