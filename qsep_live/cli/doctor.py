"""`qsep-live doctor`: what works here, what does not, what to do, and which delay this machine holds."""

from __future__ import annotations

import click

from qsep_live.cli import choices, options
from qsep_live.errors import UsageError


@click.command(short_help="Check this machine, and measure which delay it holds.")
@options.network_options
@click.option(
    "--loopback",
    is_flag=True,
    help="Only play a chirp from output to input, through a cable, and compare the latency with what is said.",
)
@click.option("-i", "--input", metavar="NAME", help="Device of --loopback, or part of its name.")
@click.option("-o", "--output", metavar="NAME", help="Device of --loopback, or part of its name.")
@options.json_option
@click.pass_context
def doctor(
    ctx: click.Context, model: str | None, device: str, threads: int | None, loopback: bool, input: str | None,
    output: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Check audio, MIDI, network, model and disk, and measure which delay this machine holds.

    Each line is ok, warn or fail; the exit code is 1 where something makes running impossible.
    """
    from qsep_live.cli.checks import CHECKS, Check, Finding, Machine, loopback_check
    from qsep_live.ui.lines import json_line

    if (input or output) and not loopback:
        raise UsageError("--input and --output are for --loopback; without it every device is looked at")
    checks: tuple[Check, ...] = (loopback_check(input, output),) if loopback else CHECKS
    machine = Machine()
    failed = False
    for check in checks:
        subject = check.__name__
        try:
            findings = list(check(machine, model, device, choices.live_threads(threads)))
        except Exception as error:  # one sick part must not hide the others
            findings = [Finding(subject, "fail", f"{type(error).__name__}: {error}")]
        for finding in findings:
            failed = failed or finding.result == "fail"
            if as_json:
                values = {"subject": finding.subject, "result": finding.result, "text": finding.text}
                click.echo(json_line("check", {**values, "advice": finding.advice, **finding.data}))
            else:
                advice = f" → {finding.advice}" if finding.advice else ""
                click.echo(f"{finding.result:<4}  {finding.subject:<10}  {finding.text}{advice}")
    if failed:
        ctx.exit(1)
