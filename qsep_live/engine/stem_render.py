"""Offline, with a separator that gives stems: any rate, any channels, as long as it takes, in bounded memory.

The separator hears two channels at most: neighbours go through it in pairs, one pair after the other. Mono is heard as
two equal channels and given back as mono. What the stems leave over of the input belongs to the stem ``other``, or
``rest``, where there is one. Same bytes every time, whatever the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.resample import AlignedConverter
from qsep_live.dsp.repair import repair
from qsep_live.dsp.tape import Tape
from qsep_live.engine.render import BLOCK, RenderReport, RenderSettings, load_racks
from qsep_live.engine.stem_windows import CheckedSeparator, StemWindows
from qsep_live.engine.strip import Strip, in_step
from qsep_live.latent.stem_weights import gains as weight_gains

Array = NDArray[np.float32]

OTHER, REST = "other", "rest"


def stem_blocks(
    blocks: Iterable[Array], rate: int, channels: int, separator: CheckedSeparator, report: RenderReport | None = None
) -> Iterator[tuple[Array, Array]]:
    """A stream of ``blocks`` (n, channels) at ``rate`` Hz to its dry sound (m, channels), stems (stems, m, channels).

    Both are aligned and, over all, as long as the input. Where there is a stem `remainder`, the stems add up to the dry
    sound, to float32's rounding. Samples that are not sound (`repair`) are silence, and counted.
    """
    report = RenderReport() if report is None else report
    names = separator.spec.stems
    left = remainder(names)
    # It is what the others leave over of the input, so that its own samples need not come back.
    other = names.index(left) if left in names and len(names) > 1 else None
    width = separator.spec.channels
    groups = [_Group(separator, rate, min(width, channels - first), other) for first in range(0, channels, width)]
    waiting = Tape(channels, 1 << 18)

    def aligned(pieces: list[Iterator[Array]]) -> Iterator[tuple[Array, Array]]:
        """The groups' stems side by side, each with its dry sound."""
        for rows in zip(*pieces, strict=True):
            stems = np.concatenate(rows, axis=1).transpose(0, 2, 1)
            count = stems.shape[1]
            dry = waiting.view(count).T.copy()
            waiting.skip(count)
            if other is not None:
                stems = np.insert(stems, other, left_over(dry, stems), axis=0)
            yield dry, stems

    for block in _even(blocks):
        block, repaired = repair(block)
        report.frames += block.shape[0]
        report.repaired += repaired
        waiting.push(block.T)
        parts = [block.T[first : first + width] for first in range(0, channels, width)]
        yield from aligned([group.push(part) for group, part in zip(groups, parts, strict=True)])
    yield from aligned([group.finish() for group in groups])


def remainder(stems: Sequence[str]) -> str:
    """What that is called which ``stems`` leave over: one of them, or `REST` beside them."""
    return OTHER if OTHER in stems else REST


def left_over(dry: Array, taken: Iterable[Array]) -> Array:
    """``dry`` less all of ``taken``, rounded once."""
    rest = dry.astype(np.float64)
    for sound in taken:
        rest -= sound
    return rest.astype(np.float32)


def render_stems(
    blocks: Iterable[Array],
    rate: int,
    channels: int,
    separator: CheckedSeparator,
    settings: RenderSettings,
    report: RenderReport | None = None,
) -> Iterator[Array]:
    """As `engine.render.render`, with latents that are weights over the separator's stems."""
    report = RenderReport() if report is None else report
    rows = weight_gains(np.atleast_2d(settings.latent))
    racks = load_racks(settings, rate, channels)
    strips = [Strip(channels, rack, late) for rack, late in zip(racks, in_step(racks), strict=True)]
    report.latency = skip = max(rack.latency if rack else 0 for rack in racks)
    before = separator.windows

    def sounds() -> Iterator[tuple[Array, Array]]:
        for dry, stems in stem_blocks(blocks, rate, channels, separator, report):
            for start in range(0, dry.shape[0], BLOCK):
                yield dry[start : start + BLOCK], stems[:, start : start + BLOCK]
        for start in range(0, report.latency, BLOCK):
            count = min(BLOCK, report.latency - start)
            yield np.zeros((count, channels), np.float32), np.zeros((rows.shape[1], count, channels), np.float32)

    for dry, stems in sounds():
        heard = [
            strip.process(_weighted(stems, gain), dry, settings.mode, settings.wet, settings.gain)
            for strip, gain in zip(strips, rows, strict=True)
        ]
        report.windows = separator.windows - before
        report.rack_faults = [{} if rack is None else dict(rack.faults) for rack in racks]
        dropped = min(skip, dry.shape[0])
        skip -= dropped
        if dropped < dry.shape[0]:
            yield np.concatenate(heard, axis=1)[dropped:]


def _weighted(stems: Array, gains: Array) -> Array:
    """The sum of ``stems`` (stems, n, channels), each times its gain; one at a gain of 1 is that stem to the bit."""
    target: Array = np.zeros_like(stems[0])
    for stem, gain in zip(stems, gains, strict=True):
        if gain:
            target += gain * stem
    return target


class _Group:
    """Neighbouring channels on their way to the separator's rate and back, ``without`` one of the stems."""

    def __init__(self, separator: CheckedSeparator, rate: int, channels: int, without: int | None) -> None:
        spec = separator.spec
        self._without = without
        self._channels = channels
        self._spread = spec.channels // channels
        self._stems = len(spec.stems) - (without is not None)
        self._windows = StemWindows(separator)
        self._there = self._back = None
        if rate != spec.rate:
            self._there = AlignedConverter(rate, spec.rate, channels)
            self._back = AlignedConverter(spec.rate, rate, self._stems * channels)
        self._received = self._given = 0

    def push(self, sound: Array) -> Iterator[Array]:
        """``sound`` (channels, n) to the stems that it completes, each (stems, channels, m)."""
        self._received += sound.shape[1]
        if self._there is not None:
            sound = self._there.process(sound)
        yield from self._hear(sound)

    def finish(self) -> Iterator[Array]:
        """What is left, so that there are as many samples as came."""
        if self._there is not None:
            yield from self._hear(self._there.finish())
        for stems in self._windows.finish():
            yield from self._given_back(stems)
        if self._back is not None:
            # There and back may make a sample more or fewer.
            rows, missing = self._back.finish(), self._received - self._given
            rows = np.pad(rows, ((0, 0), (0, max(0, missing - rows.shape[1]))))[:, :missing]
            yield rows.reshape(self._stems, self._channels, -1)

    def _hear(self, sound: Array) -> Iterator[Array]:
        for stems in self._windows.push(np.repeat(sound, self._spread, axis=0)):
            yield from self._given_back(stems)

    def _given_back(self, stems: Array) -> Iterator[Array]:
        if self._without is not None:
            stems = np.delete(stems, self._without, axis=0)
        if self._spread > 1:
            stems = stems.mean(axis=1, keepdims=True)
        if self._back is not None:
            rows = self._back.process(stems.reshape(-1, stems.shape[-1]))
            stems = rows[:, : self._received - self._given].reshape(self._stems, self._channels, -1)
        self._given += stems.shape[-1]
        yield stems


def _even(blocks: Iterable[Array]) -> Iterator[Array]:
    """The same sound in blocks of `BLOCK`: what is heard must not depend on how the sound came."""
    kept: Array | None = None
    for block in blocks:
        kept = block if kept is None else np.concatenate([kept, block])
        whole = kept.shape[0] - kept.shape[0] % BLOCK
        for start in range(0, whole, BLOCK):
            yield kept[start : start + BLOCK]
        kept = kept[whole:]
    if kept is not None and kept.shape[0]:
        yield kept
