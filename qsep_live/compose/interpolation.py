"""From one melody to another through the latent space: how gradually, and whether in key.

Threading: pure functions, any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qsep_live.compose.composer import Composer, arc, places
from qsep_live.compose.measures import measure
from qsep_live.compose.melody import Melody, melody_of

Values = NDArray[np.float64]
Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Way:
    """The melodies from one to another, both as the VAE writes them.

    Attributes
    ----------
    steps : (places - 1,)
        Edit distance from one melody to the next, as a share of the 256 tokens.
    from_first : (places,)
        Edit distance from the first melody.
    in_key : (places,)
        In-key share.
    """

    steps: Values
    from_first: Values
    in_key: Values


def through_latents(composer: Composer, first: Melody, last: Melody, count: int) -> Way:
    """Slerp at ``count`` places, both ends included."""
    a, b = composer.encode(first), composer.encode(last)
    return _way([composer.melody(arc(a, b, place)) for place in places(count)])


def through_tokens(first: Melody, last: Melody, count: int, random: np.random.Generator) -> Way:
    """What the latent space is to be better than: each token from one melody or the other by chance (Roberts et al.
    2018, §5.3)."""
    a, b, chance = first.tokens(), last.tokens(), random.random(first.steps)
    return _way([melody_of(np.where(chance < place, b, a)) for place in places(count)])


def edit_distance(first: Tokens, second: Tokens) -> int:
    """Insertions, deletions and substitutions that make one of the other (Levenshtein)."""
    across = np.arange(len(second) + 1)
    row = across.copy()
    for index, token in enumerate(first):
        best = np.minimum(row[1:] + 1, row[:-1] + (second != token))
        # Insertions chain along the row: a running minimum of what is left when the way along is taken off.
        row = np.minimum.accumulate(np.concatenate([[index + 1], best]) - across) + across
    return int(row[-1])


def _way(melodies: list[Melody]) -> Way:
    tokens = [melody.tokens() for melody in melodies]
    length = len(tokens[0])
    return Way(
        np.array([edit_distance(a, b) / length for a, b in pairwise(tokens)]),
        np.array([edit_distance(tokens[0], each) / length for each in tokens]),
        np.array([measure(melody).in_key for melody in melodies]),
    )
