"""Train a model: ``python -m qsep_live.training --musdb DIR [--stems DIR] --minutes 120 -o RUN``."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import torch

from qsep_live.nets.model import Model, save_model
from qsep_live.nets.query_net import QueryNet
from qsep_live.nets.separator import Separator
from qsep_live.training.data import folder_bank, musdb_bank
from qsep_live.training.loop import LoopConfig, Trainer
from qsep_live.training.memory import keep_freed_memory
from qsep_live.training.recipe import RECIPES
from qsep_live.training.validation import mean_latents, mixture_sdr

LATENT_SEGMENTS = 256


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m qsep_live.training", description=__doc__)
    parser.add_argument("--musdb", type=Path, required=True, help="MUSDB18's folder, with train/*.stem.mp4")
    parser.add_argument("--stems", type=Path, action="append", default=[], help="SONG/CLASS or CLASS/FILE folder")
    parser.add_argument("--data", help="what the model card says the data was")
    parser.add_argument("--recipe", choices=RECIPES, default="shipped")
    parser.add_argument("--minutes", type=float, default=120.0, help="training time that the schedule spans")
    parser.add_argument("--until", type=float, default=math.inf, help="stop (resumably) after so many minutes")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks; needs a C++ compiler")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    arguments = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    recipe = RECIPES[arguments.recipe]
    banks = [
        musdb_bank(arguments.musdb, "train", weight=2.0),
        *(folder_bank(path) for path in arguments.stems),
    ]
    valid = musdb_bank(arguments.musdb, "valid")
    described = [
        f"{name} ({len(bank.songs)} songs, {bank.minutes():.0f} min)"
        for name, bank in zip(["MUSDB18", *(path.name for path in arguments.stems)], banks, strict=True)
    ]
    print(*described, sep="\n", flush=True)
    untouched = mixture_sdr(valid.songs)
    print("mixture itself:", {name: round(value, 2) for name, value in untouched.items()}, flush=True)

    model = Model(Separator(recipe.separator), QueryNet(recipe.query_net))
    config = LoopConfig(
        arguments.minutes,
        arguments.until,
        recipe.batch,
        recipe.learning_rate,
        seed=arguments.seed,
        compile=arguments.compile,
        losses=recipe.losses,
        mixing=recipe.mixing,
    )
    trainer = Trainer(model, banks, valid, config, arguments.output)
    trainer.run()
    finished = trainer.averaged
    finished.card = {
        "recipe": arguments.recipe,
        "steps": trainer.step,
        "windows": trainer.step * recipe.batch,
        "minutes": round(trainer.seconds / 60, 1),
        "batch": recipe.batch,
        "data": arguments.data or ", ".join(described),
        "valid": f"{len(valid.songs)} validation excerpts of MUSDB18",
        "mixture_sdr": untouched,
        "latents": {name: z.tolist() for name, z in mean_latents(finished, banks, LATENT_SEGMENTS).items()},
        "latent_segments": LATENT_SEGMENTS,
    }
    save_model(finished, arguments.output / "model.safetensors")


if __name__ == "__main__":
    main()
