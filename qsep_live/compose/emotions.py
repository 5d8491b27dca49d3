"""The nine emotions, in both languages, and the pitch and density that stand for each.

The document that they come from ("A Music Generation Model Using Re-trained Latent Vector Conditioned on User Emotion
Recognition", Jang, Son and Lee) publishes no values: `qsep-live compose references` measures them from labelled
music, and `DEFAULT` is used until then. docs/compose.md says where its numbers come from.

Threading: values and pure functions, any thread.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qsep_live.compose.melody import HIGHEST, LOWEST
from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.wording import nearest, shown
from qsep_live.whole_file import write_whole

KOREAN = {
    "intense": "격렬함",
    "bright": "밝음",
    "lively": "발랄함",
    "peaceful": "평화로움",
    "refreshing": "청량함",
    "mysterious": "신비로움",
    "gloomy": "우울함",
    "clear": "맑음",
    "dark": "암울함",
}
EMOTIONS = tuple(KOREAN)


@dataclass(frozen=True)
class Reference:
    """What the melodies of an emotion have on average.

    Attributes
    ----------
    pitch
        Mean pitch, each note once; MIDI note number.
    density
        Notes a bar of 4/4.
    """

    pitch: float
    density: float


_VALENCE_AROUSAL = {
    "intense": (-0.2, 1.0),
    "bright": (0.9, 0.4),
    "lively": (0.8, 0.8),
    "peaceful": (0.7, -0.8),
    "refreshing": (0.7, 0.1),
    "mysterious": (-0.2, -0.4),
    "gloomy": (-0.7, -0.5),
    "clear": (0.6, -0.2),
    "dark": (-0.9, -0.2),
}
"""Where the words lie in Russell's circumplex, each from -1 to 1; see docs/compose.md."""
PITCH_MIDDLE, PITCH_SPAN = 70.0, 7.0
"""Mean and standard deviation of the training songs' mean pitches; docs/compose.md has the figures."""
DENSITY_MIDDLE, _DENSITY_RATIO = 5.0, 1.6
"""Their (geometric) mean density, and how far it goes with full arousal: about their 5th to 95th percentile."""


def _default(valence: float, arousal: float) -> Reference:
    """Higher with valence, and half as much with arousal; faster with arousal alone."""
    pitch = PITCH_MIDDLE + PITCH_SPAN * (valence + 0.5 * arousal) / 1.5
    return Reference(round(pitch, 1), round(DENSITY_MIDDLE * _DENSITY_RATIO**arousal, 1))


DEFAULT: Mapping[str, Reference] = {name: _default(*place) for name, place in _VALENCE_AROUSAL.items()}


def emotion_of(name: str) -> str:
    """The English name of an emotion given in English or Korean, in any case.

    Raises
    ------
    UsageError
        There is no such emotion: lists the nine.
    """
    wanted = unicodedata.normalize("NFC", name).strip().lower()  # macOS hands Korean over decomposed
    for english, korean in KOREAN.items():
        if wanted in (english, korean):
            return english
    near = nearest(wanted, [*EMOTIONS, *KOREAN.values()])
    hint = f"did you mean {near}? " if near else ""
    nine = ", ".join(f"{english} ({korean})" for english, korean in KOREAN.items())
    raise UsageError(f"there is no emotion {shown(name)}; {hint}there are {nine}")


def save_references(references: Mapping[str, Reference], path: Path) -> None:
    """Write a table as TOML. Raises QsepError."""
    tables = [
        f"[{name}]\npitch = {each.pitch:.2f}\ndensity = {each.density:.2f}\n" for name, each in references.items()
    ]
    write_whole(path, "\n".join(tables).encode())


def load_references(path: Path) -> dict[str, Reference]:
    """Read a table that `save_references` wrote, or that somebody did; emotions it leaves out have their default.

    Raises
    ------
    QsepError
        The file cannot be read, or a value is missing or out of range: says which.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise QsepError(f"{path}: no TOML ({' '.join(str(error).split())[:80]})") from None
    found = dict(DEFAULT)
    for name, table in tables.items():
        try:
            english = emotion_of(name)
        except UsageError as error:
            raise QsepError(f"{path}: {error}") from None
        values = []
        for key, low, high in (("pitch", float(LOWEST), float(HIGHEST)), ("density", 0.0, 16.0)):
            value = table.get(key) if isinstance(table, dict) else None
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise QsepError(
                    f"{path}: [{name}] {key} is {shown(str(value))}; give a number from {low:g} to {high:g}"
                )
            values.append(float(value))
        found[english] = Reference(*values)
    return found
