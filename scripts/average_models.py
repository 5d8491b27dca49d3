"""The mean of several runs' weights (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima").

    python scripts/average_models.py run further-run -o mean && qsep-live ship mean -o .

A run that goes on from another's weights ends in the same basin; the mean of both ends is often better than either.
Where the first run's network has grown out of the other's but for its widths, the other's is grown too
(`qsep_live.nets.growth`); what it does not have stays as the first run has it. Card and mean latents are the first
run's; steps, windows and minutes are all runs' together, and no SDR is claimed.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch

from qsep_live.errors import QsepError
from qsep_live.nets.growth import grow, may_grow
from qsep_live.nets.model import Model, load_model, save_model
from qsep_live.nets.patch_unet import PatchUNet
from qsep_live.nets.separator import Separator
from qsep_live.training.run_folder import RunFolder


def mean_of(models: list[Model]) -> Model:
    """The first model with the mean of all Separators' weights.

    Raises
    ------
    QsepError
        A Separator is none that the first one may have grown out of, or the Query-nets differ at all.
    """
    first = models[0]
    states = [_as_large(model.separator, first.separator).state_dict() for model in models]
    queries = [model.query_net.state_dict() for model in models]
    for state, query in zip(states, queries, strict=True):
        if {name: value.shape for name, value in state.items()} != {k: v.shape for k, v in states[0].items()}:
            raise QsepError("the Separators are of different shapes: there is no mean")
        if any(not torch.equal(value, queries[0][name]) for name, value in query.items()):
            raise QsepError("the Query-nets differ: their latents do not mean the same")
    first.separator.load_state_dict({name: torch.stack([s[name] for s in states]).mean(dim=0) for name in states[0]})
    return first


def _as_large(separator: Separator | PatchUNet, first: Separator | PatchUNet) -> Separator | PatchUNet:
    """A Separator, grown to the first one's shape where it may be."""
    if not isinstance(separator, PatchUNet) or not isinstance(first, PatchUNet):
        return separator
    # Wider, it would change channels that the first one has and the other has not.
    if separator.config.widths != first.config.widths or not may_grow(separator.config, first.config):
        return separator
    large = copy.deepcopy(first)
    grow(separator, large)
    return large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="a run's folder, or a checkpoint")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new run's folder")
    given = parser.parse_args()
    paths = [path if path.is_file() else RunFolder(path).model for path in given.runs]
    models = [load_model(path) for path in paths]
    cards = [model.card for model in models]
    model = mean_of(models)
    model.card = {name: value for name, value in cards[0].items() if name != "sdr"}
    for name in ("steps", "windows", "minutes"):
        model.card[name] = sum(card[name] for card in cards)
    model.card["data"] = "; then ".join(dict.fromkeys(card["data"] for card in cards))
    given.output.mkdir(parents=True, exist_ok=True)
    target = RunFolder(given.output).model
    print(f"{target}: fingerprint {save_model(model, target, torch.float32)}, the mean of {', '.join(map(str, paths))}")


if __name__ == "__main__":
    main()
