"""`qsep-live demo`: separate the demo song, whose stems are known, and say how well that went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qsep_live.cli.offline import Rendered, TimedNetwork
    from qsep_live.engine.render import RenderSettings


@click.command(short_help="Separate a demo song that is made by code.")
@click.option("-o", "--output", metavar="FILE", default="vocals.wav", show_default=True, help="Replaced if it exists.")
@click.option("--mixture", is_flag=True, help="Write the song itself beside it: vocals.wav gets vocals-mixture.wav.")
@click.option(
    "-p", "--preset", "preset_name", metavar="NAME", default="vocals", show_default=True, help="What to isolate."
)
@click.option("--delay", type=options.DELAY, help="Hear what live with this delay sounds like: 25ms, 0.1s.")
@options.network_options
@options.json_option
def demo(
    output: str, mixture: bool, preset_name: str, delay: float | str | None, model: str | None, device: str,
    threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Separate the demo song, which is made by code, and compare with its true stem."""
    from qsep_live.audio.demo import demo_song
    from qsep_live.audio.writer import write_audio
    from qsep_live.cli import offline
    from qsep_live.engine.render import RenderSettings
    from qsep_live.ui.progress import progress_bar

    target = Path(output).expanduser()
    chosen = choices.choose_model(model)
    (preset,) = choices.choose_presets((preset_name,), chosen)
    settings = RenderSettings(
        preset.latent, delay=choices.offline_delay(delay), ahead=chosen.ahead, foresight=chosen.foresight
    )
    choices.check_target(target, overwrite=True)
    song = demo_song()
    sound = offline.sound_of(song)
    offline.check_render(sound, settings)
    network = offline.TimedNetwork(chosen, device, choices.offline_threads(threads), settings)
    kept: list[NDArray[np.float32]] = []
    with progress_bar("demo song", sound.frames / sound.rate, hidden=as_json) as progress:
        result = offline.render_sound(sound, target, network, settings, progress, keep=kept)
    values = _numbers(result, network, settings, preset.name)
    if preset.name in song.stems:
        import numpy as np

        from qsep_live.evaluation.sdr import sdr

        stem = song.stems[preset.name]
        values["sdr"] = sdr(stem, np.concatenate(kept))
        values["sdr_of_mixture"] = sdr(stem, song.mixture)
    if mixture:
        beside = target.with_stem(f"{target.stem}-mixture")
        values["mixture"] = str(write_audio(beside, song.mixture, song.rate, result.subtype))
    if as_json:
        from qsep_live.ui.lines import json_line

        click.echo(json_line("result", values))
        return
    _tell(result, network, settings, values)


def _numbers(result: Rendered, network: TimedNetwork, settings: RenderSettings, preset: str) -> dict[str, Any]:
    from qsep_live.engine.session import default_delay

    return {
        "preset": preset,
        "backend": network.name,
        "delay": settings.delay,
        "mask_age": None if settings.delay is None else [0.0, settings.period],
        "mask_step": round(network.step, 6),
        "live_delay": default_delay(network.step),
        **result.as_json(),
    }


def _tell(result: Rendered, network: TimedNetwork, settings: RenderSettings, values: dict[str, Any]) -> None:
    from qsep_live.ui.columns import columns
    from qsep_live.ui.words import milliseconds

    if settings.delay is None:
        delay = f"none in the file, which is aligned; the renderer looked {result.latency:.2f} s ahead"
        age = "exact: every gain comes from the middle of its window"
    else:
        delay = f"{milliseconds(settings.delay)} as live, taken off again in the file"
        age = f"0 to {milliseconds(settings.period)}, as live with a mask every {milliseconds(settings.period)}"
    rows = [
        ("wrote", f"{result.target} ({result.seconds:.1f} s, {result.rate} Hz, {result.channels} channels)"),
        ("preset", values["preset"]),
        ("delay", delay),
        ("mask age", age),
        ("speed", f"{result.speed:.1f} times real time ({result.wall:.1f} s) on {network.name}"),
        (
            "mask step",
            f"{milliseconds(network.step)} a window, for live a delay of {milliseconds(values['live_delay'])}",
        ),
    ]
    if "sdr" in values:
        rows.append(
            ("SDR", f"{values['sdr']:.1f} dB against the true stem; the mixture has {values['sdr_of_mixture']:.1f} dB")
        )
    if "mixture" in values:
        rows.append(("mixture", values["mixture"]))
    for line in columns(rows):
        click.echo(line)
    for remark in result.remarks():
        click.echo(f"qsep-live: warning: {remark}", err=True)
