"""Named recipes: the paper's settings, and those that made the shipped model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qsep_live.nets.band_stream import BandStreamConfig
from qsep_live.nets.model import AnyConfig
from qsep_live.nets.patch_unet import PatchUNetConfig
from qsep_live.nets.query_net import QueryNetConfig
from qsep_live.nets.separator import SeparatorConfig
from qsep_live.training.augment import AugmentConfig
from qsep_live.training.losses import LossConfig
from qsep_live.training.mixing import MixingConfig


@dataclass(frozen=True)
class Recipe:
    """Everything about a run but its data and its time.

    Attributes
    ----------
    train_query
        Train the Query-net too (paper). Without, it stays what ``--warm-start`` brings, and only the Separator learns.
    notes
        How it differs from the paper, for the model's card.
    """

    separator: AnyConfig
    query_net: QueryNetConfig
    losses: LossConfig
    mixing: MixingConfig
    batch: int
    learning_rate: float
    train_query: bool = True
    notes: str = ""


RECIPES = {
    "paper": Recipe(SeparatorConfig(), QueryNetConfig(), LossConfig(), MixingConfig(), batch=5, learning_rate=2e-4),
    "query": Recipe(
        SeparatorConfig(input_power=0.5, final_adain=False, adain_offset=True),
        QueryNetConfig(input_power=0.5),
        LossConfig(latent_every=8),
        MixingConfig(keep=0.75, single_target=0.6, coherent=0.3),
        batch=8,
        learning_rate=1e-3,
        notes="The paper's U-Net with three changes: magnitudes go in as their square root, the last layer has a plain"
        " bias in place of AdaIN (which would force every window's mask to the same mean, also where the target is"
        " silent), and AdaIN's scale is 1 + W_sᵀz.",
    ),
    "shipped": Recipe(
        PatchUNetConfig(widths=(32, 64, 112, 160), channels=2, bands=4, attention=2),
        QueryNetConfig(input_power=0.5),
        LossConfig("sdr", 1.0, latent=0.0, floor=0.03, spread=0.3, edge=32, edge_weight=2.0),
        MixingConfig(
            channels=2,
            keep=0.85,
            single_target=0.8,
            coherent=0.4,
            coherent_gain=(0.7, 1.25),
            elsewhere=0.5,
            fine=0.15,
            mono=0.15,
            anchors=3,
            augment=AugmentConfig(speed=0.5, polarity=0.5, swap=0.5, pan=0.2, equaliser=0.3, reverb=0.1, silence=0.1),
        ),
        batch=4,
        learning_rate=3e-3,
        train_query=False,
        notes="The Query-net was trained first and by itself, to tell classes, instruments and recordings apart"
        " (`scripts/query_net.py`), and stays as it is. The Separator is a U-Net on patches of 4 bins × 4 frames that"
        " hears the middle and the side, with feature-wise scale and shift by z (FiLM) in the decoder, one norm over"
        " all channels, dense layers over frequency, kernels of their own in each of four octave bands, and two layers"
        " of attention over the coarsest image. It is trained on the SDR of the complex spectrum, the newest"
        " 32 frames counting twofold, and asked four things of every mixture: one by a query, three by the mean latents"
        " of their classes. Its kernels are moved by Muon.",
    ),
}

_SHIPPED = RECIPES["shipped"]
RECIPES["ahead"] = replace(
    _SHIPPED,
    mixing=replace(_SHIPPED.mixing, doubled=0.15, hidden=12, hidden_share=0.5),
    notes=f"{_SHIPPED.notes} In half of the mixtures it does not hear up to twelve of the newest frames, and says their"
    " gains all the same.",
)

RECIPES["reference"] = replace(
    _SHIPPED,
    separator=RECIPES["query"].separator,
    notes="All of `shipped` but its network: the paper's U-Net as recipe `query` has it, which hears the middle.",
)

RECIPES["stream"] = replace(
    _SHIPPED,
    separator=BandStreamConfig(),
    losses=replace(_SHIPPED.losses, edge=0, edge_weight=1.0),
    learning_rate=2e-3,
    notes="The Query-net of `shipped`, which stays as it is, and a causal Separator on bands that keeps its state from"
    " frame to frame, asked and trained as `shipped` is. One of its heads learns at every step: gains of a frame"
    " that is yet to come, of the newest, and of frames 1, 3 and 8 before it.",
)
