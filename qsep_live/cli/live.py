"""`qsep-live` without a command: live, or offline where a file goes to a file."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qsep_live.cli import choices
from qsep_live.cli.composed import choose_input
from qsep_live.cli.interrupt import Interrupts
from qsep_live.cli.options import PartOption
from qsep_live.engine.endpoint import Endpoint
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.engine.render import RenderSettings
    from qsep_live.models.spec import SeparatorSpec


@dataclass(frozen=True)
class LiveOptions:
    """The options as they were given; None where they were not."""

    input: str | Endpoint | None
    output: str | None
    parts: tuple[PartOption, ...]
    mode: str
    wet: float
    gain: float
    delay: float | str | None
    blocksize: int | None
    rate: int | None
    racks: tuple[str, ...]
    midi: str | None
    no_midi: bool
    mapping: str | None
    model: str | None
    device: str
    threads: int | None
    ahead: int | None
    window: int | None
    record: str | None
    duration: float | None
    fallback: str | None
    lockstep: float | None
    as_json: bool
    overwrite: bool
    fast: bool = False


LIVE_ONLY = ("blocksize", "rate", "midi", "no_midi", "mapping", "record", "fallback", "lockstep")


def run(options: LiveOptions) -> None:
    """Do what the options say.

    Raises
    ------
    QsepError
        With ``--json`` it has been told on stdout too.
    """
    target = Endpoint.parse(options.output)
    try:
        source = options.input if isinstance(options.input, Endpoint) else choose_input(options.input)
        if target.kind == "demo":
            raise UsageError("--output demo: the demo song can only be listened to; give a device or a file")
        if source.is_device or target.is_device:
            run_live(options, source, target)
        else:
            run_offline(options, source, target)
    except QsepError as error:
        if options.as_json:
            from qsep_live.ui.lines import json_line

            click.echo(json_line("error", {"text": str(error)}))
        raise


def run_live(options: LiveOptions, source: Endpoint, target: Endpoint) -> None:
    """A live session until it is over, the duration is up, or Ctrl-C."""
    from qsep_live.control.mapping import Mapping
    from qsep_live.engine.delay import REFERENCE_RATE, plan_delay
    from qsep_live.engine.session import TICK, LiveSession
    from qsep_live.engine.session_config import SessionConfig
    from qsep_live.ui.display import open_display

    if options.fast:
        raise UsageError("--fast is for files; live the network is always as fast as it can")
    delay = choices.live_delay(options.delay)
    if delay is not None:
        plan_delay(delay, options.rate or REFERENCE_RATE)
    if options.midi is not None and options.no_midi:
        raise UsageError("--midi and --no-midi: choose one")
    written = [Path(path).expanduser() for path in (_file(target), options.record) if path is not None]
    _check_files(options, source, written)
    model = choices.choose_model(options.model)
    config = SessionConfig(
        parts=choices.choose_parts(options.parts, options.racks, model),
        model=model.path,
        input=source,
        output=target,
        mode=options.mode,  # type: ignore[arg-type]
        wet=options.wet,
        gain=options.gain,
        delay=delay,
        blocksize=options.blocksize or 0,
        rate=options.rate,
        midi=options.midi,
        listen=not options.no_midi,
        mapping=Mapping.default() if options.mapping is None else Mapping.load(Path(options.mapping).expanduser()),
        device=options.device,
        threads=choices.live_threads(options.threads),
        record=None if options.record is None else Path(options.record).expanduser(),
        duration=options.duration,
        fallback=options.fallback or "dry",  # type: ignore[arg-type]
        lockstep=options.lockstep or 0.0,
        ahead=choices.choose_ahead(options.ahead, model),
        foresight=model.foresight,
        window=choices.choose_window(options.window, 0.0 if delay is None else delay),
    )
    before = {path: _stamp(path) for path in written}
    display = open_display(options.as_json)
    with Interrupts() as interrupts:
        with display:
            if delay is None:
                found = choices.machine_delay(
                    model, config.device, config.threads, display.event, len(config.parts), window=options.window
                )
                config = replace(config, delay=found.delay, window=found.window)
            session = LiveSession(config, display.event)
            session.start()
            interrupts.defer()
            try:
                due = 0.0
                while not (session.finished or interrupts.wished or display.closed):
                    session.tick()
                    now = time.monotonic()
                    if now >= due:
                        due = now + display.interval
                        display.show(session.status())
                    time.sleep(TICK)
            finally:
                final = session.stop()
        display.finish(final)
    if display.closed:
        raise BrokenPipeError
    for path, stamp in before.items():
        if _stamp(path) == stamp:
            raise QsepError(f"{path}: nothing was recorded")


def run_offline(options: LiveOptions, source: Endpoint, target: Endpoint) -> None:
    """File (or demo song) to file, as fast as the machine can."""
    from qsep_live.cli import offline
    from qsep_live.ui.lines import json_line
    from qsep_live.ui.progress import progress_bar

    _refuse_live_options(options)
    path = Path(target.name)
    with ExitStack() as closing:
        given = _file(source)
        choices.check_target(path, options.overwrite, None if given is None else Path(given))
        if source.program is not None:
            sound = offline.sound_of_program(source.program, options.duration)
        else:
            sound = offline.open_sound(given, closing)
        stems = choices.stems_for_files(options.model)
        network: offline.Network
        if stems is not None:
            settings = _stem_settings(options, stems.spec)
        else:
            model = choices.choose_model(options.model)
            settings = _settings(options, model)
        outputs = [part.outputs for part in options.parts if part.outputs is not None]
        offline.check_render(sound, settings, outputs)
        threads = choices.offline_threads(options.threads)
        if stems is not None:
            network = offline.StemNetwork(stems, options.device, threads, exact=not options.fast)
        else:
            network = offline.TimedNetwork(model, options.device, threads, settings, exact=not options.fast)
        seconds = min(sound.frames / sound.rate, options.duration or float("inf"))
        with progress_bar(Path(sound.name).name, seconds, hidden=options.as_json) as progress:
            result = offline.render_sound(sound, path, network, settings, progress, options.duration, outputs=outputs)
    names = " | ".join(part.names[0] for part in options.parts)
    if options.as_json:
        click.echo(json_line("result", {"preset": names, "mode": options.mode, **result.as_json()}))
        return
    click.echo(
        f"{result.target}: {result.seconds:.1f} s of {sound.name} ({names}, {options.mode})"
        f" in {result.wall:.1f} s, {result.speed:.1f} times real time on {network.name}"
    )
    for remark in result.remarks():
        click.echo(f"qsep-live: warning: {remark}", err=True)


def _settings(options: LiveOptions, model: choices.ModelChoice) -> RenderSettings:
    import numpy as np

    from qsep_live.engine.render import RenderSettings

    parts = choices.choose_parts(options.parts, options.racks, model)
    latents = [part.presets[0].latent for part in parts]
    delay = choices.offline_delay(options.delay)
    return RenderSettings(
        latents[0] if len(parts) == 1 else np.stack(latents),
        mode=options.mode,  # type: ignore[arg-type]
        wet=options.wet,
        gain=options.gain,
        delay=delay,
        ahead=choices.choose_ahead(options.ahead, model),
        foresight=model.foresight,
        window=choices.choose_window(options.window, delay),
        racks=tuple(part.outlet.rack for part in parts),
    )


def _stem_settings(options: LiveOptions, spec: SeparatorSpec) -> RenderSettings:
    import numpy as np

    from qsep_live.engine.render import RenderSettings

    choices.refuse_for_stems(spec.name, delay=options.delay, window=options.window, ahead=options.ahead)
    presets = choices.stem_presets([part.names[0] for part in options.parts], spec)
    given = choices.each_rack(options.racks, len(presets))
    racks = [choices.choose_rack(rack, (preset,)) for rack, preset in zip(given, presets, strict=True)]
    return RenderSettings(
        np.stack([preset.latent for preset in presets]),
        mode=options.mode,  # type: ignore[arg-type]
        wet=options.wet,
        gain=options.gain,
        racks=tuple(racks),
    )


def _file(endpoint: Endpoint) -> str | None:
    return endpoint.name if endpoint.kind == "file" else None


def _refuse_live_options(options: LiveOptions) -> None:
    given = [name for name in LIVE_ONLY if getattr(options, name)]
    if given:
        name = given[0].replace("_", "-")
        raise UsageError(f"--{name} is for live sound; from file to file it has no meaning")
    for part in options.parts:
        if len(part.names) > 1:
            first, second, *_ = part.names
            raise UsageError(
                f"a file is rendered with one preset, not {len(part.names)}: blend them first (qsep-live presets blend"
                f" NAME --between {first} {second} --at 0.5), use qsep-live render, or give each its channels"
                f" (--preset {first}:1-2 --preset {second}:3-4)"
            )


def _check_files(options: LiveOptions, source: Endpoint, written: list[Path]) -> None:
    """What can be wrong with files is said before the model is loaded."""
    if source.kind == "file":
        from qsep_live.audio.files import open_audio

        open_audio(source.name).close()
    for path in written:
        choices.check_target(path, options.overwrite, Path(source.name) if source.kind == "file" else None)
    if len(written) == 2 and written[0].absolute() == written[1].absolute():
        raise UsageError(f"--output and --record are the same file: {written[0]}")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
