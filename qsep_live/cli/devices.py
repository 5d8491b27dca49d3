"""`qsep-live devices`: what sound and MIDI can go through, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import options
from qsep_live.errors import QsepError

if TYPE_CHECKING:
    from qsep_live.audio.devices import DeviceInfo


@click.command()
@options.json_option
def devices(as_json: bool) -> None:
    """List audio devices and MIDI ports by name.

    Any part of a name, or of "name, host API", works for --input, --output and --midi.
    """
    from qsep_live.audio.devices import list_devices
    from qsep_live.control.ports import list_ports

    audio = list_devices()
    midi_problem = ""
    inputs: list[str] = []
    outputs: list[str] = []
    try:
        inputs, outputs = list_ports()
    except QsepError as error:
        midi_problem = str(error)
    if as_json:
        _tell_json(audio, inputs, outputs, midi_problem)
        return
    _tell(audio, inputs, outputs, midi_problem)


def _tell(audio: list[DeviceInfo], inputs: list[str], outputs: list[str], midi_problem: str) -> None:
    from qsep_live.ui.columns import columns

    if audio:
        rows = [_row(device) for device in audio]
        for line in columns(rows, ("AUDIO DEVICE", "HOST API", "IN", "OUT", "RATES (HZ)", "DEFAULT")):
            click.echo(line)
    else:
        click.echo("no audio devices: connect an interface or start a JACK server; files work without one")
    click.echo()
    if midi_problem:
        click.echo(midi_problem)
    elif inputs or outputs:
        ports = [(name, "in") for name in inputs] + [(name, "out") for name in outputs]
        for line in columns(ports, ("MIDI PORT", "DIRECTION")):
            click.echo(line)
    else:
        click.echo("no MIDI ports: connect a controller; it is noticed while qsep-live runs, too")


def _row(device: DeviceInfo) -> tuple[str, ...]:
    rates = ", ".join(str(rate) for rate in device.rates) or f"busy ({device.default_rate} by default)"
    flags = [name for name, flag in (("input", device.default_input), ("output", device.default_output)) if flag]
    return device.name, device.hostapi, str(device.inputs), str(device.outputs), rates, ", ".join(flags)


def _tell_json(audio: list[DeviceInfo], inputs: list[str], outputs: list[str], midi_problem: str) -> None:
    from qsep_live.ui.lines import json_line

    for device in audio:
        values: dict[str, Any] = {
            "name": device.name,
            "hostapi": device.hostapi,
            "inputs": device.inputs,
            "outputs": device.outputs,
            "default_rate": device.default_rate,
            "rates": device.rates,
            "default_input": device.default_input,
            "default_output": device.default_output,
        }
        click.echo(json_line("audio", values))
    for direction, names in (("input", inputs), ("output", outputs)):
        for name in names:
            click.echo(json_line("midi", {"name": name, "direction": direction}))
    if midi_problem:
        click.echo(json_line("problem", {"text": midi_problem}))
