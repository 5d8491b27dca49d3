"""From a finished run to what the package carries: the model, its card, and a preset for each class it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import save_preset
from qsep_live.nets.model import Model, load_model, save_model
from qsep_live.training.run_folder import Row, RunFolder
from qsep_live.whole_file import write_whole

DESCRIPTIONS = {
    "vocals": "Singing voices, lead and backing.",
    "drums": "The drum kit and other percussion.",
    "bass": "Bass guitar, double bass and synth bass.",
    "other": "Everything that is not singing, drums or bass: guitars, keys, strings, synths.",
}
_NEEDED = ("recipe", "steps", "batch", "windows", "minutes", "data", "valid", "latents", "latent_segments")
_MOST_ROWS = 12

CARD = """# The default model

{networks}, {parameters} million weights, stored as float16. Fingerprint `{fingerprint}`.

| | |
|---|---|
| recipe | `{recipe}` (`qsep-live train --recipe list`) |
| steps × batch | {steps} × {batch} = {windows} three-second windows |
| time | {minutes} minutes of training on {device} |
| data | {data} |
| validation | {valid} |
| licence | **Non-commercial research use only**, as MUSDB18 and some stems are. The program is GPL-3.0-or-later. |

{notes}
{scores}"""


def ship_run(run: Path, output: Path, last: bool = False) -> list[str]:
    """Write ``models/`` and ``presets/`` below ``output`` from the run in folder ``run``; lines that say what.

    Parameters
    ----------
    last
        Take the weights at the end in place of those that validated best.

    Raises
    ------
    UsageError
        ``run`` holds no model to ship.
    QsepError
        A file cannot be read or written.
    """
    folder = RunFolder(run)
    source = folder.model if last or not folder.best.exists() else folder.best
    if not source.exists():
        raise UsageError(f"{run}: no {folder.best.name} and no {folder.model.name} here; give the folder of a run")
    model = load_model(source)
    card: dict[str, Any] = model.card
    if missing := [key for key in _NEEDED if key not in card]:
        raise QsepError(f"{source}: its card does not say {', '.join(missing)}; train it with this version")
    models, presets = output / "models", output / "presets"
    try:
        models.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QsepError(f"{models}: {error.strerror or error}") from None
    target = models / "default.safetensors"
    fingerprint = save_model(model, target)
    write_whole(models / "default.md", card_text(model, fingerprint, folder.rows()).encode())
    written = [_preset(name, latent, card, fingerprint) for name, latent in card["latents"].items()]
    for preset in written:
        save_preset(preset, presets)
    return [
        f"{target}: fingerprint {fingerprint}, from {source}",
        f"{presets}: {', '.join(preset.name for preset in written)}",
    ]


def card_text(model: Model, fingerprint: str, rows: Sequence[Row]) -> str:
    """The model's card as Markdown."""
    card = model.card
    count = sum(p.numel() for module in model.modules().values() for p in module.parameters())
    networks = " and ".join(type(module).__name__ for module in model.modules().values())
    return CARD.format(
        networks=networks,
        parameters=round(count / 1e6, 1),
        fingerprint=fingerprint,
        device=card.get("device", "an unknown device"),
        notes=f"{card['notes'].strip()}\n" if card.get("notes") else "",
        scores=_scores(card, rows),
        **{key: card[key] for key in ("recipe", "steps", "batch", "windows", "minutes", "data", "valid")},
    )


def preset_name(name: str) -> str:
    """The preset of a class: a fine class, ``coarse/fine``, goes by its own name, in a preset's letters."""
    return "-".join(name.rpartition("/")[2].lower().replace("(", " ").replace(")", " ").split())


def _preset(name: str, latent: Sequence[float], card: Mapping[str, Any], fingerprint: str) -> Preset:
    coarse, _, fine = name.partition("/")
    description = f"{fine}, of the class {coarse}." if fine else DESCRIPTIONS.get(name, f"The class {name}.")
    provenance = {
        "method": "mean of the Query-net's mu over audible three-second training segments of the class",
        "class": name,
        "segments": card["latent_segments"],
        "data": card["data"],
    }
    return Preset(preset_name(name), np.array(latent, np.float32), fingerprint, description, provenance)


def _scores(card: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """SDR per class at the end, beside the mixture, and over the run; empty without a validation."""
    if not card.get("sdr"):
        return ""
    names = list(card["sdr"])
    head = [
        "Median SDR in dB over the validation songs, one SDR over each whole song, at 22,050 Hz, mean-vector",
        "latents.",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        f"| the mixture itself | {_cells(card['mixture_sdr'], names)} |",
        f"| this model | {_cells(card['sdr'], names)} |",
    ]
    known = [row for row in rows if any(row.get(f"sdr_{name}") is not None for name in names)]
    if len(known) > 1:
        # Of a long run some validations, the last of them always.
        stride = -(-len(known) // _MOST_ROWS)
        head += [
            "",
            "While it trained:",
            "",
            f"| minutes | steps | {' | '.join(names)} |",
            "|---|---|" + "---|" * len(names),
        ]
        for row in known[::-1][::stride][::-1]:
            scores = {name: row.get(f"sdr_{name}") for name in names}
            head.append(f"| {row['minutes'] or 0:.0f} | {row['step']:.0f} | {_cells(scores, names)} |")
    return "\n".join(head) + "\n"


def _cells(scores: Mapping[str, float | None], names: Sequence[str]) -> str:
    values = (scores.get(name) for name in names)
    return " | ".join("–" if value is None else f"{value:.2f}" for value in values)
