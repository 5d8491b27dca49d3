"""A preset's latent, moved until what the Separator lets through has the pitch and density of an emotion.

Threading: one thread, for seconds to a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qsep_live.compose.emotions import Reference
from qsep_live.compose.passed import Passed, passed
from qsep_live.compose.preset_actor import ActorCritic, Asked
from qsep_live.compose.preset_search import GradientSearch, RandomSearch
from qsep_live.compose.reality import Reality
from qsep_live.dsp.grid import BINS, MODEL_RATE, N_FFT, SEGMENT
from qsep_live.errors import QsepError
from qsep_live.latent.query import ABSOLUTE_SILENCE_DB, SEGMENT_HOP, SILENT_DB
from qsep_live.nets.model import Model
from qsep_live.nets.spectrogram import mid_side

Audio = NDArray[np.float32]
WINDOWS = 8
"""Most windows that are looked at; what is reported is measured over all of them."""
TRAINED = 3
"""Of these the actor-critic sees the ones in which the untouched preset lets most through."""
METHODS = ("actor-critic", "gradient", "random")
"""The first is used; the others are what it is measured against."""
ROUNDS, PROPOSALS = 20, 6
FINALISTS = 6
"""The proposals that came nearest are measured over all windows, and the nearest of them is taken."""
QUIETER = 12.0
"""dB: a latent that lets so much less through than the preset has lost the sound and is not taken."""
PITCH_REACHED, DENSITY_REACHED = 1.0, np.log2(1.1)
"""Semitones and octaves: what lies nearer to the target has reached it."""
_NOTHING_DB = -60.0


class Shift(NamedTuple):
    """Against what the untouched preset lets through."""

    pitch: float
    """Semitones."""
    density: float
    """Octaves of onsets a second."""


class State(NamedTuple):
    """What a latent lets through, and how real it is."""

    pitch: float
    """Spectral centroid, Hz."""
    density: float
    """Effective onsets a second."""
    level: float
    """dB of the audio's energy."""
    structure: float
    """See `Reality`."""


@dataclass(frozen=True)
class Retrained:
    """What came of it.

    Attributes
    ----------
    latent
        (32,) float32.
    before, after
        Of the untouched latent and of the new one, over all windows.
    asked, got
        The shift.
    limit
        Up to which the structure counts as real: the 95th percentile of real latents.
    allowed
        Up to which it was taken: the limit, or the untouched latent's where that lies further out.
    windows
        How many were listened to.
    """

    latent: NDArray[np.float32]
    before: State
    after: State
    asked: Shift
    got: Shift
    limit: float
    allowed: float
    windows: int

    @property
    def closed(self) -> float:
        """Share of the way to what was asked, both parts in octaves: 1 - |got - asked| / |asked|; NaN for no way."""
        asked, got = (np.array([each.pitch / 12.0, each.density]) for each in (self.asked, self.got))
        way = float(np.linalg.norm(asked))
        return 1.0 - float(np.linalg.norm(got - asked)) / way if way else float("nan")

    @property
    def short(self) -> Shift:
        """How far the shift falls short of what was asked (positive), or goes beyond it; 0 where it is reached."""
        pairs = zip(self.asked, self.got, (PITCH_REACHED, DENSITY_REACHED), strict=True)
        missing = ((np.copysign(1.0, asked) * (asked - got), near) for asked, got, near in pairs)
        return Shift(*(0.0 if abs(value) <= near else float(value) for value, near in missing))


def emotion_shift(table: Mapping[str, Reference], emotion: str, strength: float = 1.0) -> Shift:
    """What an emotion has more than the table's mean (of density: the geometric one), times ``strength``."""
    pitch = table[emotion].pitch - np.mean([each.pitch for each in table.values()])
    # Half a note a bar is the least that a ratio is taken of: a table may hold 0.
    octaves = {name: np.log2(max(each.density, 0.5)) for name, each in table.items()}
    return Shift(float(strength * pitch), float(strength * (octaves[emotion] - np.mean(list(octaves.values())))))


def windows_of(audio: Audio, which: str) -> Audio:
    """Windows of the Separator in which something sounds, spread evenly, at most `WINDOWS`.

    Parameters
    ----------
    audio
        (n, channels) at 22,050 Hz. Shorter than a window it is repeated.
    which
        What messages call it.

    Returns
    -------
    ndarray
        (W, channels, SEGMENT) float32.

    Raises
    ------
    QsepError
        The audio is shorter than a frame, or silent.
    """
    if len(audio) < N_FFT:
        raise QsepError(
            f"{which}: {len(audio) / MODEL_RATE * 1e3:.0f} ms is shorter than a frame "
            f"({N_FFT / MODEL_RATE * 1e3:.0f} ms): give a few seconds of music"
        )
    if len(audio) < SEGMENT:
        audio = np.resize(audio, (SEGMENT, audio.shape[1]))
    starts = range(0, len(audio) - SEGMENT + 1, SEGMENT_HOP)
    power = np.array([np.mean(np.square(audio[start : start + SEGMENT], dtype=np.float64)) for start in starts])
    if power.max() <= 10.0 ** (ABSOLUTE_SILENCE_DB / 10.0):
        raise QsepError(f"{which} is silent: give a few seconds of music")
    sounding = np.flatnonzero(power >= power.max() * 10.0 ** (SILENT_DB / 10.0))
    spread = np.unique(np.linspace(0, len(sounding) - 1, WINDOWS).round().astype(int))
    chosen = [starts[index] for index in sounding[spread]]
    return np.stack([audio[start : start + SEGMENT].T for start in chosen])


class Listener:
    """What a frozen Separator lets through of some windows.

    Parameters
    ----------
    model : Model
    windows : (W, channels, SEGMENT) float32
        One channel or two.
    """

    def __init__(self, model: Model, windows: Audio) -> None:
        spectrum = mid_side(torch.from_numpy(np.ascontiguousarray(windows))).abs()
        if model.channels == 2 and spectrum.shape[1] == 1:
            spectrum = torch.cat([spectrum, torch.zeros_like(spectrum)], dim=1)
        self._model, self._heard, self._middle = model, spectrum[:, : model.channels], spectrum[:, 0]

    def best(self, latent: Tensor, count: int) -> Listener:
        """One for the ``count`` windows of which ``latent`` lets most through."""
        with torch.no_grad():
            energy = (self._masks(latent[None])[:, 0] * self._middle).square().sum(dim=(1, 2))
        chosen = energy.argsort(descending=True)[:count].sort().values
        other = object.__new__(Listener)
        other._model, other._heard, other._middle = self._model, self._heard[chosen], self._middle[chosen]
        return other

    def measure(self, latents: Tensor) -> Passed:
        """(K, latent) to what each lets through."""
        return passed(self._middle, self._masks(latents))

    def ask(self, latents: Tensor) -> tuple[Asked, Tensor]:
        """Condition in octaves and its slopes at (K, latent), and the levels (K,)."""
        leaf = latents.detach().requires_grad_()
        found = self.measure(leaf)
        octaves = torch.stack([found.pitch / 12.0, found.density], dim=1)
        slopes = [torch.autograd.grad(each.sum(), leaf, retain_graph=True)[0] for each in octaves.unbind(dim=1)]
        return Asked(latents.detach(), octaves.detach(), torch.stack(slopes, dim=1)), found.level.detach()

    def encoded(self, latents: Tensor) -> Tensor:
        """The Query-net's mu of what each of (K, latent) lets through of each window, (W·K, latent)."""
        with torch.no_grad():
            through = (self._masks(latents) * self._middle[:, None]).flatten(0, 1)
            mu, _ = self._model.query_net(through[:, None])
        return torch.as_tensor(mu)

    def _masks(self, latents: Tensor) -> Tensor:
        """(W, K, BINS, T): the encoder, which does not know the latents, runs once for all of them."""
        count = len(self._heard)
        masks = self._model.separator(self._heard, latents.repeat(count, 1))
        return torch.as_tensor(masks).reshape(count, len(latents), BINS, -1)


def retrain(
    model: Model,
    latent: NDArray[np.float32],
    others: Sequence[NDArray[np.float32]],
    windows: Audio,
    shift: Shift,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _share: None,
    method: str = "actor-critic",
) -> Retrained:
    """Move a latent.

    Parameters
    ----------
    model
        Its networks stay as they are.
    latent
        (32,): the preset's.
    others
        Latents of other presets of the model. With the Query-net's mu of what each of them, and the preset, lets
        through of the windows, they are what counts as real.
    windows
        (W, channels, SEGMENT), see `windows_of`.
    shift
        What is wanted against what ``latent`` lets through.
    seed
        Equal arguments give equal results.
    progress
        Is told the share done.
    method
        Of `METHODS`: who proposes. All ask the Separator about the same number of latents.

    Raises
    ------
    QsepError
        The preset lets nothing of the audio through.
    """
    everywhere = Listener(model, windows)
    start = torch.from_numpy(np.array(latent, np.float32))
    with torch.no_grad():
        untouched = everywhere.measure(start[None])
    if float(untouched.level) < _NOTHING_DB:
        raise QsepError(
            f"the preset lets nothing of this audio through ({float(untouched.level):.0f} dB): "
            "give audio in which its instrument plays"
        )
    near = everywhere.best(start, TRAINED)
    presets = torch.stack([start, *(torch.from_numpy(np.array(each, np.float32)) for each in others)])
    asked, heard, levels = [], [], []
    for first in range(0, len(presets), PROPOSALS):
        some = presets[first : first + PROPOSALS]
        known, level = near.ask(some)
        asked.append(known)
        levels.append(level)
        heard.append(near.encoded(some))
    known = Asked(*(torch.cat(each) for each in zip(*asked, strict=True)))
    real = torch.cat([presets[1:], *heard])
    reality = Reality(real.numpy())
    target = torch.tensor([shift.pitch / 12.0, shift.density])
    floor = float(levels[0][0]) - QUIETER
    # Nothing is moved that would not come nearer.
    found, gaps = [start[None]], [torch.linalg.vector_norm(target)[None]]
    # The start may itself be further out than is usual; what is made of it may be as far, no further.
    allowed = max(reality.limit, float(reality.measure(start[None].numpy())[0]))
    radius = allowed * reality.usual
    proposer: ActorCritic | GradientSearch | RandomSearch
    if method == "gradient":
        proposer = GradientSearch(start, known.condition[0] + target, float(real.std(dim=0).mean()))
    elif method == "random":
        proposer = RandomSearch(start, radius, seed)
    else:
        proposer = ActorCritic(start, real, known, target, radius, seed)
    for number in range(ROUNDS):
        loud: list[Tensor] = []

        def ask(latents: Tensor, loud: list[Tensor] = loud) -> Asked:
            found, level = near.ask(latents)
            loud.append(level)
            return found

        asked_now = proposer.round(ask, PROPOSALS)
        gap = torch.linalg.vector_norm(asked_now.condition - known.condition[0] - target, dim=1)
        real_enough = torch.from_numpy(reality.measure(asked_now.latents.numpy()) <= allowed)
        found.append(asked_now.latents)
        gaps.append(torch.where(real_enough & (torch.cat(loud) >= floor), gap, torch.inf))
        progress((number + 1) / ROUNDS)
    every = torch.cat(gaps)
    order = every.argsort()[:FINALISTS]
    finalists = torch.cat(found)[order[every[order].isfinite()]]
    best, moved = _nearest(everywhere, torch.cat([start[None], finalists]), untouched, target)
    before, after = (_state(at, passes, reality) for at, passes in ((start, untouched), (best, moved)))
    got = Shift(float(moved.pitch - untouched.pitch), float(moved.density - untouched.density))
    return Retrained(best.numpy(), before, after, shift, got, reality.limit, allowed, len(windows))


def _nearest(listener: Listener, latents: Tensor, untouched: Passed, target: Tensor) -> tuple[Tensor, Passed]:
    """The latent that comes nearest to the target over all windows, and what it lets through."""
    with torch.no_grad():
        measured = listener.measure(latents)
    got = torch.stack([(measured.pitch - untouched.pitch) / 12.0, measured.density - untouched.density], dim=1)
    index = int(torch.linalg.vector_norm(got - target, dim=1).argmin())
    return latents[index], Passed(*(each[index] for each in measured))


def _state(latent: Tensor, passes: Passed, reality: Reality) -> State:
    pitch, density = 2.0 ** (float(passes.pitch) / 12.0), 2.0 ** float(passes.density)
    return State(pitch, density, float(passes.level), float(reality.measure(latent[None].numpy())[0]))
