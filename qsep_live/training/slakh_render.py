"""A MIDI file to a track in Slakh2100's layout: one stem a part, by random SoundFonts, equally loud (Manilow et al.,
*Cutting Music Source Separation Some Slakh*, WASPAA 2019, §3)."""

from __future__ import annotations

import hashlib
import math
import shutil
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.synth import TAIL, SoundFonts
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.general_midi import family, program_name
from qsep_live.training.midi_parts import Part, Score, read_score
from qsep_live.training.slakh import METADATA, SPLITS, read_metadata, track_folders

LOUDNESS = -13.0
"""LUFS that each stem is brought to before they are mixed, Slakh's ``normalization_factor``."""
TARGET_PEAK = -1.0
"""dBFS that the mix peaks at, Slakh's ``target_peak``."""


@dataclass(frozen=True)
class Rendered:
    """A finished track: its folder, the stems that have sound, its length in seconds, and what it lacks."""

    folder: Path
    stems: int
    seconds: float
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Voice:
    """A part as it was played, and its LUFS; without sound where no SoundFont has its program or it is silent."""

    part: Part
    font: Path | None = None
    sound: NDArray[np.float32] | None = None
    loudness: float = -math.inf


class SlakhRenderer:
    """Adds tracks to a folder in Slakh's layout.

    Parameters
    ----------
    root
        The data set's folder; it is made if missing.
    split
        ``"train"``, ``"validation"`` or ``"test"``.
    fonts
        Each stem's is drawn from these.
    rate
        Hz; Slakh has 44,100.
    seed
        Chooses the SoundFonts: the same file and seed give the same track.
    jobs
        Stems that are played at once.
    """

    def __init__(self, root: Path, split: str, fonts: Sequence[Path], rate: int, seed: int, jobs: int) -> None:
        _loudness_package()
        self._root, self._folder = root, root / split
        self._fonts, self._rate, self._seed, self._jobs = SoundFonts(fonts, rate), rate, seed, jobs
        self._done = {
            (metadata.get("UUID"), metadata.get("seed")): track
            for each in SPLITS
            for track in track_folders(root / each)
            for metadata in [read_metadata(track)]
        }

    def there(self, midi: Path) -> Path | None:
        """The track that was made of this file with this seed before."""
        return self._done.get((_uuid(midi), self._seed))

    def render(self, midi: Path, progress: Callable[[float], None] = lambda _done: None) -> Rendered:
        """Make one track; it appears complete or not at all.

        Parameters
        ----------
        progress
            Called with the share of the work that is done, 0 to 1.

        Raises
        ------
        QsepError
            The MIDI file is damaged, nothing of it can be played, or the track cannot be written.
        """
        uuid = _uuid(midi)
        score = read_score(midi)
        voices = self._play(score, uuid, progress)
        even = [voice.sound * _gain(LOUDNESS - voice.loudness) for voice in voices if voice.sound is not None]
        if not even:
            raise QsepError(f"{midi}: no SoundFont plays any of its {len(voices)} parts")
        gain, stems = _balance(even)
        remarks = tuple(_remarks(midi, voices))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial, folder = self._claim()
            try:
                self._write(partial, midi, score, voices, stems, {"UUID": uuid, "overall_gain": gain})
                partial.replace(folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        except (OSError, RuntimeError) as error:
            raise QsepError(f"{self._folder}: the track of {midi.name} cannot be written: {error}") from None
        self._done[uuid, self._seed] = folder
        return Rendered(folder, len(stems), stems[0].size / self._rate, remarks)

    def _play(self, score: Score, uuid: str, progress: Callable[[float], None]) -> list[_Voice]:
        whole, done, lock = len(score.parts) * (score.seconds + TAIL), 0.0, threading.Lock()
        stopped = threading.Event()

        def advance(seconds: float) -> None:
            nonlocal done
            if stopped.is_set():
                raise QsepError(f"{score.path}: stopped")
            with lock:
                done += seconds
                progress(min(1.0, done / whole))

        def play(index: int) -> _Voice:
            part = score.parts[index]
            random = np.random.default_rng([self._seed, int(uuid[:8], 16), index])
            played = self._fonts.render(
                part, random.permutation(len(self._fonts.paths)).tolist(), score.seconds, advance
            )
            if played is None:
                return _Voice(part)
            font, sound = played
            loudness = _loudness(sound, self._rate)
            return _Voice(part, font, sound if math.isfinite(loudness) else None, loudness)

        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                return list(pool.map(play, range(len(score.parts))))
            except BaseException:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _claim(self) -> tuple[Path, Path]:
        """A folder to write in, and the one to rename it to: the first number that no track of any split has."""
        number = 0
        while True:
            number += 1
            name = f"Track{number:05d}"
            if any((self._root / split / taken).exists() for split in SPLITS for taken in (name, f".{name}.part")):
                continue
            partial = self._folder / f".{name}.part"
            try:
                partial.mkdir()
            except FileExistsError:
                continue
            return partial, self._folder / name

    def _write(
        self,
        folder: Path,
        midi: Path,
        score: Score,
        voices: list[_Voice],
        stems: list[NDArray[np.int16]],
        about: dict[str, Any],
    ) -> None:
        import soundfile
        import yaml

        (folder / "stems").mkdir()
        (folder / "MIDI").mkdir()
        shutil.copyfile(midi, folder / "all_src.mid")
        left, entries = iter(stems), {}
        for index, voice in enumerate(voices):
            name, part = f"S{index:02d}", voice.part
            score.part_file(part).save(folder / "MIDI" / f"{name}.mid")
            entry: dict[str, Any] = {
                "audio_rendered": voice.sound is not None,
                "inst_class": family(part.program),
                "is_drum": part.is_drum,
                "midi_program_name": program_name(part.program),
                "midi_saved": True,
                "plugin_name": voice.font.name if voice.font else "None",
                "program_num": part.program,
            }
            if voice.sound is not None:
                entry["integrated_loudness"] = LOUDNESS + 20 * math.log10(about["overall_gain"])
                soundfile.write(folder / "stems" / f"{name}.flac", next(left), self._rate, subtype="PCM_16")
            entries[name] = entry
        total = np.sum(stems, axis=0, dtype=np.int32).astype(np.int16)
        soundfile.write(folder / "mix.flac", total, self._rate, subtype="PCM_16")
        metadata = {
            **about,
            "audio_dir": "stems",
            "midi_dir": "MIDI",
            "normalization_factor": LOUDNESS,
            "normalized": True,
            "seed": self._seed,
            "stems": entries,
            "target_peak": TARGET_PEAK,
        }
        (folder / METADATA).write_text(yaml.safe_dump(metadata), encoding="utf-8")


def _balance(sounds: Sequence[NDArray[np.float32]]) -> tuple[float, list[NDArray[np.int16]]]:
    """All by one gain, such that the loudest of them and of their sum peaks at `TARGET_PEAK`.

    Returns
    -------
    That gain, and the stems, equally long: their sum is the mix, sample for sample.
    """
    length = max(sound.size for sound in sounds)
    even = [np.pad(sound, (0, length - sound.size)) for sound in sounds]
    peak = max(float(np.abs(sound).max()) for sound in (*even, np.sum(even, axis=0)))
    gain = float(_gain(TARGET_PEAK)) / peak
    return gain, [np.round(sound * np.float32(gain * 32767)).astype(np.int16) for sound in even]


def _gain(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _loudness(sound: NDArray[np.float32], rate: int) -> float:
    """Integrated loudness by ITU-R BS.1770-4, LUFS; −∞ for what is below its gate throughout."""
    meter = _loudness_package().Meter(rate)
    block = round(meter.block_size * rate) + 1
    padded = np.pad(sound, (0, max(0, block - sound.size)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # silence makes it divide by zero
        return float(meter.integrated_loudness(padded))


def _loudness_package() -> Any:
    try:
        import pyloudnorm
    except ImportError:
        raise UsageError("rendering MIDI needs the pyloudnorm package: pip install 'qsep-live[train]'") from None
    return pyloudnorm


def _remarks(midi: Path, voices: Sequence[_Voice]) -> list[str]:
    remarks = []
    for index, voice in enumerate(voices):
        if voice.font is None:
            remarks.append(f"{midi}: no SoundFont has {voice.part}; S{index:02d} has no sound")
        elif voice.sound is None:
            remarks.append(f"{midi}: {voice.part} is silent; S{index:02d} has no sound")
    return remarks


def _uuid(midi: Path) -> str:
    """The MD5 of the file, which is what Slakh's tracks are called after (the Lakh data set's names)."""
    try:
        return hashlib.md5(midi.read_bytes(), usedforsecurity=False).hexdigest()
    except FileNotFoundError:
        raise QsepError(f"{midi}: no such file") from None
    except OSError as error:
        raise QsepError(f"{midi} cannot be read: {error.strerror or error}") from None
