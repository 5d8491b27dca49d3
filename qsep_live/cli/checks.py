"""What `qsep-live doctor` looks at, one function a subject. Each gives findings and raises nothing."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qsep_live import __version__
from qsep_live.cli import choices
from qsep_live.errors import QsepError

Result = Literal["ok", "warn", "fail"]
ROOM = 1 << 30
"""Bytes of free disk below which there is a warning: an hour and a half of 24-bit stereo."""
CALLBACK_SECONDS = 3.0
RATE = 44_100
TARGET_LOAD = 0.25
"""Share of a block's time that its callback should stay below."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: a subject, how it stands, what was found, and what to do where it is not well."""

    subject: str
    result: Result
    text: str
    advice: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Machine:
    """What earlier checks learned and later ones need."""

    model: choices.ModelChoice | None = None


Check = Callable[[Machine, str | None, str, int], Iterator[Finding]]


def system(_machine: Machine, _model: str | None, _device: str, _threads: int) -> Iterator[Finding]:
    """Program, Python, cores, and the shared memory that the processes talk through."""
    about = f"qsep-live {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    count = choices.cores()
    few = count < 2
    advice = "with one core the network takes the sound's time: use blocks of 512 frames or more" if few else ""
    yield Finding("system", "warn" if few else "ok", f"{about}, {count} cores", advice, {"cores": count})
    from qsep_live.engine.shared import Board

    try:
        Board().close()
    except QsepError as error:
        what, _, advice = str(error).partition("; ")
        yield Finding("memory", "fail", what, advice)


def portaudio(_machine: Machine, _model: str | None, _device: str, _threads: int) -> Iterator[Finding]:
    """The library and its devices."""
    from qsep_live.audio.devices import list_devices, load_portaudio

    try:
        version = load_portaudio().get_portaudio_version()[1]
        devices = list_devices()
    except QsepError as error:
        what, _, advice = str(error).partition("; ")
        yield Finding("portaudio", "fail", what, advice)
        return
    yield Finding("portaudio", "ok", version.split(",")[0], data={"devices": [device.label for device in devices]})
    for kind, advice in (
        ("input", "connect an interface, start a JACK server, or use --input FILE"),
        ("output", "connect an interface, start a JACK server, or use --output FILE"),
    ):
        usable = [device for device in devices if device.channels(kind)]  # type: ignore[arg-type]
        if not usable:
            yield Finding(kind, "warn", f"no audio {kind} device", advice)
            continue
        standard = next((device for device in usable if getattr(device, f"default_{kind}")), usable[0])
        rates = ", ".join(str(rate) for rate in standard.rates)
        more = f" and {len(usable) - 1} more" if len(usable) > 1 else ""
        text = f"{standard.label}: {standard.channels(kind)} channels, {rates or 'no rate'} Hz{more}"  # type: ignore[arg-type]
        busy = "" if standard.rates else "it is busy: close the program that uses it"
        yield Finding(kind, "warn" if busy else "ok", text, busy)


def midi(_machine: Machine, _model: str | None, _device: str, _threads: int) -> Iterator[Finding]:
    """MIDI systems and ports."""
    from qsep_live.control.ports import list_ports

    try:
        inputs, _outputs = list_ports()
    except QsepError as error:
        what, _, advice = str(error).rpartition("; ")
        yield Finding("midi", "warn", what, advice)
        return
    if inputs:
        yield Finding("midi", "ok", ", ".join(inputs), data={"inputs": inputs})
    else:
        yield Finding("midi", "warn", "no MIDI input", "connect a controller; it is noticed while qsep-live runs, too")


def model(machine: Machine, option: str | None, _device: str, _threads: int) -> Iterator[Finding]:
    """The checkpoint and the presets that belong to it."""
    from qsep_live.latent.library import PresetLibrary

    try:
        machine.model = choice = choices.choose_model(option)
    except QsepError as error:
        yield Finding("model", "fail", str(error), "nothing can be separated without a model")
        return
    yield Finding("model", "ok", f"{choice.path}, fingerprint {choice.fingerprint}")
    try:
        library = PresetLibrary()
    except QsepError as error:
        yield Finding("presets", "fail", str(error))
        return
    fitting = [preset.name for preset in library.latents_of(choice.fingerprint)]
    # Weights of stems are for other models, as they should be: only a latent may be one that was left behind.
    latents = [found.preset for found in library.every() if not found.preset.stems]
    others = [preset.name for preset in latents if preset.model != choice.fingerprint]
    if not fitting:
        yield Finding(
            "presets", "fail", "none of the presets belongs to this model",
            "make one: qsep-live presets new NAME --query FILE",
        )  # fmt: skip
    elif others:
        yield Finding(
            "presets", "warn", f"{', '.join(fitting)}; of another model: {', '.join(others)}",
            "make those again: qsep-live presets new NAME --query FILE --overwrite",
        )  # fmt: skip
    else:
        yield Finding("presets", "ok", ", ".join(fitting))
    for problem in library.problems():
        yield Finding("presets", "warn", problem, "correct the file, or remove it")


def network(machine: Machine, _model: str | None, device: str, threads: int) -> Iterator[Finding]:
    """What the network can run on, how masks come, and the delay that follows; it is kept for live."""
    from qsep_live.nets.inference import devices

    there = devices()
    yield Finding("devices", "ok", ", ".join(there), data={"devices": list(there)})
    if machine.model is None:
        return
    try:
        found = choices.machine_delay(machine.model, device, threads, lambda _text: None, again=True)
    except QsepError as error:
        yield Finding("network", "fail", str(error), "nothing can be separated: choose another --device or --model")
        return
    pace = found.pace
    slow = pace.step > 0.5
    advice = "too slow to follow music: use a GPU, or more --threads" if slow else ""
    data = {"step": pace.step, "period": pace.period, "age": pace.age, "delay": found.delay}
    yield Finding("network", "warn" if slow else "ok", found.why, advice, data)


def callback(_machine: Machine, _model: str | None, _device: str, _threads: int) -> Iterator[Finding]:
    """What a block of sound costs, of the time there is for it."""
    loads = {frames: callback_load(frames) for frames in (128, 256, 512)}
    told = ", ".join(f"{frames} frames {100.0 * load:.0f} %" for frames, load in loads.items())
    good = [frames for frames, load in loads.items() if load < TARGET_LOAD]
    advice = "" if 256 in good else f"use --blocksize {good[0] if good else 1024} or more"
    text = f"p99 of the time for a block at 44.1 kHz stereo: {told}"
    yield Finding("callback", "warn" if advice else "ok", text, advice, {"loads": loads})


def disk(_machine: Machine, _model: str | None, _device: str, _threads: int) -> Iterator[Finding]:
    """Room for recordings here, and for presets in the user's folder."""
    from qsep_live.bundled import user_folder

    for subject, folder in (("disk", Path.cwd()), ("presets at", _existing(user_folder("presets")))):
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Finding(subject, "warn", f"{folder}: {error.strerror or error}", "choose another folder")
            continue
        full = free < ROOM
        yield Finding(
            subject, "warn" if full else "ok", f"{folder}: {free / 2**30:.1f} GiB free",
            "make room before recording" if full else "",
        )  # fmt: skip


def loopback_check(given: str | None, heard: str | None) -> Check:
    """The check of ``--loopback``, with devices by name."""

    def loopback(_machine: Machine, _model: str | None, _device: str, _threads: int) -> Iterator[Finding]:
        """A chirp through a cable from output to input: the latency that is there, and the one that is said."""
        from qsep_live.audio.devices import find_device
        from qsep_live.audio.loopback import measure_loopback

        try:
            found = measure_loopback(find_device("input", given), find_device("output", heard))
        except QsepError as error:
            what, _, advice = str(error).partition(": put ")
            yield Finding("loopback", "fail", what, f"put {advice}" if advice else "")
            return
        off = found.measured - found.declared
        cable = "the JACK server as the cable, so the interface had no part" if found.inside else "through a cable"
        text = (
            f"measured {1e3 * found.measured:.1f} ms ({round(found.measured * found.rate)} samples), declared"
            f" {1e3 * found.declared:.1f} ms: {1e3 * off:+.1f} ms; {cable}; {found.rate} Hz, {found.blocksize} frames"
        )
        data = {
            "measured": found.measured, "declared": found.declared, "level": found.level, "rate": found.rate,
            "blocksize": found.blocksize, "inside": found.inside,
        }  # fmt: skip
        yield Finding("loopback", "ok", text, data=data)

    return loopback


CHECKS: tuple[Check, ...] = (system, portaudio, midi, model, network, callback, disk)


def callback_load(frames: int) -> float:
    """99th percentile of the signal path's time for a block of ``frames``, as a share of the block's length."""
    import numpy as np

    from qsep_live.engine.delay import plan_delay
    from qsep_live.engine.gain_field import GainField
    from qsep_live.engine.mix import Mixer
    from qsep_live.engine.signal_path import SignalPath

    signal, mixer = SignalPath(plan_delay(0.1, RATE), 2, GainField()), Mixer()
    block = (0.1 * np.random.default_rng(0).standard_normal((frames, 2))).astype(np.float32)
    times = []
    for _ in range(round(CALLBACK_SECONDS * RATE / frames)):
        start = time.perf_counter()
        target, dry = signal.process(block)
        mixer.mix(target, dry, "isolate", 1.0, 0.0)
        times.append(time.perf_counter() - start)
    return float(np.quantile(times, 0.99)) * RATE / frames


def _existing(folder: Path) -> Path:
    """``folder``, or the nearest above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
