"""Train the Query-net that recipe `shipped` builds on: a model file for ``qsep-live train --warm-start``.

    python scripts/query_net.py --musdb DIR --stems DIR --instruments DIR --minutes 15 -o query.safetensors

``--instruments`` is a folder of CLASS/INSTRUMENT/FILE.flac, as ``scripts/instrument_sounds.py`` writes it; every
fourth file is kept apart, to see whether its instrument is recognised. The Separator in the file is that of
``--warm-start``, or an untrained one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from qsep_live.nets.model import Model, load_model, save_model
from qsep_live.training.data import Bank, folder_bank, musdb_bank
from qsep_live.training.listening import ListeningConfig, listen, recognised
from qsep_live.training.memory import keep_freed_memory
from qsep_live.training.reporter import Lines
from qsep_live.training.schedule import Budget
from qsep_live.training.settings import settings_of
from qsep_live.training.songs import CLASSES

WEIGHTS = {"musdb": 3.0, "instruments": 2.5}
"""How often each source is drawn from, beside 1 for a folder of stems."""
HELD = 4
"""Every n-th instrument sound is kept apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--musdb", type=Path, required=True)
    parser.add_argument("--stems", type=Path, action="append", default=[])
    parser.add_argument("--instruments", type=Path, required=True)
    parser.add_argument("--warm-start", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    instruments = folder_bank(arguments.instruments, WEIGHTS["instruments"], instruments=True)
    kept = replace(instruments, songs=instruments.songs[HELD - 1 :: HELD])
    learned = replace(instruments, songs=tuple(song for song in instruments.songs if song not in kept.songs))
    music = [musdb_bank(arguments.musdb, "train", WEIGHTS["musdb"]), *map(folder_bank, arguments.stems)]
    torch.manual_seed(0)
    model = load_model(arguments.warm_start) if arguments.warm_start else settings_of("shipped").networks()
    with Lines() as reporter:
        net = listen(
            model.query_net, [*music, learned], Budget(seconds=60.0 * arguments.minutes), ListeningConfig(), reporter
        )
        valid: list[Bank] = [musdb_bank(arguments.musdb, "valid")]
        for known, asked, names in ((music[:1], valid, CLASSES), ([learned], [kept], learned.fine())):
            found = recognised(net, known, asked, names)
            told = ", ".join(f"{name} {share:.0%}" for name, share in found.items())
            reporter.line(f"recognised: {told}; mean {sum(found.values()) / len(found):.0%}")
    model = Model(model.separator, net, {"query_net": f"{arguments.minutes:g} minutes of scripts/query_net.py"})
    print(f"{arguments.output}: fingerprint {save_model(model, arguments.output, torch.float32)}")


if __name__ == "__main__":
    main()
