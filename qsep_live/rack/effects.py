"""The pedalboard effects that make sense live, as a table: parameters, ranges, what can move while it sounds.

Nothing here imports pedalboard before :func:`create` is called, so that a rack file can be checked cheaply.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import QsepError
from qsep_live.rack.messages import one_line, unknown

Value = float | bool | str
"""What a rack file may say for one parameter."""


@dataclass(frozen=True)
class Option:
    """A setting that only the file can choose: it changes an effect's delay or rebuilds its insides.

    Parameters
    ----------
    name
        As pedalboard calls it.
    kind
        ``"number"``, ``"flag"`` (true or false), ``"choice"`` (one of ``choices``) or ``"file"``.
    default
        Used when the file is silent; None makes the option mandatory.
    minimum, maximum
        For numbers, in ``unit``.
    """

    name: str
    kind: Literal["number", "flag", "choice", "file"]
    default: Value | None
    minimum: float = 0.0
    maximum: float = 0.0
    unit: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """One pedalboard class, as the rack offers it.

    Parameters
    ----------
    type
        The pedalboard class name.
    parameters
        What may move while it sounds; names are pedalboard's attributes.
    options
        What only the file may choose.
    glides
        The effect smooths its own parameters, so that one copy of it is enough (see `twin.py`).
    memory
        False for effects whose output depends on the present sample alone.
    stepped
        Parameters whose change is written into the effect's memory and heard later: they move in small steps.
    """

    type: str
    parameters: tuple[Parameter, ...] = ()
    options: tuple[Option, ...] = ()
    glides: bool = False
    memory: bool = True
    stepped: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that ``[effect.parameters]`` may hold."""
        return tuple(p.name for p in self.parameters) + tuple(o.name for o in self.options)


def _hz(name: str, minimum: float, maximum: float, default: float) -> Parameter:
    return Parameter(name, minimum, maximum, default, "Hz", "log")


def _db(name: str, minimum: float, maximum: float, default: float) -> Parameter:
    return Parameter(name, minimum, maximum, default, "dB")


def _ms(name: str, minimum: float, maximum: float, default: float) -> Parameter:
    return Parameter(name, minimum, maximum, default, "ms", "log")


def _unit(name: str, default: float) -> Parameter:
    return Parameter(name, 0.0, 1.0, default)


def _equaliser(kind: str) -> Effect:
    return Effect(
        kind,
        (
            _hz("cutoff_frequency_hz", 20.0, 20000.0, 440.0),
            _db("gain_db", -36.0, 36.0, 0.0),
            Parameter("q", 0.1, 20.0, 0.7071067690849304, "", "log"),
        ),
    )


_QUALITY = (
    "ZeroOrderHold",
    "Linear",
    "CatmullRom",
    "Lagrange",
    "WindowedSinc",
    "WindowedSinc8",
    "WindowedSinc16",
    "WindowedSinc32",
    "WindowedSinc64",
    "WindowedSinc128",
    "WindowedSinc256",
)

_TABLE = (
    Effect("Bitcrush", (Parameter("bit_depth", 1.0, 32.0, 8.0, "bit"),), memory=False),
    Effect(
        "BrickwallLimiter",
        (_db("ceiling_db", -40.0, 0.0, -1.0), _ms("release_ms", 1.0, 2000.0, 100.0)),
        (
            Option("lookahead_ms", "number", 5.0, 0.5, 20.0, "ms"),
            Option("true_peak", "flag", False),
        ),
    ),
    Effect(
        "Chorus",
        (
            Parameter("rate_hz", 0.01, 20.0, 1.0, "Hz", "log"),
            _unit("depth", 0.25),
            _ms("centre_delay_ms", 1.0, 100.0, 7.0),
            Parameter("feedback", -0.95, 0.95, 0.0),
            _unit("mix", 0.5),
        ),
    ),
    Effect("Clipping", (_db("threshold_db", -60.0, 0.0, -6.0),), memory=False),
    Effect(
        "Compressor",
        (
            _db("threshold_db", -60.0, 0.0, 0.0),
            Parameter("ratio", 1.0, 50.0, 1.0, "", "log"),
            _ms("attack_ms", 0.1, 500.0, 1.0),
            _ms("release_ms", 1.0, 5000.0, 100.0),
        ),
    ),
    Effect(
        "Convolution",
        (_unit("mix", 1.0),),
        (Option("impulse_response", "file", None),),
        glides=True,
    ),
    Effect(
        "Delay",
        (
            Parameter("delay_seconds", 0.0, 5.0, 0.5, "s"),
            Parameter("feedback", 0.0, 0.98, 0.0),
            _unit("mix", 0.5),
        ),
        stepped=("feedback",),
    ),
    Effect("Distortion", (_db("drive_db", 0.0, 60.0, 25.0),), memory=False),
    Effect("Gain", (_db("gain_db", -80.0, 24.0, 1.0),), memory=False),
    _equaliser("HighShelfFilter"),
    Effect("HighpassFilter", (_hz("cutoff_frequency_hz", 10.0, 20000.0, 50.0),)),
    Effect("Invert", memory=False),
    Effect(
        "LadderFilter",
        (
            _hz("cutoff_hz", 20.0, 20000.0, 200.0),
            _unit("resonance", 0.0),
            Parameter("drive", 1.0, 20.0, 1.0, "", "log"),
        ),
        (Option("mode", "choice", "LPF12", choices=("LPF12", "HPF12", "BPF12", "LPF24", "HPF24", "BPF24")),),
    ),
    Effect(
        "Limiter",
        (_db("threshold_db", -60.0, 0.0, -10.0), _ms("release_ms", 1.0, 5000.0, 100.0)),
    ),
    _equaliser("LowShelfFilter"),
    Effect("LowpassFilter", (_hz("cutoff_frequency_hz", 20.0, 20000.0, 50.0),)),
    Effect("MP3Compressor", (), (Option("vbr_quality", "number", 2.0, 0.0, 10.0),)),
    Effect(
        "NoiseGate",
        (
            _db("threshold_db", -100.0, 0.0, -100.0),
            Parameter("ratio", 1.0, 50.0, 10.0, "", "log"),
            _ms("attack_ms", 0.1, 500.0, 1.0),
            _ms("release_ms", 1.0, 5000.0, 100.0),
        ),
    ),
    _equaliser("PeakFilter"),
    Effect(
        "Phaser",
        (
            Parameter("rate_hz", 0.01, 20.0, 1.0, "Hz", "log"),
            _unit("depth", 0.5),
            _hz("centre_frequency_hz", 50.0, 10000.0, 1300.0),
            Parameter("feedback", -0.95, 0.95, 0.0),
            _unit("mix", 0.5),
        ),
    ),
    Effect(
        "Resample",
        (),
        (
            Option("target_sample_rate", "number", 8000.0, 500.0, 48000.0, "Hz"),
            Option("quality", "choice", "WindowedSinc32", choices=_QUALITY),
        ),
    ),
    # freeze_mode is left out: it cuts the input of the loops at once, and the click goes round for ever.
    Effect(
        "Reverb",
        (
            _unit("room_size", 0.5),
            _unit("damping", 0.5),
            _unit("wet_level", 0.33),
            _unit("dry_level", 0.4),
            _unit("width", 1.0),
        ),
    ),
)

EFFECTS: Mapping[str, Effect] = {effect.type: effect for effect in _TABLE}
"""Every effect on offer, by pedalboard class name."""

_REFUSED = {
    "PitchShift": "PitchShift holds 1.1 s of sound back, so it is not for live use",
    "GSMFullRateCompressor": "GSMFullRateCompressor falls silent in blocks under 1024 frames: not for live use",
    "IIRFilter": "IIRFilter is only a base class: use HighShelfFilter, LowShelfFilter or PeakFilter",
}


def _key(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


def find(name: str) -> Effect:
    """The effect called ``name``: pedalboard's class name in any case, or in snake_case.

    Raises
    ------
    QsepError
        No such effect, or one that is no use live. The caller adds file and line.
    """
    key = _key(name)
    for effect in _TABLE:
        if _key(effect.type) == key:
            return effect
    for refused, why in _REFUSED.items():
        if _key(refused) == key:
            raise QsepError(why)
    raise QsepError(unknown("effect", name, EFFECTS))


def create(effect: Effect, values: Mapping[str, Value]) -> Any:
    """A new pedalboard object of this effect with these (checked) values; the rest at their defaults."""
    pedalboard: Any = importlib.import_module("pedalboard")
    kind = getattr(pedalboard, effect.type, None)
    if kind is None:
        raise QsepError(f"pedalboard {pedalboard.__version__} has no {effect.type}: install a newer one")
    arguments: dict[str, Any] = {p.name: float(values.get(p.name, p.default)) for p in effect.parameters}
    for option in effect.options:
        value = values.get(option.name, option.default)
        if option.kind == "choice":
            value = getattr(kind.Mode if option.name == "mode" else pedalboard.Resample.Quality, str(value))
        if option.kind == "file":
            _check_sound(pedalboard, str(value))
        arguments["impulse_response_filename" if option.kind == "file" else option.name] = value
    try:
        return kind(**arguments)
    except (ValueError, RuntimeError, TypeError) as error:
        raise QsepError(f"{effect.type}: {one_line(error)}") from error


def _check_sound(pedalboard: Any, file: str) -> None:
    """Pedalboard takes any file for an impulse response and stays silent if it is none."""
    try:
        with pedalboard.io.AudioFile(file) as sound:
            frames = sound.frames
    except (ValueError, RuntimeError, OSError) as error:
        raise QsepError(f"cannot read the sound file {file}: {one_line(error)}") from error
    if frames == 0:
        raise QsepError(f"the sound file {file} is empty")
