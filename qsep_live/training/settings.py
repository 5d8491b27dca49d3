"""Everything about a run but its data and its time, and how single settings are changed: ``losses.kl=0.02``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from qsep_live.errors import UsageError
from qsep_live.latent.wording import kind, nearest, shown
from qsep_live.nets.model import Model, build_separator
from qsep_live.nets.query_net import QueryNet
from qsep_live.training.optimiser import OptimiserConfig
from qsep_live.training.recipe import RECIPES, Recipe
from qsep_live.training.schedule import ScheduleConfig

T = TypeVar("T")

_OPTIMISERS = {
    "paper": OptimiserConfig(clip=math.inf),
    **dict.fromkeys(
        ("shipped", "ahead", "reference", "stream"), OptimiserConfig(betas=(0.9, 0.999), weight_decay=0.02, muon=0.95)
    ),
}
_SCHEDULES = {"paper": ScheduleConfig(kind="steps")}


@dataclass(frozen=True)
class Settings:
    """A recipe with its optimiser and its schedule. ``name`` is the recipe's."""

    name: str
    recipe: Recipe
    optimiser: OptimiserConfig
    schedule: ScheduleConfig

    @property
    def notes(self) -> str:
        """What differs from the paper, in words."""
        return self.recipe.notes

    def networks(self) -> Model:
        """Fresh networks of this recipe."""
        return Model(build_separator(self.recipe.separator), QueryNet(self.recipe.query_net))

    def flat(self) -> dict[str, Any]:
        """Every setting by its dotted name."""
        return {**_flat(self.recipe), **_flat(self.optimiser, "optimiser."), **_flat(self.schedule, "schedule.")}

    def changed(self, assignments: Iterable[str]) -> Settings:
        """With settings replaced, each given as ``NAME=VALUE``.

        Raises
        ------
        UsageError
            A name that there is not, or a value that it cannot have.
        """
        parts: dict[str, Any] = {"optimiser": self.optimiser, "schedule": self.schedule}
        recipe = self.recipe
        names = list(self.flat())
        for text in assignments:
            name, equals, value = (part.strip() for part in text.partition("="))
            if not equals:
                raise UsageError(f"--set {shown(text)}: write NAME=VALUE, as in losses.kl=0.02")
            if name not in names:
                raise UsageError(f"--set {shown(text)}: there is no setting {shown(name)}; {_hint(name, names)}")
            head, _, rest = name.partition(".")
            try:
                if head in parts:
                    parts[head] = _with(parts[head], rest, value)
                else:
                    recipe = _with(recipe, name, value)
            except (ValueError, UsageError) as error:
                raise UsageError(f"--set {shown(text)}: {error}") from None
        return replace(self, recipe=recipe, **parts)


def settings_of(name: str) -> Settings:
    """The settings of a recipe.

    Raises
    ------
    UsageError
        There is no such recipe: lists those that exist, and the nearest.
    """
    if name not in RECIPES:
        guess = nearest(name, list(RECIPES))
        hint = f"did you mean {guess!r}? " if guess else ""
        raise UsageError(f"there is no recipe {shown(name)}; {hint}there are {', '.join(RECIPES)}")
    return Settings(
        name, RECIPES[name], _OPTIMISERS.get(name, OptimiserConfig()), _SCHEDULES.get(name, ScheduleConfig())
    )


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first setting in which two runs differ, in words; empty where none does."""
    for name in dict.fromkeys((*theirs, *mine)):
        if mine.get(name) != theirs.get(name):
            return f"{name} is {theirs.get(name)} there and {mine.get(name)} here"
    return ""


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            found |= _flat(value, f"{prefix}{field.name}.")
        elif field.name != "notes":
            found[prefix + field.name] = value
    return found


def _with(config: T, name: str, text: str) -> T:
    head, _, rest = name.partition(".")
    old = getattr(config, head)
    new = _with(old, rest, text) if rest else _parse(text, old)
    return replace(config, **{head: new})  # type: ignore[type-var]


def _parse(text: str, old: Any) -> Any:
    """``text`` as a value of the type of ``old``."""
    if isinstance(old, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.lower() == "true"
    if isinstance(old, tuple):
        example = old[0] if old else 0.0
        items = text.strip("()[] ")
        return tuple(_parse(item.strip(), example) for item in items.split(",")) if items else ()
    if isinstance(old, str):
        return text
    if isinstance(old, int | float):
        try:
            number = type(old)(text)
        except ValueError:
            raise ValueError(f"must be {kind(old)}") from None
        if math.isnan(number):
            raise ValueError("must be a number")
        return number
    raise ValueError(f"is {old!r} and cannot be set from the command line")


def _hint(name: str, names: list[str]) -> str:
    guess = nearest(name, names)
    if guess is None:
        # ``kl`` alone is a likely slip for ``losses.kl``.
        guess = next((each for each in names if each.rpartition(".")[2] == name.rpartition(".")[2]), None)
    return f"did you mean {guess!r}?" if guess else f"there are {', '.join(names)}"
