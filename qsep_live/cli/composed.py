"""``--input compose:NAME``: music that is made while it is heard, as an input of the engine."""

from __future__ import annotations

from qsep_live.audio.program import Program, ours
from qsep_live.engine.endpoint import Endpoint
from qsep_live.errors import UsageError

PREFIX = "compose:"
SPECTROGRAM = "spectrogram"


def choose_input(text: str | None) -> Endpoint:
    """What ``--input`` means.

    Raises
    ------
    UsageError
        It begins with ``compose:``, and nothing has the name that follows.
    """
    if text is None or not text.startswith(PREFIX):
        return Endpoint.parse(text)
    name = text.removeprefix(PREFIX)
    if name == SPECTROGRAM:
        return Endpoint.of(spectrogram_program())
    raise UsageError(f"--input {text}: there is {PREFIX}{SPECTROGRAM}")


def spectrogram_program(*options: str) -> Program:
    """The spectrogram generator with these ``options`` of its command, playing for ever if they do not say how long."""
    from qsep_live.dsp.grid import MODEL_RATE

    command = ours("compose", "spectrogram", "generate", *options, "--output", "-")
    return Program(f"{PREFIX}{SPECTROGRAM}", command, MODEL_RATE, 1)
