"""From a finished run to what the package carries: ``python -m qsep_live.training.ship RUN``.

Writes ``models/default.safetensors``, its card, and one preset a class, each the mean latent of its class.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import save_preset
from qsep_live.nets.model import load_model, save_model

DESCRIPTIONS = {
    "vocals": "Singing voices, lead and backing.",
    "drums": "The drum kit and other percussion.",
    "bass": "Bass guitar, double bass and synth bass.",
    "other": "Everything that is not singing, drums or bass: guitars, keys, strings, synths.",
}

CARD = """# The default model

The Separator and the Query-net of *Audio query-based music source separation* (Lee, Choi, Lee), {parameters} million
weights, stored as float16. Fingerprint `{fingerprint}`.

| | |
|---|---|
| recipe | `{recipe}` (`qsep_live/training/recipe.py`) |
| steps × batch | {steps} × {batch} = {windows} three-second windows |
| time | {minutes} minutes on two shared CPU cores |
| data | {data} |
| validation | {valid} |
| licence | **Non-commercial research use only**, as MUSDB18 and some stems are. The program is GPL-3.0-or-later. |

Input: 22,050 Hz mono magnitudes, 1024-point STFT, hop 256, 512 bins × 256 frames. Output: a soft mask.
{deviations}

Median SDR over the validation songs, one SDR over each whole seven-second excerpt, mono at 22,050 Hz, mean-vector
latents; the mixture itself scores {mixture}.

{scores}
"""

DEVIATIONS = """
It differs from the paper's network in three settings, each a hyperparameter in the header: magnitudes go in as their
square root, the last layer has a plain bias in place of AdaIN (which would force every window's mask to the same mean,
also where the target is silent), and AdaIN's scale is 1 + W_sᵀz."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m qsep_live.training.ship", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--presets", type=Path, default=Path("presets"))
    arguments = parser.parse_args()
    model = load_model(arguments.run / "model.safetensors")
    card: dict[str, Any] = model.card
    arguments.models.mkdir(exist_ok=True)
    fingerprint = save_model(model, arguments.models / "default.safetensors")
    with (arguments.run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    count = sum(p.numel() for module in model.modules().values() for p in module.parameters())
    text = CARD.format(
        parameters=round(count / 1e6, 1),
        fingerprint=fingerprint,
        mixture=_row(card["mixture_sdr"]),
        scores=_table(rows),
        deviations=DEVIATIONS if card["recipe"] == "shipped" else "",
        **{key: card[key] for key in ("recipe", "steps", "batch", "windows", "minutes", "data", "valid")},
    )
    (arguments.models / "default.md").write_text(text)
    for name, latent in card["latents"].items():
        provenance = {
            "method": "mean of the Query-net's mu over audible three-second training segments of the class",
            "segments": card["latent_segments"],
            "data": card["data"],
        }
        preset = Preset(name, np.array(latent, np.float32), fingerprint, DESCRIPTIONS[name], provenance)
        save_preset(preset, arguments.presets)
    print(f"{fingerprint}: {', '.join(card['latents'])}")


def _row(scores: dict[str, float]) -> str:
    return " / ".join(f"{name} {value:.2f}" for name, value in scores.items())


def _table(rows: list[dict[str, str]]) -> str:
    lines = ["| minutes | steps | vocals | drums | bass | other |", "|---|---|---|---|---|---|"]
    for row in rows:
        scores = " | ".join(f"{float(row[f'sdr_{name}']):.2f}" for name in DESCRIPTIONS)
        lines.append(f"| {float(row['minutes']):.0f} | {row['step']} | {scores} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
