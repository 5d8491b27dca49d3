"""How alike the bars of melodies are, differentiable in the chances of their tokens.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from qsep_live.compose.measures import BARS_BACK
from qsep_live.compose.melody import BAR, FIRST_NOTE, HOLD, REST


def expected_similarity(shares: Tensor) -> Tensor:
    """Similarity of bars, ``(n,)``: `Measures.similarity` where the chances are 0 and 1.

    Parameters
    ----------
    shares : (n, steps, TOKENS)
        Chances of tokens, as `MusicVae.expected` gives them; whole bars, at least two.
    """
    melodies, bars = len(shares), shares.shape[1] // BAR
    starts = shares[..., FIRST_NOTE:].sum(dim=-1).reshape(melodies, bars, BAR)
    sounding = _sounding(shares).reshape(melodies, bars, BAR, -1)
    best: list[Tensor] = []
    for bar in range(1, bars):
        before = slice(max(0, bar - BARS_BACK), bar)
        pitches = torch.einsum("nbsp,nsp->nbs", sounding[:, before], sounding[:, bar])
        both, own = starts[:, before] * starts[:, bar, None], starts[:, before] + starts[:, bar, None]
        best.append((pitches * (1.0 - own + 2.0 * both)).mean(dim=2).amax(dim=1))
    return torch.stack(best).mean(dim=0)


def _sounding(shares: Tensor) -> Tensor:
    """Chances of what sounds in each step, ``(n, steps, 1 + pitches)``, silence first.

    A held step sounds as the one before it: s[t] = new[t] + hold[t] · s[t - 1], for all steps in log2(steps) rounds
    (the parallel prefix of Hillis and Steele 1986, "Data parallel algorithms").
    """
    hold = shares[..., HOLD, None]
    silent = torch.cat([shares[:, :1, REST] + shares[:, :1, HOLD], shares[:, 1:, REST]], dim=1)
    found = torch.cat([silent[..., None], shares[..., FIRST_NOTE:]], dim=-1)
    back = 1
    while back < shares.shape[1]:
        found = found + hold * functional.pad(found, (0, 0, back, 0))[:, :-back]
        hold = hold * functional.pad(hold, (0, 0, back, 0))[:, :-back]
        back *= 2
    return found
