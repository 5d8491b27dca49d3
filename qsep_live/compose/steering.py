"""What moving latents to an emotion does to their melodies: pitch, density, and what is to stay.

Threading: one thread makes every call.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qsep_live.compose.composer import Composer
from qsep_live.compose.emotions import Reference
from qsep_live.compose.measures import measure
from qsep_live.compose.melody import melody_of
from qsep_live.compose.search import gradient_search, random_search
from qsep_live.compose.vae import MusicVae

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """Of the melodies that some latents stand for, each ``(n,)``.

    Attributes
    ----------
    pitch, density, in_key, similarity
        See `Measures`.
    agreement
        Share of tokens that come back when the melody is encoded and decoded again.
    """

    pitch: Values
    density: Values
    in_key: Values
    similarity: Values
    agreement: Values


@dataclass(frozen=True)
class Outcome:
    """What one method made of one emotion.

    Attributes
    ----------
    before, after
        The same latents.
    seconds
        Of one CPU core, for each latent.
    distance
        Mean distance that a latent went.
    """

    emotion: str
    method: str
    reference: Reference
    before: Heard
    after: Heard
    seconds: float
    distance: float

    @property
    def pitch_closed(self) -> float:
        """Share of the gap to the reference that is closed: of the mean absolute deviation, latent by latent."""
        return closed(self.before.pitch, self.after.pitch, self.reference.pitch)

    @property
    def density_closed(self) -> float:
        return closed(self.before.density, self.after.density, self.reference.density)


@torch.no_grad()
def hear(vae: MusicVae, latent: Tensor) -> Heard:
    """What the melodies of ``latent`` (n, latent) are like."""
    tokens = vae.generate(latent)
    again = vae.generate(vae.encode(tokens)[0])
    found = [measure(melody_of(each.tolist())) for each in tokens]
    return Heard(
        np.array([each.pitch for each in found]),
        np.array([each.density for each in found]),
        np.array([each.in_key for each in found]),
        np.array([each.similarity for each in found]),
        (again == tokens).double().mean(dim=1).numpy(),
    )


def closed(before: Values, after: Values, reference: float) -> float:
    """1 - mean |after - reference| / mean |before - reference|, without melodies that have no notes."""
    gap = float(np.nanmean(np.abs(before - reference)))
    return 1.0 - float(np.nanmean(np.abs(after - reference))) / gap if gap else float("nan")


def compare(
    composer: Composer, references: Mapping[str, Reference], count: int, searched: int, seed: int,
    gradient_steps: int = 60, tries: int = 60,
) -> Iterator[Outcome]:  # fmt: skip
    """Move the same latents of the prior to each of ``references``: ``count`` by the actor, ``searched`` by search.

    Method ``actor`` is `Composer.move`, ``once`` the same without corrections.
    """
    vae, generator = composer.vae, torch.Generator().manual_seed(seed)
    latent = torch.randn(count, vae.config.latent, generator=generator)
    before = hear(vae, latent)
    few = latent[:searched]
    for emotion, wanted in references.items():
        for method, those in {"actor": latent, "once": latent, "gradient": few, "random": few}.items():
            if not len(those):
                continue
            began = time.process_time()
            if method == "actor":
                moved = composer.move(those, wanted)
            elif method == "once":
                moved = composer.move(those, wanted, 0)
            elif method == "gradient":
                moved = gradient_search(vae, those, wanted, gradient_steps)
            else:
                moved = random_search(vae, those, wanted, tries, generator)
            seconds = (time.process_time() - began) / len(those)
            distance = float((moved - those).norm(dim=1).mean())
            untouched = Heard(*(values[: len(those)] for values in vars(before).values()))
            yield Outcome(emotion, method, wanted, untouched, hear(vae, moved), seconds, distance)
