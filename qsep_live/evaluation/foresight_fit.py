"""Fits a model's foresight: coefficients by which gains after the newest mask follow from the sound heard since.

The target is the mask that the network itself gives a few frames later, so any music will do, without its stems. For
each piece of music, each number of frames heard and unheard and each band, the features' weighted products are added
up; how they depend on the latent is linear, and so the whole is one ridge regression for each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from qsep_live.audio.resample import resample
from qsep_live.dsp.grid import BINS, HOP, MODEL_RATE, N_FFT, segment_of
from qsep_live.engine.delay import LIVE_FRAMES
from qsep_live.engine.foresight import (
    BEFORE,
    EDGES,
    FEATURES,
    RECENT,
    SEEN,
    UNSEEN,
    Array,
    features,
    rise,
    smoothed,
)
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.heard import Heard
from qsep_live.engine.mask_path import MaskPath, mid_side_of
from qsep_live.errors import QsepError
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.tracks import STEMS, Tell, Track, Tracks, quiet
from qsep_live.latent.slerp import LATENT_SIZE, slerp

LATER = 4
"""Frames after which the network's own mask is taken for right."""
LENGTH = 24
"""Frames that are predicted in each piece of music."""
STEADY, BENT = 1e-2, 3e-2
"""Ridge, as a share of the features' squares: of what holds for every latent, and of how it depends on the latent."""
_BANDS = len(EDGES) - 1
_REACH = int(SEEN[-1] + UNSEEN[-1])
_QUIET = 1e-4
"""Root mean square of a piece with nothing in it."""


@dataclass(frozen=True)
class Sums:
    """Of one piece of music and one latent (32,): products of features with each other and with what the trend missed,
    (seen, unseen, bands, FEATURES, FEATURES) and (seen, unseen, bands, FEATURES)."""

    latent: Array
    squares: Array
    missed: Array


@dataclass(frozen=True)
class Pieces:
    """Work for a pool: ``count`` pieces of a track, each with one of ``latents`` or something between two of them.

    Every other latent is of one of the four classes.
    """

    latents: Mapping[str, Array]
    count: int
    seed: int

    def __call__(self, network: Network, track: Track) -> list[Sums]:
        random = np.random.default_rng([self.seed, *track.name.encode()])
        sound = resample(track.mixture, track.rate, MODEL_RATE)
        found = []
        for _ in range(self.count):
            latent = self._draw(random)
            start = int(random.integers(max(1, len(sound) - (LENGTH + _REACH + LATER + 2) * HOP)))
            sums = sums_of(network, sound, start, latent)
            if sums is not None:
                found.append(sums)
        return found

    def _draw(self, random: np.random.Generator) -> Array:
        names = list(self.latents)
        often = [name for name in STEMS if name in self.latents]
        first = self.latents[str(random.choice(often if often and random.random() < 0.5 else names))]
        if random.random() < 0.7:
            return first
        return slerp(first, self.latents[str(random.choice(names))], float(random.random()))


def sums_of(network: Network, sound: Array, start: int, latent: Array) -> Sums | None:
    """What the frames after sample ``start`` of ``sound`` (n, channels; 22,050 Hz) teach; None if there is no sound."""
    frames = LENGTH + _REACH + LATER
    begin = max(0, start - segment_of(LIVE_FRAMES))
    piece = sound[begin : start + N_FFT + frames * HOP]
    if len(piece) < start - begin + frames * HOP or np.sqrt(np.mean(np.square(piece[start - begin :]))) < _QUIET:
        return None
    path = MaskPath(MODEL_RATE, network.windows, frames=LIVE_FRAMES)
    heard = Heard(MODEL_RATE, N_FFT)
    place = start - begin
    path.push(mid_side_of(piece[:place]))
    heard.push(piece[:place])
    masks: list[GainFrames] = []
    while len(masks) < frames:
        block = piece[place : place + HOP]
        path.push(mid_side_of(block))
        heard.push(block)
        place += HOP
        made = path.step(latent)
        masks.append(replace(made, first=made.newest - RECENT * HOP, gains=made.gains[-RECENT - 1 :].copy()))
    first = masks[0].newest
    powers = [heard.power(first + number * HOP) for number in range(-BEFORE, frames)]
    smooth = [smoothed(power) for power in powers]
    return _added(masks, powers[BEFORE:], smooth, latent)


def _added(masks: list[GainFrames], powers: list[Array], smooth: list[Array], latent: Array) -> Sums:
    """The sums, from the masks of consecutive frames, their powers, and smoothed powers that begin `BEFORE` earlier."""
    shape = len(SEEN), len(UNSEEN), _BANDS, FEATURES
    squares, missed = np.zeros((*shape, FEATURES), np.float32), np.zeros(shape, np.float32)
    field, targets = GainField(), range(_REACH, _REACH + LENGTH)
    right = np.stack([masks[frame + LATER].gains[-1 - LATER] for frame in targets])
    weights = np.stack([powers[frame] for frame in targets])
    # A decibel of the target's error counts the same in every piece.
    weights /= np.mean(weights * right**2) + 0.05 * np.mean(weights)
    for row, seen in enumerate(SEEN):
        for column, unseen in enumerate(UNSEEN):
            terms = np.empty((LENGTH, FEATURES, BINS), np.float32)
            left = np.empty((LENGTH, BINS), np.float32)
            for index, frame in enumerate(targets):
                whole = frame - int(unseen)
                newest = whole - int(seen)
                mask, then = masks[newest], smooth[BEFORE + newest]
                trend = np.empty(BINS, np.float32)
                field.beyond(mask, seen + unseen, trend)
                since, before = rise(smooth[BEFORE + whole], then), rise(then, smooth[newest])[1]
                recent = mask.gains[-RECENT:].mean(axis=0, keepdims=True)
                terms[index] = features(trend[None], mask.gains[-1:], recent, since, before)[:, 0]
                left[index] = right[index] - trend
            for band, (low, high) in enumerate(itertools.pairwise(EDGES)):
                flat = terms[:, :, low:high].transpose(1, 0, 2).reshape(FEATURES, -1)
                weighted = flat * weights[:, low:high].reshape(-1)
                squares[row, column, band] = weighted @ flat.T
                missed[row, column, band] = weighted @ left[:, low:high].reshape(-1)
    return Sums(latent, squares, missed)


def solved(pieces: Iterable[Sums]) -> Array:
    """Coefficients as `Foresight` takes them.

    Raises
    ------
    QsepError
        There are too few pieces to tell anything.
    """
    found = list(pieces)
    if len(found) < 8:
        raise QsepError(f"{len(found)} pieces of music with sound in them are too few; give more, or longer ones")
    latents = np.stack([each.latent for each in found]).astype(np.float64)
    mean, scale = latents.mean(axis=0), latents.std(axis=0) + 1e-6
    known = np.concatenate([np.ones((len(found), 1)), (latents - mean) / scale], axis=1)
    squares = np.stack([each.squares for each in found]).reshape(len(found), -1, FEATURES, FEATURES)
    missed = np.stack([each.missed for each in found]).reshape(len(found), -1, FEATURES)
    width = LATENT_SIZE + 1
    ridge = np.r_[STEADY, np.full(LATENT_SIZE, BENT)]
    pairs = (known[:, :, None] * known[:, None, :]).reshape(len(found), -1)
    out = np.zeros((squares.shape[1], FEATURES, width))
    for place in range(squares.shape[1]):
        every = (pairs.T @ squares[:, place].reshape(len(found), -1)).reshape(width, width, FEATURES, FEATURES)
        whole = every.transpose(0, 2, 1, 3).reshape(width * FEATURES, width * FEATURES)
        size = np.maximum(np.diagonal(every[0, 0]), 1e-12)
        whole[np.diag_indices(len(whole))] += (ridge[:, None] * size).reshape(-1)
        solution = np.linalg.solve(whole, (known.T @ missed[:, place]).reshape(-1)).reshape(width, FEATURES)
        bent = solution[1:] / scale[:, None]
        out[place, :, 0], out[place, :, 1:] = solution[0] - mean @ bent, bent.T
    return out.reshape(len(SEEN), len(UNSEEN), _BANDS, FEATURES, width).swapaxes(2, 3).astype(np.float32)


def fit_foresight(
    work: Pieces, spec: NetworkSpec, tracks: Tracks, jobs: int = 1, tell: Tell = quiet
) -> tuple[Array, int]:
    """Coefficients from some pieces of each track, and how many pieces there were."""
    found = [each for several in over_tracks(work, spec, tracks, jobs, tell) for each in several]
    return solved(found), len(found)
