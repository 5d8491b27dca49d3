"""From what the options say to what the engine takes: model, presets, rack, threads. Imports lazily."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.cli.options import PartOption
    from qsep_live.engine.foresight import Foresight
    from qsep_live.engine.machine_delay import MachineDelay
    from qsep_live.engine.part import Part
    from qsep_live.latent.preset import Preset
    from qsep_live.models.registry import Entry
    from qsep_live.models.spec import SeparatorSpec
    from qsep_live.rack.config import RackConfig

DEFAULT_MODEL = "default.safetensors"
NO_RACK = "none"
OWN = "own"
"""As ``--model``: the network that came along, whatever default was chosen."""
_MODEL_NAME = re.compile(r"[a-z0-9_-]+")


@dataclass(frozen=True)
class ModelChoice:
    """A checkpoint, and what its header says: the fingerprint, and the frames ahead it was trained for."""

    path: Path
    fingerprint: str
    ahead: int = 0

    @property
    def foresight(self) -> Foresight | None:
        """What came with it to tell gains after the newest mask.

        Raises
        ------
        QsepError
            The file is damaged.
        """
        from qsep_live.engine.foresight import load_foresight

        return load_foresight(self.path, self.fingerprint)


def stems_for_files(option: str | None) -> Entry | None:
    """As `choose_stems`; where no model is named, the one that ``qsep-live models default`` chose.

    Raises
    ------
    QsepError
        It is damaged, or was removed by hand.
    """
    if option is None:
        from qsep_live.models.store import default_model

        option = default_model()
    return choose_stems(option)


def choose_stems(option: str | None) -> Entry | None:
    """The separator of stems that ``--model`` names; None for a checkpoint's path, `OWN`, or none given.

    Raises
    ------
    UsageError
        It is neither the name of one that is here nor a path.
    QsepError
        The one of that name is damaged.
    """
    if option in (None, OWN) or not _MODEL_NAME.fullmatch(option):
        return None
    from qsep_live.models.registry import find_stems

    found = find_stems(option)
    if found is None and not Path(option).exists():
        raise UsageError(
            f"there is no model {option!r} here: qsep-live models list says which there are,"
            f" qsep-live models add {option} adds it"
        )
    return found


def choose_model(option: str | None) -> ModelChoice:
    """The checkpoint of ``--model``, or the one that came with qsep-live.

    Raises
    ------
    UsageError
        It is a separator of stems, or the name of nothing.
    QsepError
        It is missing, or no checkpoint.
    """
    if choose_stems(option) is not None:
        raise UsageError(
            f"--model {option}: it gives stems, with which only files are separated so far:"
            " qsep-live -i IN.wav -o OUT.wav, or qsep-live render"
        )
    from qsep_live.bundled import bundled_folder
    from qsep_live.nets.header import frames_ahead, read_header

    if option in (None, OWN):
        path = bundled_folder("models") / DEFAULT_MODEL
        if not path.is_file():
            raise QsepError(f"{path}: the default model is missing; install qsep-live again, or give --model FILE")
    else:
        path = Path(option).expanduser()
    header = read_header(path)
    fingerprint = header.get("fingerprint")
    if not isinstance(fingerprint, str) or not fingerprint:
        raise QsepError(f"{path}: not a qsep-live checkpoint (no fingerprint)")
    return ModelChoice(path.absolute(), fingerprint, frames_ahead(path, header))


def choose_ahead(option: int | None, model: ModelChoice) -> int:
    """Frames that masks may be made ahead: what ``--ahead`` says, else what the model was trained for.

    Raises
    ------
    UsageError
        The model was not trained for so many.
    """
    if option is not None and option > model.ahead:
        raise UsageError(f"--ahead {option}: {model.path.name} was trained for {model.ahead} frames ahead at most")
    return model.ahead if option is None else option


def choose_window(option: int | None, delay: float | None) -> int:
    """Frames in the network's window: what ``--window`` says, else what a delay in seconds asks for; None is centred.

    Raises
    ------
    UsageError
        It is too short for the delay.
    """
    from qsep_live.engine.delay import LONGEST, longest_delay, window_frames

    if option is None:
        return window_frames(delay)
    most = longest_delay(option)
    if delay is None and most < LONGEST:
        raise UsageError(f"--window {option}: files have centred windows; give --delay too, up to {1e3 * most:.0f}ms")
    if delay is not None and delay > most:
        raise UsageError(f"--window {option} is for delays of up to {1e3 * most:.0f} ms, not {1e3 * delay:.0f} ms")
    return option


def stem_presets(names: Sequence[str], spec: SeparatorSpec) -> tuple[Preset, ...]:
    """The presets called ``names`` as a separator of stems takes them; each of its stems is one.

    Raises
    ------
    QsepError
        One does not exist, is broken, or belongs to another model.
    """
    from qsep_live.latent.library import PresetLibrary

    library = PresetLibrary()
    return tuple(library.for_model(name, spec).preset for name in names)


def choose_presets(names: Sequence[str], model: ModelChoice) -> tuple[Preset, ...]:
    """The presets called ``names``, each of ``model``.

    Raises
    ------
    QsepError
        One does not exist, is broken, or belongs to another model.
    """
    from qsep_live.latent.library import PresetLibrary

    library = PresetLibrary()
    return tuple(library.for_model(name, None, model.fingerprint).preset for name in names)


def preset_files(names: Sequence[str], model: ModelChoice) -> tuple[Path, ...]:
    """The files of the presets called ``names``, each of ``model``."""
    from qsep_live.latent.library import PresetLibrary

    library = PresetLibrary()
    found = (library.for_model(name, None, model.fingerprint).path for name in names)
    # A latent has a file always: only a stem of a model has none.
    return tuple(path for path in found if path is not None)


def choose_rack(option: str | None, presets: Sequence[Preset]) -> RackConfig | None:
    """The rack of ``--rack``; without it the first one that a preset names, if any."""
    from qsep_live.rack.config import RackConfig

    if option is not None:
        return None if option == NO_RACK else RackConfig.load(option)
    for preset in presets:
        if preset.effects is not None:
            return RackConfig.load(_rack_path(preset.effects, preset.name))
    return None


def choose_parts(parts: Sequence[PartOption], racks: Sequence[str], model: ModelChoice) -> tuple[Part, ...]:
    """What sounds at once: each ``--preset`` with its ``--rack``, the only one or the one at its place.

    Raises
    ------
    QsepError
        A preset or rack cannot be had, or the racks are neither one nor as many as the presets.
    """
    from qsep_live.engine.part import Part
    from qsep_live.engine.shared import PRESETS
    from qsep_live.engine.strip import Outlet

    if len(parts) > PRESETS:
        raise UsageError(f"{len(parts)} presets at once; 1 to {PRESETS} can sound together")
    each = each_rack(racks, len(parts))
    chosen = []
    for part, rack in zip(parts, each, strict=True):
        presets = choose_presets(part.names, model)
        outlet = Outlet(choose_rack(rack, presets), part.outputs)
        chosen.append(Part(presets, preset_files(part.names, model), outlet))
    return tuple(chosen)


def each_rack(racks: Sequence[str], parts: int) -> list[str | None]:
    """What ``--rack`` says for each of ``parts``: the only one, or the one at its place.

    Raises
    ------
    UsageError
        They are neither one nor as many as the parts.
    """
    if len(racks) not in (0, 1, parts):
        wanted = "one" if parts == 1 else f"one for all, or {parts} in the order of the presets"
        raise UsageError(f"--rack is given {len(racks)} times: give {wanted} (none is a rack too)")
    return [*racks] if len(racks) == parts else [*racks, None][:1] * parts


def refuse_for_stems(model: str, **given: object) -> None:
    """Say which of the options means nothing for a separator of stems. A file is always centred.

    Raises
    ------
    UsageError
        One was given.
    """
    for name, value in given.items():
        if value not in (None, "auto", "centred"):
            raise UsageError(f"--{name} {value}: model {model} gives stems, and hears files in windows of its own")


def _rack_path(effects: str, name: str) -> Path:
    """A preset's rack file: a path as it is, else beside the preset's own file, with or without its suffix."""
    from qsep_live.latent.library import PresetLibrary

    path = Path(effects).expanduser()
    if path.is_absolute():
        return path
    beside = PresetLibrary().path(name).parent / path
    if not beside.suffix:
        beside = beside.with_suffix(".toml")
    return beside


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def live_threads(option: int | None) -> int:
    """Threads of the network live: one core stays free for the sound."""
    return option if option is not None else max(1, min(4, cores() - 1))


def offline_threads(option: int | None) -> int:
    """Threads of the network for files."""
    return option if option is not None else cores()


def offline_delay(option: float | str | None) -> float | None:
    """What ``--delay`` means for files: seconds of a simulated live delay, or None for centred windows."""
    return option if isinstance(option, float) else None


def live_delay(option: float | str | None) -> float | None:
    """What ``--delay`` means live: seconds, or None for the best that this machine holds."""
    if option == "centred":
        raise UsageError("--delay centred looks two seconds ahead, which only files allow: use a time, or auto")
    return option if isinstance(option, float) else None


def machine_delay(
    model: ModelChoice,
    device: str,
    threads: int,
    tell: Callable[[str], None],
    presets: int = 1,
    again: bool = False,
    window: int | None = None,
) -> MachineDelay:
    """The default delay here, with ``window`` frames or as many as it asks for; ``tell`` hears one line where it had to
    be measured first.

    Raises
    ------
    UsageError
        ``window`` is too short for it.
    """
    from qsep_live.engine.delay import LIVE_FRAMES
    from qsep_live.engine.machine_delay import machine_delay as measured
    from qsep_live.engine.mask_process import MaskSettings

    settings = MaskSettings(
        model.path, device, threads=threads, ahead=model.ahead, presets=presets, window=window or LIVE_FRAMES
    )
    found = measured(settings, model.fingerprint, tell, again)
    wanted = choose_window(window, found.delay)
    if wanted == found.window:
        return found
    return measured(replace(settings, window=wanted), model.fingerprint, tell, again)


def check_target(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Refuse a file type that cannot be written, a missing folder, and to write over what exists or over the input.

    Raises
    ------
    UsageError
        One of these; an existing file is replaced if ``overwrite`` is True, but never ``source``.
    """
    from qsep_live.audio.writer import choose_subtype

    choose_subtype(path)
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    if not path.exists():
        return
    if source is not None and source.exists() and path.samefile(source):
        raise UsageError(f"{path} is the input: give the output another name")
    if path.is_file() and not overwrite:
        raise UsageError(f"{path} exists already: choose another name, or say --overwrite")
