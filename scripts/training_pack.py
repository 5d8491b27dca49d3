"""Stems as a pack that is small enough to send to a machine with a GPU: 22,050 Hz, Ogg Vorbis.

    python scripts/training_pack.py --musdb DIR --stems DIR... --instruments DIR -o pack
    tar cf pack.tar pack
    # on the other machine, again and again until it says that the budget is used:
    qsep-live train --stems pack/train/musdb18 --stems pack/train/... --instruments pack/train/... \\
        --validation pack/valid --warm-start query.safetensors \\
        --minutes 120 --stop-after 9 --precision bf16 -o run
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.training.data import Bank, folder_bank, musdb_bank


def write_bank(bank: Bank, folder: Path, compression: float) -> int:
    """Write a bank's songs as ``SONG/CLASS.ogg``, single stems as ``CLASS/[FINE/]NAME.ogg``; returns bytes."""
    written = 0
    for number, song in enumerate(bank.songs):
        for key, stem in song.stems.items():
            alone = len(song.stems) == 1
            path = folder / (f"{key}/{number:04d}.ogg" if alone else f"song {number:04d}/{key.replace('/', ' ')}.ogg")
            path.parent.mkdir(parents=True, exist_ok=True)
            with soundfile.SoundFile(
                path, "w", MODEL_RATE, len(stem), "VORBIS", format="OGG", compression_level=compression
            ) as file:
                # One write of a long sound overflows the stack of libsndfile's Vorbis encoder.
                for start in range(0, stem.shape[1], MODEL_RATE):
                    file.write(np.ascontiguousarray(stem[:, start : start + MODEL_RATE].T))
            written += path.stat().st_size
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--musdb", type=Path, required=True)
    parser.add_argument("--stems", type=Path, action="append", default=[])
    parser.add_argument("--instruments", type=Path, action="append", default=[])
    parser.add_argument("--compression", type=float, default=0.9, help="0 to 1, smaller files (default 0.9)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    train = {"musdb18": musdb_bank(arguments.musdb, "train")}
    train |= {path.name: folder_bank(path) for path in [*arguments.stems, *arguments.instruments]}
    banks = {f"train/{name}": bank for name, bank in train.items()}
    banks["valid"] = musdb_bank(arguments.musdb, "valid")
    total = 0
    for name, bank in banks.items():
        size = write_bank(bank, arguments.output / name, arguments.compression)
        total += size
        print(f"{name}: {len(bank.songs)} songs, {bank.minutes():.0f} minutes, {size / 2**20:.1f} MiB", flush=True)
    print(f"{arguments.output}: {total / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
