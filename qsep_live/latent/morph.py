"""Morphing: presets along a path, a position on it that a knob moves, and time that makes every jump a glide.

Threading: a `Morph` does not change, any thread may read it. `MorphGlide` and `LatentPath` belong to one
thread, the host's control loop, which steps them at 50 to 100 Hz and hands the latent on by shared memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import UsageError
from qsep_live.latent.preset import Preset
from qsep_live.latent.slerp import slerp
from qsep_live.latent.wording import nearest, one_line, shown

TIME_CONSTANT = 0.08
_ARRIVED = 1e-4


class Morph:
    """Presets at equal distances along a path from 0 to 1, slerp between neighbours.

    Parameters
    ----------
    presets : sequence of Preset
        At least one, all latents of one model, or all weights of the same stems in the same order
        (`Preset.for_stems`). One alone is a constant. A preset may come more than once.

    Raises
    ------
    UsageError
        No preset, presets of different models or stems, or latents among weights of stems.
    """

    def __init__(self, presets: Sequence[Preset]) -> None:
        if not presets:
            raise UsageError("a morph needs at least one preset: name one with --preset")
        for preset in presets[1:]:
            _require_one_space(presets[0], preset)
        self.presets = tuple(presets)

    @property
    def names(self) -> list[str]:
        """The presets' names, in the order of the path."""
        return [preset.name for preset in self.presets]

    def latent(self, position: float) -> NDArray[np.float32]:
        """The latent, (n,) float32, at ``position``, which is clamped to [0, 1]."""
        index, alpha = self._place(position)
        if alpha == 0.0:
            return self.presets[index].latent
        return slerp(self.presets[index].latent, self.presets[index + 1].latent, alpha)

    def position_of(self, name: str) -> float:
        """Where preset ``name`` lies (the first, if it comes more than once).

        Raises
        ------
        UsageError
            It is not on this path: lists those that are, and the nearest.
        """
        names = self.names
        if name not in names:
            guess = nearest(name, names)
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise UsageError(f"preset {shown(name)} is not on the path; there are {', '.join(names)}.{hint}")
        return names.index(name) / max(len(names) - 1, 1)

    def describe(self, position: float) -> str:
        """The share of each neighbour at ``position``: ``vocals 30 % → drums 70 %``; one name at a preset."""
        index, alpha = self._place(position)
        percent = round(100.0 * alpha)
        if percent == 0:
            return self.presets[index].name
        if percent == 100:
            return self.presets[index + 1].name
        return f"{self.presets[index].name} {100 - percent} % → {self.presets[index + 1].name} {percent} %"

    def _place(self, position: float) -> tuple[int, float]:
        """Index of the preset at or before ``position`` and the share in [0, 1) of the next one."""
        if math.isnan(position):
            raise ValueError("position is NaN")
        place = min(max(position, 0.0), 1.0) * (len(self.presets) - 1)
        # i / (n - 1) * (n - 1) is not always i, and a preset is to be met exactly.
        if abs(place - round(place)) < 1e-9:
            return round(place), 0.0
        index = math.floor(place)
        return index, place - index


class MorphGlide:
    """A number that follows its target exponentially, and arrives.

    Parameters
    ----------
    position : float
        Where it begins.
    time_constant : float
        Seconds in which 63 % of the way is covered (default 0.08); 0 follows at once. From one end of [0, 1]
        to the other it has arrived, exactly, after 9.3 time constants.
    """

    def __init__(self, position: float = 0.0, time_constant: float = TIME_CONSTANT) -> None:
        if not (math.isfinite(time_constant) and time_constant >= 0.0):
            raise ValueError(f"time constant is {time_constant} s, must be 0 or more")
        self.position = float(position)
        self.time_constant = time_constant

    def step(self, dt: float, target: float) -> float:
        """Let ``dt`` seconds pass on the way to ``target``; returns the position.

        How the time is cut into steps makes no difference, but for the last ten-thousandth, which is one
        step. A ``dt`` of 0 or less (a clock set back) moves nothing.
        """
        if not dt > 0.0:
            return self.position
        remaining = math.exp(-dt / self.time_constant) if self.time_constant > 0.0 else 0.0
        distance = (self.position - target) * remaining
        self.position = target if abs(distance) < _ARRIVED else target + distance
        return self.position


class LatentPath:
    """The latent that sounds now: a morph, a knob's position on it, and picked presets, all smoothed in time.

    Turning the knob glides along the path. Picking a preset, or changing the path, glides from the latent
    that sounds at that moment straight to the new one (slerp), however far apart they lie.

    Parameters
    ----------
    morph : Morph
    position : float
        Where on the path to begin, without a glide.
    time_constant : float
        Seconds, for both kinds of glide (see `MorphGlide`).
    """

    def __init__(self, morph: Morph, position: float = 0.0, time_constant: float = TIME_CONSTANT) -> None:
        self._morph = morph
        self._target = min(max(float(position), 0.0), 1.0)
        self._glide = MorphGlide(self._target, time_constant)
        self._held: Preset | None = None
        # While a straight glide is under way: where it began, and how far it has come.
        self._origin: NDArray[np.float32] | None = None
        self._progress = MorphGlide(1.0, time_constant)
        self._latent = _read_only(morph.latent(self._target))

    @property
    def morph(self) -> Morph:
        """The path the knob moves on."""
        return self._morph

    @property
    def latent(self) -> NDArray[np.float32]:
        """The latent, (n,) float32, after the last step, read-only; the same object while nothing moves."""
        return self._latent

    @property
    def position(self) -> float:
        """The position on the path after the last step, in [0, 1]."""
        return self._glide.position

    @property
    def target(self) -> float:
        """The position on the path that is being approached, in [0, 1]."""
        return self._target

    @property
    def settled(self) -> bool:
        """Whether the latent has arrived where it was sent."""
        return self._origin is None and (self._held is not None or self._glide.position == self._target)

    def move_to(self, position: float) -> None:
        """Send the latent along the path to ``position``, clamped to [0, 1]; NaN leaves it where it is.

        After a preset from outside the path was picked, this returns to the path.
        """
        if math.isnan(position):
            return
        self._target = min(max(float(position), 0.0), 1.0)
        if self._held is not None:
            self._held = None
            self._depart(self._target)

    def pick(self, preset: str | Preset) -> None:
        """Send the latent straight to a preset: one on the path by its name, or any preset of the same model or stems.

        Raises
        ------
        UsageError
            The name is not on the path, or the preset belongs to another model or needs another stem.
        """
        if isinstance(preset, Preset):
            preset = preset.beside(self._morph.presets[0])
            if preset not in self._morph.presets:
                self._held = preset
                self._depart(self._target)
                return
        name = preset.name if isinstance(preset, Preset) else preset
        self._target = self._morph.position_of(name)
        self._held = None
        self._depart(self._target)

    def change_path(self, morph: Morph, position: float = 0.0) -> None:
        """Go on with another path, gliding from the latent that sounds now to ``position`` on it.

        Raises
        ------
        UsageError
            The path belongs to another model or other stems: nothing lies between, make a new `LatentPath`.
        """
        _require_one_space(self._morph.presets[0], morph.presets[0])
        self._morph = morph
        self._target = min(max(float(position), 0.0), 1.0)
        self._held = None
        self._depart(self._target)

    def step(self, dt: float) -> NDArray[np.float32]:
        """Let ``dt`` seconds pass; returns the latent, (n,) float32, read-only."""
        if self.settled:
            return self._latent
        position = self._glide.step(dt, self._target)
        goal = self._held.latent if self._held is not None else self._morph.latent(position)
        if self._origin is not None:
            progress = self._progress.step(dt, 1.0)
            if progress < 1.0:
                self._latent = _read_only(slerp(self._origin, goal, progress))
                return self._latent
            self._origin = None
        self._latent = _read_only(goal)
        return self._latent

    def describe(self) -> str:
        """What sounds, or is being approached: the picked preset's name, or the shares at the position."""
        return self._held.name if self._held is not None else self._morph.describe(self._glide.position)

    def _depart(self, position: float) -> None:
        """Begin a straight glide from the latent that sounds now; the knob is at ``position`` at once."""
        self._origin = self._latent
        self._progress.position = 0.0
        self._glide.position = position


def _require_one_space(one: Preset, other: Preset) -> None:
    """Raise UsageError unless slerp between the two means something."""
    if not one.stems and not other.stems and one.model != other.model:
        raise UsageError(
            f"presets {one.name!r} (model {one.model[:8]}) and {other.name!r} (model {other.model[:8]}) belong to "
            "different models: make one again for the other's model with "
            f"qsep-live presets new {other.name} --query FILE"
        )
    if one.stems != other.stems and one.stems and other.stems:
        raise UsageError(
            one_line(
                f"presets {one.name!r} ({one.kind}) and {other.name!r} ({other.kind}) weigh different stems: "
                "bring both to the stems of one model"
            )
        )
    other.beside(one)


def _read_only(latent: NDArray[np.float32]) -> NDArray[np.float32]:
    latent.flags.writeable = False
    return latent
