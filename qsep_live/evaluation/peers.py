"""Other separators as they would be run live, each behind one function: work for one hop of sound.

A network that was made for whole songs has no state to go on from: it is run again, at every hop, on its window that
ends at the newest sample, and the newest hop of what it gives is heard. One that streams does one step. Weights are
random: the cost of a network does not depend on them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import numpy as np

from qsep_live.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

RATE = 44_100
DELAY = 1024
"""Samples that each may be late: 23 ms, the delay that HS-TasNet was made for."""
WINDOW = 3.0
"""Seconds that Open-Unmix sees, as many as ours."""
EXTRA = "qsep-live[peers]"

Step = Callable[[], object]


@dataclass(frozen=True)
class Peer:
    """A separator.

    Attributes
    ----------
    package
        What must be installed for it; empty for our own.
    build
        Makes the work for one hop, in the process that measures it: ``build(model path, threads)``.
    hop
        Samples between two steps, at which the sound is `DELAY` late.
    how
        The way it is run.
    stems
        How many sources one step gives.
    sdr
        Published, and where. Mean over MUSDB18's four stems, dB.
    """

    name: str
    package: str
    build: Callable[[Path, int], Step]
    hop: int
    how: str
    stems: int
    sdr: str = ""

    @property
    def installed(self) -> bool:
        return not self.package or find_spec(self.package) is not None


def windowed(separator: nn.Module, window: int, hop: int = DELAY) -> Callable[[], Tensor]:
    """A step of a network without state: (1, 2, window) samples in, the newest ``hop`` of what it gives out."""
    import torch

    heard = torch.zeros(1, 2, window)
    separator.eval()

    def step() -> Tensor:
        heard[..., :-hop] = heard[..., hop:].clone()
        heard[..., -hop:] = 0.1 * torch.randn(1, 2, hop)
        with torch.inference_mode():
            given: Tensor = separator(heard)
        return given[..., -hop:]

    return step


@dataclass(frozen=True)
class Ours:
    """The whole of qsep-live's work for a hop: STFT, masks, and the signal path."""

    exact: bool
    backend: str
    presets: int = 1

    def __call__(self, model: Path, threads: int) -> Step:
        from qsep_live.engine.delay import LIVE_FRAMES, plan_delay
        from qsep_live.engine.foresight import load_foresight
        from qsep_live.engine.gain_field import GainField
        from qsep_live.engine.mask_path import MaskPath, mid_side_of
        from qsep_live.engine.signal_path import SignalPath
        from qsep_live.latent.slerp import LATENT_SIZE
        from qsep_live.nets.inference import open_backend

        network = open_backend(model, "cpu", self.backend, threads, latents=self.presets, exact=self.exact)
        random = np.random.default_rng(0)
        shape = (self.presets, LATENT_SIZE) if self.presets > 1 else (LATENT_SIZE,)
        z = random.standard_normal(shape).astype(np.float32)
        field = GainField(load_foresight(model, network.fingerprint))
        path = MaskPath(RATE, network, frames=LIVE_FRAMES)
        signal = SignalPath(plan_delay(DELAY / RATE, RATE), 2, field, presets=self.presets)

        def step() -> object:
            block = (0.1 * random.standard_normal((DELAY, 2))).astype(np.float32)
            path.push(mid_side_of(block))
            field.publish(path.step(z))
            return signal.process(block)

        return step


def open_unmix(_model: Path, threads: int) -> Step:
    """Its four networks, without the Wiener filter's iterations."""
    import torch

    torch.set_num_threads(threads)
    with _stood_in("torchaudio"):
        umx = importlib.import_module("openunmix")
    return windowed(umx.umxhq(pretrained=False, niter=0), round(WINDOW * RATE))


def hybrid_demucs(_model: Path, threads: int) -> Step:
    """The network of ``hdemucs_mmi``."""
    return _demucs("hdemucs", "HDemucs", threads)


def ht_demucs(_model: Path, threads: int) -> Step:
    """The network of ``htdemucs``, which always takes the window it was trained with."""
    from fractions import Fraction

    return _demucs("htdemucs", "HTDemucs", threads, bottom_channels=512, segment=Fraction(39, 5))


def _demucs(module: str, name: str, threads: int, **options: Any) -> Step:
    import torch

    torch.set_num_threads(threads)
    network = getattr(importlib.import_module(f"demucs.{module}"), name)
    separator = network(["drums", "bass", "other", "vocals"], samplerate=RATE, **options)
    return windowed(separator, round(DEMUCS_WINDOW * RATE))


DEMUCS_WINDOW = 7.8
"""Seconds, as `ht_demucs` was trained; a shorter one is padded to it."""


def hs_tasnet(_model: Path, threads: int) -> Step:
    """One step of its own streaming function."""
    import torch

    torch.set_num_threads(threads)
    names = ("torchaudio", "torchcodec", "accelerate", "ema_pytorch", "minGRU_pytorch", "log_depth_recurrent_modeling")
    with _stood_in(*names, "librosa", "musdb"):
        network = importlib.import_module("hs_tasnet").HSTasNet()
    step = network.init_stateful_transform_fn()
    return lambda: step(0.1 * torch.randn(2, DELAY // 2))


PEERS = (
    Peer("qsep-live", "", Ours(False, "auto"), DELAY, "as live; the 1.5 s window again at every hop", 1,
         "qsep-live evaluate"),
    Peer("qsep-live, four", "", Ours(False, "auto", 4), DELAY, "four presets at once, as live", 4,
         "qsep-live evaluate"),
    Peer("qsep-live, torch", "", Ours(True, "torch"), DELAY, "the same in float32 on torch, as the others", 1,
         "qsep-live evaluate"),
    Peer("Open-Unmix", "openunmix", open_unmix, DELAY, "3 s window again at every hop, no Wiener filter", 4,
         "5.3 (Défossez et al., HAL 2019)"),
    Peer("Hybrid Demucs", "demucs", hybrid_demucs, DELAY, "7.8 s window again at every hop", 4),
    Peer("HTDemucs", "demucs", ht_demucs, DELAY, "7.8 s window again at every hop", 4,
         "9.20, more data (Rouard et al., ICASSP 2023)"),
    Peer("HS-TasNet", "hs_tasnet", hs_tasnet, DELAY // 2, "streams: a step of 12 ms with its state", 4,
         "4.65 (Venkatesh et al., ICASSP 2024)"),
)  # fmt: skip


def require_any(peers: tuple[Peer, ...]) -> None:
    """Raise UsageError where none of the other separators is installed."""
    others = [peer for peer in peers if peer.package]
    if not any(peer.installed for peer in others):
        names = ", ".join(dict.fromkeys(peer.package for peer in others))
        raise UsageError(f"none of the other separators ({names}) is installed: pip install '{EXTRA}'")


@contextmanager
def _stood_in(*names: str) -> Iterator[None]:
    """What a package imports for files, plots and training, where it is missing or does not load: not used here."""
    made: list[str] = []
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError):
            for part in (name, f"{name}.transforms", f"{name}.functional", f"{name}.encoders"):
                sys.modules[part] = MagicMock(name=part)
                made.append(part)
    try:
        yield
    finally:
        for part in made:
            del sys.modules[part]
