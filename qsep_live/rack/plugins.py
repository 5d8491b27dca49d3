"""Hosted plugins: VST3 (and Audio Unit on macOS) bundles as effects of the rack.

A plugin's parameters jump when they are set, so they glide: every 64 frames at most four of them move by one
small step of the plugin's own travel from 0 to 1. The way from values to travel is read once, when the plugin
is loaded: setting by value costs ten times as much. How smooth a step sounds is up to the plugin.

Threading: load on the main thread (plugins demand it); `set` from any thread; process from one thread.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import QsepError
from qsep_live.rack.config import EffectConfig
from qsep_live.rack.fifo import Block
from qsep_live.rack.lane import Lane, lanes_for, split, through
from qsep_live.rack.messages import one_line, unknown

STEP_FRAMES = 64
"""Frames between two steps of a gliding parameter."""
_STEP = 1 / 96  # of the range, so the whole of it takes 140 ms at 44.1 kHz; a MIDI controller's step is 1 / 127
_AT_ONCE = 4
_SUFFIXES = (".vst3", ".component") if sys.platform == "darwin" else (".vst3",)
# What some plugin frameworks publish as parameters but the host alone may set.
_HOST_OWNED = frozenset({"bypass", "buffer_size_frames", "sample_rate_frames"})


def standard_folders() -> tuple[Path, ...]:
    """Where this platform keeps plugins, the user's own folder first."""
    home = Path.home()
    if sys.platform == "darwin":
        library = [home / "Library/Audio/Plug-Ins", Path("/Library/Audio/Plug-Ins")]
        return tuple(folder / kind for folder in library for kind in ("VST3", "Components"))
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", str(home / "AppData/Local"))
        common = os.environ.get("COMMONPROGRAMFILES", "C:/Program Files/Common Files")
        return (Path(local) / "Programs/Common/VST3", Path(common) / "VST3")
    return (home / ".vst3", Path("/usr/local/lib/vst3"), Path("/usr/lib/vst3"))


def find_plugins(folders: Iterable[Path] | None = None) -> tuple[Path, ...]:
    """The plugin bundles in the standard folders (or in ``folders``), sorted by name."""
    found: list[Path] = []
    for folder in standard_folders() if folders is None else folders:
        if folder.is_dir():
            found += [path for path in folder.rglob("*") if path.suffix in _SUFFIXES]
    # A bundle may hold a file of the same suffix inside; the outermost is the plugin.
    inner = [p for p in found if any(parent.suffix in _SUFFIXES for parent in p.parents)]
    return tuple(sorted(set(found) - set(inner), key=lambda path: (path.name.lower(), str(path))))


def locate(config: EffectConfig) -> Path:
    """The bundle a rack file names: as a path, relative to the file, or by name in a standard folder.

    Raises
    ------
    QsepError
        There is none; the line names the nearest installed plugin and lists all.
    """
    named = Path(str(config.plugin)).expanduser()
    path = named if named.is_absolute() else config.folder / named
    if path.exists():
        return path
    installed = {bundle.name: bundle for bundle in find_plugins()}
    if len(named.parts) == 1:
        for name in (named.name, *(named.name + suffix for suffix in _SUFFIXES)):
            if name in installed:
                return installed[name]
    raise QsepError(unknown("plugin", str(named), installed))


def load(path: Path, plugin_name: str | None = None) -> Any:
    """Load one effect plugin.

    Raises
    ------
    QsepError
        Not loadable, not an effect, or a bundle of several without ``plugin_name``: in one line.
    """
    pedalboard: Any = importlib.import_module("pedalboard")
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("plugins must be loaded on the main thread")
    try:
        plugin = pedalboard.load_plugin(str(path), plugin_name=plugin_name)
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        reason = one_line(error).rpartition("Plugin: ")[2]
        raise QsepError(f"cannot load {path.name}: {reason}") from error
    if plugin_name is not None and plugin.name != plugin_name:
        inside = type(plugin).get_plugin_names_for_file(str(path))
        raise QsepError(unknown(f"plugin in {path.name} called", plugin_name, inside))
    if not plugin.is_effect:
        raise QsepError(f"{path.name} is an instrument, not an effect")
    return plugin


class PluginSource:
    """A hosted plugin on all channels of the rack.

    Parameters
    ----------
    config
        The rack file's table.
    rate, channels, max_block
        Hz, channels, the longest block in frames.

    Raises
    ------
    QsepError
        It cannot be found, loaded, or run; or the file names a parameter it does not have.
    """

    def __init__(self, config: EffectConfig, rate: int, channels: int, max_block: int) -> None:
        path = locate(config)
        self._lanes = lanes_for(lambda: load(path, config.plugin_name), rate, channels, max_block, config.block)
        first = self._lanes[0].effect
        self._set_from_file(first.name, dict(first.parameters), config)
        self._tables: dict[str, tuple[Any, Any]] = {}
        parameters: list[Parameter] = []
        for name, plugin_parameter in first.parameters.items():
            described = _describe(name, plugin_parameter)
            if described is not None:
                parameters.append(described[0])
                self._tables[name] = described[1:]
        self.parameters = tuple(parameters)
        self._travel = {p.name: self._to_travel(p.name, p.default) for p in self.parameters}
        self._wanted = dict(self._travel)
        self._order = tuple(self._travel)
        self._switches = {n for n in self._order if first.parameters[n].type is bool}
        self._turn = 0
        # The first change of a parameter can take 30 ms: make it here rather than in the audio callback.
        self._handles = [{n: lane.effect.parameters[n] for n in self._order} for lane in self._lanes]
        for handles in self._handles:
            for name, handle in handles.items():
                handle.raw_value = self._travel[name]
        if not config.block and _depends_on_block(self._lanes[0], rate, max_block):
            for lane in self._lanes:
                lane.feed_by(STEP_FRAMES)
        self.delay = max(lane.measure() for lane in self._lanes)
        for lane in self._lanes:
            lane.prepare(self.delay)

    def set(self, name: str, value: float) -> None:
        """Ask for a (legal) value; it is reached in steps, a switch at once."""
        self._wanted[name] = self._to_travel(name, value)

    def reset(self) -> None:
        """Forget all sound; parameters stay. On the main thread."""
        for lane in self._lanes:
            lane.reset()
        # Pedalboard may load a plugin anew to clear it.
        for handles in self._handles:
            for name, handle in handles.items():
                handle.raw_value = self._travel[name]

    def process(self, x: Block) -> Block:
        """``x`` (channels, n) to (channels, n), `delay` frames late."""
        if self._wanted == self._travel:
            return through(self._lanes, x)
        pieces: list[Block] = []
        for piece in split(x, STEP_FRAMES):
            self._step()
            pieces.append(through(self._lanes, piece))
        return np.concatenate(pieces, axis=1)

    def _step(self) -> None:
        """Move the next few parameters that are not where they should be."""
        moved = 0
        for _ in self._order:
            name = self._order[self._turn]
            self._turn = (self._turn + 1) % len(self._order)
            distance = self._wanted[name] - self._travel[name]
            if distance == 0.0:
                continue
            if name in self._switches or abs(distance) <= _STEP:
                self._travel[name] = self._wanted[name]
            else:
                self._travel[name] += math.copysign(_STEP, distance)
            for handles in self._handles:
                handles[name].raw_value = self._travel[name]
            moved += 1
            if moved == _AT_ONCE:
                return

    def _to_travel(self, name: str, value: float) -> float:
        values, travel = self._tables[name]
        return float(np.interp(value, values, travel))

    def _set_from_file(self, plugin: str, known: dict[str, Any], config: EffectConfig) -> None:
        for name, value in config.values.items():
            if name not in known or name in _HOST_OWNED:
                raise QsepError(unknown(f"parameter of {plugin}", name, set(known) - _HOST_OWNED))
            for lane in self._lanes:
                target = lane.effect.parameters[name]
                try:
                    target.raw_value = target.get_raw_value_for(_spoken(target, value))
                except (ValueError, TypeError) as error:
                    raise QsepError(f"{name} = {value!r} is not legal: {_legal(target)}") from error


def _spoken(target: Any, value: object) -> object:
    """A file's value as the plugin's parameter wants it."""
    if target.type is bool and value in (0, 1):
        return bool(value)
    return value


def _legal(target: Any) -> str:
    if target.type is float:
        return f"{target.min_value:g} to {target.max_value:g} {target.units or ''}".strip()
    return "one of " + ", ".join(str(value) for value in target.valid_values)


def _describe(name: str, target: Any) -> tuple[Parameter, Any, Any] | None:
    """A plugin's parameter as a `Parameter`, with rising values and the travel of each; None for a choice."""
    if name in _HOST_OWNED:
        return None
    if target.type is bool:
        default = 1.0 if target.raw_value >= 0.5 else 0.0
        return Parameter(name, 0.0, 1.0, default), np.array([0.0, 1.0]), np.array([0.0, 1.0])
    if target.type is not float or not target.min_value < target.max_value:
        return None
    # Each value stands for a stretch of travel; the stretch's start sets it, and 1.0 sets the last.
    steps = sorted((low, value) for (low, _), value in target.ranges.items())
    travel = np.array([low for low, _ in steps])
    values = np.array([value for _, value in steps])
    travel[-1] = 1.0
    default = float(f"{np.interp(target.raw_value, travel, values):.6g}")
    if values[0] > values[-1]:
        values, travel = values[::-1], travel[::-1]
    if np.any(np.diff(values) < 0):
        return None
    parameter = Parameter(name, float(values[0]), float(values[-1]), 0.5 * float(values[0] + values[-1]))
    unit = str(target.units or "")
    return replace(parameter, default=parameter.clamp(default), unit=unit), values, travel


def _depends_on_block(lane: Lane, rate: int, max_block: int) -> bool:
    """Whether the same sound comes out different when the block sizes vary (but not when they do not)."""
    if max_block <= STEP_FRAMES:
        return False
    noise = (0.1 * np.random.default_rng(1).standard_normal((lane.width, 4096))).astype(np.float32)

    def run(sizes: tuple[int, ...]) -> Block:
        lane.prime()
        out, start, step = [], 0, 0
        while start < noise.shape[1] - max(sizes):
            piece = np.ascontiguousarray(noise[:, start : start + sizes[step % len(sizes)]])
            out.append(lane.effect.process(piece, float(rate), buffer_size=max_block, reset=False))
            start, step = start + piece.shape[1], step + 1
        return np.concatenate([piece for piece in out if piece.size], axis=1)

    steady = run((STEP_FRAMES,))
    if not np.allclose(steady, run((STEP_FRAMES,)), atol=1e-6):
        return False  # it differs from itself, a random modulation say: nothing to compare
    varied = run((3, 61, 17, 47))
    frames = min(steady.shape[1], varied.shape[1])
    return not np.allclose(steady[:, :frames], varied[:, :frames], atol=1e-4)
