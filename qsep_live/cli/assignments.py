"""``--set NAME=VALUE``: sizes and settings of a training, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from qsep_live.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)
    Training = TypeVar("Training", bound=DataclassInstance)


def assign(config: Config, training: Training, assignments: Sequence[str]) -> tuple[Config, Training]:
    """Both with each ``NAME=VALUE`` applied to the one that has the name; only numbers can be set so.

    Raises
    ------
    UsageError
        There is no such name, or the value is none: says what there is.
    """
    names = [
        each.name for part in (config, training) for each in fields(part)
        if not isinstance(getattr(part, each.name), str)
    ]  # fmt: skip
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in names:
            from qsep_live.latent.wording import nearest, shown

            near = nearest(name, names)
            hint = f"did you mean {near}? " if near else ""
            raise UsageError(f"--set {shown(assignment)}: {hint}there are {', '.join(names)}")
        if hasattr(config, name):
            config = replace(config, **{name: _value(config, name, text)})
        else:
            training = replace(training, **{name: _value(training, name, text)})
    return config, training


def _value(settings: object, name: str, text: str) -> Any:
    kind = type(getattr(settings, name))
    try:
        value = kind(text)
        if not 0 <= value < 1e9 or (kind is int and value == 0 and name != "seed"):
            raise ValueError
    except ValueError:
        what = "a whole number above 0" if kind is int else "a number, 0 or more"
        raise UsageError(f"--set {name}={text}: {name} must be {what}") from None
    return value
