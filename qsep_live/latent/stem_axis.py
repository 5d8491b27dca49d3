"""The points of a stem separator's condition space that need no preset file: all of one stem, nothing of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import UsageError
from qsep_live.latent.wording import nearest, shown
from qsep_live.models.spec import SeparatorSpec


def stem_latent(name: str, spec: SeparatorSpec) -> NDArray[np.float32]:
    """The weights, (stems,), of the stem called ``name`` alone.

    Raises
    ------
    UsageError
        There is no such stem: names those that there are, and the nearest.
    """
    if name not in spec.stems:
        guess = nearest(name, spec.stems)
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise UsageError(f"model {spec.name} has no stem {shown(name)}, it has {', '.join(spec.stems)}{hint}")
    latent = np.zeros(len(spec.stems), np.float32)
    latent[spec.stems.index(name)] = 1.0
    return latent
