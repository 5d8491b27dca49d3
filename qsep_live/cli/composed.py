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
    return Endpoint.of(spectrogram_program() if name == SPECTROGRAM else melody_program(name))


def spectrogram_program(*options: str) -> Program:
    """The spectrogram generator with these ``options`` of its command, playing for ever if they do not say how long."""
    from qsep_live.dsp.grid import MODEL_RATE

    command = ours("compose", "spectrogram", "generate", *options, "--output", "-")
    return Program(f"{PREFIX}{SPECTROGRAM}", command, MODEL_RATE, 1)


def melody_program(name: str) -> Program:
    """Melodies of an emotion, one after the other and for ever; ``NAME:SEED`` says which.

    Raises
    ------
    UsageError
        There is no such emotion, or the seed is no number.
    """
    from qsep_live.cli.melody import RATE
    from qsep_live.compose.emotions import emotion_of

    emotion, _, seed = name.partition(":")
    try:
        emotion = emotion_of(emotion)
    except UsageError as error:
        raise UsageError(f"--input {PREFIX}{name}: {error}, and {PREFIX}{SPECTROGRAM}") from None
    if seed and not (seed.isascii() and seed.isdigit() and len(seed) < 19):
        raise UsageError(f"--input {PREFIX}{name}: {seed!r} is no seed; give {PREFIX}{emotion}:7")
    command = ours("compose", "melody", "--emotion", emotion, "--seed", seed or "0", "--wav", "-")
    return Program(f"{PREFIX}{emotion}", command, RATE, 1)
