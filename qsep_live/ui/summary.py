"""What a live session came to, told at its end."""

from __future__ import annotations

from qsep_live.engine.status import Status
from qsep_live.ui import words


def summary(status: Status) -> list[str]:
    """Lines for people: how long and what, latency by cause, masks, callbacks, troubles."""
    if not status.callbacks:
        return ["played      nothing: the session ended before the first block of sound"]
    rows = (
        ("played", f"{words.clock(status.seconds)} of {status.preset} ({words.mix(status)})"),
        (
            "through",
            f"{status.device} at {status.rate} Hz, {status.blocksize} frames a block{words.drift(status.drift)}",
        ),
        ("latency", words.latency(status.latency)),
        (
            "mask",
            f"age {words.age(status.mask_age)}, period {words.milliseconds(status.mask_period)},"
            f" step {words.milliseconds(status.mask_step)}, {status.mask_steps} masks",
        ),
        ("callback", _callback(status)),
        ("troubles", _troubles(status)),
    )
    return [f"{name:<11} {text}" for name, text in rows]


def _callback(status: Status) -> str:
    times = (("p50", status.callback_p50), ("p99", status.callback_p99), ("p99.9", status.callback_p999))
    told = ", ".join(f"{name} {1e3 * time:.2f} ms ({words.load(time, status)})" for name, time in times)
    return f"{told} of {1e3 * words.budget(status):.2f} ms, {status.callbacks} callbacks"


def _troubles(status: Status) -> str:
    return (
        f"{status.underruns} underruns, {status.overruns} overruns, {status.missed} frames of input missed,"
        f" {words.part(status.held, status.frames)} of frames held, {status.fallbacks} fallbacks,"
        f" {status.mask_restarts} mask restarts, {status.audio_restarts} audio restarts,"
        f" {status.input_restarts} input restarts, {status.midi_restarts} MIDI restarts,"
        f" {status.repaired} samples repaired, limited {status.limited} times,"
        f" {status.rack_faults} effects bypassed, {status.midi_dropped} MIDI messages dropped,"
        f" {status.reloads} preset reloads"
    )
