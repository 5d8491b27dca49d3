"""What single settings are worth: one run with everything, one without each, and what each scored at its end.

    python scripts/ablation.py -o ablation --songs VALIDATION --off mixing.augment.speed=0 --off mixing.doubled=0 -- \\
        --musdb DIR --warm-start models/default.safetensors --steps 400

What follows ``--`` goes to ``qsep-live train`` every time. The songs, folders of aligned stems, are what a setting is
judged by: one SDR over each song and class at 22,050 Hz, with the mean latents, song by song against the first run,
which has everything and draws the same songs. ``--repeat`` trains that so often with other seeds: how far these lie
apart says what a difference means. A setting may have several assignments, separated by spaces: ``--off
'mixing.augment.polarity=0 mixing.augment.swap=0'``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import numpy as np

from qsep_live.nets.model import load_model
from qsep_live.training.data import folder_bank
from qsep_live.training.run_folder import RunFolder
from qsep_live.training.songs import Song
from qsep_live.training.validation import song_scores

Scores = dict[tuple[int, str], float]
"""SDR by song and class, dB."""


def trained(folder: Path, arguments: list[str], songs: list[Song]) -> Scores:
    """Scores at the end of a run; one that is finished is not trained again."""
    run = RunFolder(folder)
    if not run.model.exists():
        command = [sys.executable, "-m", "qsep_live", "train", *arguments, "-o", str(folder)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    model = load_model(run.model)
    return song_scores(model, songs, {name: np.asarray(z, np.float32) for name, z in model.card["latents"].items()})


def table(rows: dict[str, Scores], baselines: list[Scores]) -> str:
    """A row for each run: mean SDR per class and of all, what it lost against the first of the ``baselines``, which
    drew the same songs and numbers, and in how many songs and classes."""
    whole = baselines[0]
    classes = list(dict.fromkeys(name for _, name in whole))
    lines = [f"| | {' | '.join(classes)} | all | lost | worse in |", "|---|" + "---|" * (len(classes) + 3)]
    for name, scores in rows.items():
        cells = [f"{fmean(value for (_, kind), value in scores.items() if kind == each):.2f}" for each in classes]
        lost = [whole[key] - value for key, value in scores.items()]
        worse = f"{sum(value > 0 for value in lost)} of {len(lost)}"
        lines.append(f"| {name} | {' | '.join(cells)} | {fmean(scores.values()):.2f} | {fmean(lost):+.2f} | {worse} |")
    if len(baselines) > 1:
        means = [fmean(each.values()) for each in baselines]
        lines += ["", f"The {len(baselines)} runs with everything lie {max(means) - min(means):.2f} dB apart."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--off", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--songs", type=Path, required=True, help="folder of songs' stems to judge by")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("train", nargs="+", help="what goes to qsep-live train")
    given = parser.parse_args()
    songs = list(folder_bank(given.songs).songs)
    rows = {}
    for seed in range(given.repeat):
        name = "everything" if seed == 0 else f"everything, seed {seed}"
        rows[name] = trained(given.output / f"everything-{seed}", [*given.train, "--seed", str(seed)], songs)
    baselines = list(rows.values())
    for off in given.off:
        sets = [part for each in off.split() for part in ("--set", each)]
        rows[off] = trained(given.output / off.replace(" ", "+"), [*given.train, "--seed", "0", *sets], songs)
        print(table(rows, baselines), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
