"""What the options accept: numbers with units, names in lists; and the options that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Delay = float | Literal["auto", "centred"]

MODES = ("isolate", "remove", "balance")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("fp32", "bf16")
GAIN_RANGE = (-60.0, 12.0)
LARGEST_BLOCK = 8192
MOST_OUTPUTS = 64
_CHANNELS = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))\s*([a-z%]*)")


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only from click 8.3 on


class _Quantity(_ParamType):
    """A number and perhaps a unit."""

    units: ClassVar[dict[str, float]]
    wanted: ClassVar[str]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        found = _NUMBER.fullmatch(value.strip().lower())
        if found is None or found[2] not in self.units:
            self.fail(f"{value!r} is not {self.wanted}", param, ctx)
        number = self.limit(float(found[1]) * self.units[found[2]])
        if number is None:
            self.fail(f"{value!r} is out of range: give {self.wanted}", param, ctx)
        return number

    def limit(self, number: float) -> float | None:
        """``number`` where it is legal."""
        return number if math.isfinite(number) else None


class _Delay(_Quantity):
    name = "TIME"
    units: ClassVar[dict[str, float]] = {"": 1e-3, "ms": 1e-3, "s": 1.0}
    wanted = "a delay: 25ms, 0.1s, 100 (ms), auto, or centred (files only)"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("auto", "centred"):
            return value
        if value == "centered":
            return "centred"
        return super().convert(value, param, ctx)

    def limit(self, number: float) -> float | None:
        # The exact range depends on the sample rate; the engine says so.
        return number if 0.0 <= number < 3600.0 else None


class _Duration(_Quantity):
    name = "TIME"
    units: ClassVar[dict[str, float]] = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0}
    wanted = "a duration above 0: 90, 90s, 5m or 1h"

    def limit(self, number: float) -> float | None:
        return number if 0.0 < number < math.inf else None


class _Share(_Quantity):
    name = "SHARE"
    units: ClassVar[dict[str, float]] = {"": 1.0, "%": 0.01}
    wanted = "a share: 0 to 1, or 0% to 100%"

    def limit(self, number: float) -> float | None:
        return number if 0.0 <= number <= 1.0 else None


class _Gain(_Quantity):
    name = "DB"
    units: ClassVar[dict[str, float]] = {"": 1.0, "db": 1.0}
    wanted = f"a gain in dB: {GAIN_RANGE[0]:g} to {GAIN_RANGE[1]:g}"

    def limit(self, number: float) -> float | None:
        return number if GAIN_RANGE[0] <= number <= GAIN_RANGE[1] else None


class _Rate(_Quantity):
    name = "HZ"
    units: ClassVar[dict[str, float]] = {"": 1.0, "hz": 1.0, "k": 1e3, "khz": 1e3}
    wanted = "a sample rate in Hz: 44100, 48000, 88200 or 96000"

    def limit(self, number: float) -> float | None:
        return round(number) if 8000.0 <= number <= 384_000.0 else None


DELAY, DURATION, SHARE, GAIN, RATE = _Delay(), _Duration(), _Share(), _Gain(), _Rate()


def split_names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names given comma separated, repeatedly, or both, in their order."""
    names = tuple(name.strip() for value in values for name in value.split(","))
    if not all(names):
        raise click.BadParameter("an empty name: write names like vocals,drums")
    return names


def preset_option(command: Command) -> Command:
    """``--preset``."""
    return click.option(
        "-p", "--preset", "presets", metavar="NAMES", multiple=True, callback=split_names, default=("vocals",),
        help="Presets, comma separated or repeated; their order is the morph knob's path.  [default: vocals]",
    )(command)  # fmt: skip


@dataclass(frozen=True)
class PartOption:
    """One ``--preset``: names of a path, and its output channels from 0; None where none were said."""

    names: tuple[str, ...]
    outputs: tuple[int, ...] | None = None


def split_parts(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[PartOption, ...]:
    """``vocals,piano:1-2`` and ``drums:3-4``: presets at once. Without channels all names are one path."""
    if not any(":" in value for value in values):
        return (PartOption(split_names(ctx, param, values)),)
    parts: list[PartOption] = []
    owners: dict[int, str] = {}
    for value in values:
        names, colon, channels = value.rpartition(":")
        if not colon:
            raise click.BadParameter(
                f"{value!r} has no output channels: of several presets at once each says its own, as in {value}:3-4"
            )
        outputs = _outputs(channels.strip(), value)
        for channel in outputs:
            if channel in owners:
                raise click.BadParameter(f"{owners[channel]} and {value} share output channel {channel + 1}")
            owners[channel] = value
        parts.append(PartOption(split_names(ctx, param, (names,)), outputs))
    return tuple(parts)


def _outputs(text: str, value: str) -> tuple[int, ...]:
    """``3-4`` or ``3`` as channels from 0."""
    found = _CHANNELS.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{value!r}: {text!r} is no output channels; write vocals:1-2, or vocals:1 for mono")
    first = int(found[1])
    last = int(found[2] or first)
    if not 1 <= first <= MOST_OUTPUTS or last - first not in (0, 1) or (found[2] and last == first):
        raise click.BadParameter(
            f"{value!r}: a preset has two neighbouring output channels, as 1-2, or one, as 1; up to {MOST_OUTPUTS}"
        )
    return tuple(range(first - 1, last))


def parts_option(command: Command) -> Command:
    """``--preset`` where several may sound at once."""
    return click.option(
        "-p", "--preset", "parts", metavar="NAMES[:CHANNELS]", multiple=True, callback=split_parts, default=("vocals",),
        help="Presets, comma separated; their order is the morph knob's path. With output channels, as vocals:1-2,"
        " several --preset sound at once.  [default: vocals]",
    )(command)  # fmt: skip


def rack_option(command: Command) -> Command:
    """``--rack``."""
    return click.option("--rack", metavar="FILE", help="Effects behind the separator, a TOML file; 'none' for none.")(
        command
    )


def racks_option(command: Command) -> Command:
    """``--rack`` where several presets may sound at once."""
    return click.option(
        "--rack", "racks", metavar="FILE", multiple=True,
        help="Effects behind the separator, a TOML file; 'none' for none. One for all presets, or one for each.",
    )(command)  # fmt: skip


def mix_options(command: Command) -> Command:
    """What is heard: ``--mode``, ``--wet``, ``--gain``, ``--delay``."""
    options = (
        click.option("--mode", type=click.Choice(MODES), default="isolate", show_default=True,
                     help="The target alone, everything else, or the mix with the target louder or softer."),
        click.option("--wet", type=SHARE, default="1", show_default=True,
                     help="From the dry sound (0) to the effect (1 or 100%)."),
        click.option("--gain", type=GAIN, default="0", show_default=True,
                     help="Gain of the output in dB; in balance mode of the target in the mix."),
        click.option("--delay", type=DELAY,
                     help="25ms, 0.1s, 100 (ms) or auto, the best that this machine holds; files: centred."),
    )  # fmt: skip
    return _all(options)(command)


def network_options(command: Command) -> Command:
    """Which network, and on what: ``--model``, ``--device``, ``--threads``."""
    options = (
        click.option("--model", metavar="NAME", help="Checkpoint (.safetensors), or the name of a separator of stems;"
                     " the one that comes along by default."),
        click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True,
                     help="Where the network runs."),
        click.option("--threads", type=click.IntRange(1, 1024), metavar="N",
                     help="Of the network on the CPU; default: all cores for files, live one fewer, at most 4."),
    )  # fmt: skip
    return _all(options)(command)


ahead_option = click.option(
    "--ahead", type=click.IntRange(0), metavar="FRAMES",
    help="Frames of 12 ms that masks may be ahead of the sound, at most; the model's own limit by default.",
)  # fmt: skip
window_option = click.option(
    "--window", type=click.IntRange(1), metavar="FRAMES",
    help="Frames of 12 ms that the network hears for a mask; by default 128, centred or with a long delay 256.",
)  # fmt: skip
fast_option = click.option("--fast", is_flag=True, help="Files: as fast as the network can, with small errors.")
json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout and nothing else.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what exists already.")


def _all(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
