"""The objective: conditional VAE plus latent regression (paper §3.4), and the reconstruction of the shipped recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qsep_live.dsp.grid import FRAMES
from qsep_live.errors import UsageError
from qsep_live.nets.band_stream import BandStream
from qsep_live.nets.inference_weights import frame_step, require_frames
from qsep_live.nets.model import Model, configuration
from qsep_live.nets.separator import latents_apart
from qsep_live.nets.spectrogram import mid_side

KINDS = ("magnitude", "sdr")
FLOOR = 1e-2
"""Energy of a segment's spectrum, far below a sound that can be heard: keeps the logarithm of silence finite."""
WARM_UP = 16
"""Frames in which a network that keeps its state has heard too little to be judged by."""
CEILING = 1e-3
"""Share of the target's energy that is forgiven: past 30 dB there is nothing to learn from a segment."""


@dataclass(frozen=True)
class LossConfig:
    """Terms and their weights. L_latent is a mean over elements, L_KL sums over the latent.

    Attributes
    ----------
    kind
        ``"magnitude"``: L_R = ‖S_T − S(M, z)‖₁ over magnitudes, the mean over elements (paper).
        ``"sdr"``: the negative SDR of the complex spectrum in dB, 10·log₁₀(‖S_T − mask·M‖² / ‖S_T‖²) over all
        channels, the mean over segments. It is what the result is judged by: phase counts, and a quiet segment
        counts as much as a loud one. ``floor`` times the mixture's energy is added to both: without it the few
        targets that hardly sound in their mixture have nearly all of the gradient.
    latent_every
        Latent regression costs a second pass through both networks: it is taken on every n-th step, and
        weighted n-fold there. With a weight of 0 it is left out.
    spread
        z = μ + spread·σ·ε, ε ~ N(0, 1). Paper: 1.
    edge, edge_weight
        The last ``edge`` frames count ``edge_weight``-fold in ``"sdr"``: what is streamed is the window's right edge.
    windows
        Frames that the Separator hears of each mixture, its newest, from step to step in turns: live it hears fewer
        than the 256 of a segment.
    """

    kind: str = "magnitude"
    reconstruction: float = 10.0
    kl: float = 0.01
    latent: float = 0.5
    latent_every: int = 1
    floor: float = 0.0
    spread: float = 1.0
    edge: int = 0
    edge_weight: float = 1.0
    windows: tuple[int, ...] = (FRAMES,)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"losses.kind is {self.kind!r}; there are {', '.join(KINDS)}")
        if not self.windows:
            raise UsageError("losses.windows is empty; give frames, as in 128,256")

    def require_model(self, model: Model) -> None:
        """Refuse windows that ``model`` cannot be trained with.

        Raises
        ------
        UsageError
            The Separator does not take one of `windows`, or latent regression would encode less than a segment.
        """
        step = frame_step(configuration(model)["separator"])
        for frames in self.windows:
            require_frames(frames, step)
        if self.latent and self.windows != (FRAMES,):
            raise UsageError(f"losses.windows: latent regression encodes whole segments of {FRAMES} frames")


@dataclass(frozen=True)
class Losses:
    """The terms of one step, unweighted, and their weighted total (a tensor to differentiate)."""

    total: Tensor
    reconstruction: float
    kl: float
    latent: float


class Sounds(Protocol):
    """A batch: what is heard, what is wanted, and what it is asked for with, each (B, channels, SEGMENT).

    Beside it some whole classes of the mixture, (B, A, channels, SEGMENT), and which they are, (B, A). ``hidden`` (B,)
    is how many of the newest frames are not heard.
    """

    @property
    def mixture(self) -> Tensor: ...
    @property
    def target(self) -> Tensor: ...
    @property
    def query(self) -> Tensor: ...
    @property
    def stems(self) -> Tensor: ...
    @property
    def named(self) -> Tensor: ...
    @property
    def hidden(self) -> Tensor: ...


def objective(
    model: Model, sounds: Sounds, config: LossConfig, step: int, noise: Tensor, anchors: Tensor | None = None
) -> Losses:
    """Losses of one batch.

    Parameters
    ----------
    noise
        (2, B, latent) standard normal: of the reparameterised z, and the z of latent regression.
    anchors
        (classes, latent): the mean latents that ``sounds.stems`` are asked for with. They and the query's z are
        put to one mixture, 1 + A questions each.
    """
    newest = slice(-config.windows[step % len(config.windows)], None)
    mixture = mid_side(sounds.mixture)[..., newest]
    heard = hide(mixture[:, : model.channels].abs(), sounds.hidden)
    mu, logvar = model.query_net(_query(sounds.query))
    z = mu + config.spread * noise[0] * torch.exp(0.5 * logvar)
    wanted = sounds.target
    if anchors is not None:
        wanted = torch.cat([sounds.target[:, None], sounds.stems], dim=1).flatten(0, 1)
        z = torch.cat([z[:, None], anchors[sounds.named]], dim=1).flatten(0, 1)
    target, mixture = mid_side(wanted)[..., newest], latents_apart(mixture, z)
    if isinstance(model.separator, BandStream):
        # One head a step, in turns. A frame that its head has not come to, or that the state is too young for, has no
        # say.
        looks = model.separator.config.looks
        look = looks[step % len(looks)]
        mask = model.separator(heard, z, look)
        told = slice(WARM_UP, mask.shape[-1] - max(0, look))
        mask, target, mixture = mask[..., told], target[..., told], mixture[..., told]
    else:
        mask = model.separator(heard, z)
    if config.kind == "magnitude":
        reconstruction = (target.abs() - mask * mixture.abs()).abs().mean()
    else:
        reconstruction = _negative_sdr(target, mask * mixture, mixture, config)
    kl = 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(dim=1).mean()
    total = config.reconstruction * reconstruction + config.kl * kl
    latent = torch.zeros((), device=total.device)
    if config.latent and step % config.latent_every == 0:
        found, _ = model.query_net(heard[:, :1] * model.separator(heard, noise[1]))
        latent = (noise[1] - found).abs().mean()
        total = total + config.latent * config.latent_every * latent
    return Losses(total, reconstruction.item(), kl.item(), latent.item())


def hide(magnitude: Tensor, hidden: Tensor) -> Tensor:
    """Magnitudes (B, C, F, T) whose newest ``hidden`` (B,) frames are 0, as the engine gives them to a network that is
    to say the gains of frames that are yet to come."""
    if not hidden.any():
        return magnitude
    frames = magnitude.shape[-1]
    heard = torch.arange(frames, device=magnitude.device) < frames - hidden[:, None]
    return magnitude * heard[:, None, None]


def _query(sound: Tensor) -> Tensor:
    return mid_side(sound)[:, :1].abs()


def _negative_sdr(target: Tensor, estimate: Tensor, mixture: Tensor, config: LossConfig) -> Tensor:
    """10·log₁₀ of the error's energy over the target's, dB; all complex (B, channels, F, T)."""
    weights = torch.ones(target.shape[-1], device=target.device)
    if config.edge:
        weights[-config.edge :] = config.edge_weight
    power = (_power(target) * weights).sum(dim=(1, 2, 3))
    error = (_power(target - estimate) * weights).sum(dim=(1, 2, 3))
    floor = config.floor * (_power(mixture) * weights).sum(dim=(1, 2, 3)) + FLOOR
    return (10.0 * torch.log10((error + CEILING * power + floor) / (power + floor))).mean()


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()
