"""Every command that the README shows is one the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from qsep_live.cli.main import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    target = shlex.split(command)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("qsep-live")])
def test_options_are_taken(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed by the real command line, down to the last option; nothing is run."""
    monkeypatch.setattr(click.Context, "invoke", lambda *_args, **_kwargs: None)
    words = shlex.split(command)[1:]
    context: click.Context = cli.make_context("qsep-live", list(words))
    while isinstance(context.command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, found, rest = context.command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, rest, parent=context)
