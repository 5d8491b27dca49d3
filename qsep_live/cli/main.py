"""The console entry point: live sound without a command, everything else by its name.

Every error ends here as one line on stderr: exit code 2 for usage, 1 for failure, 130 (143) for a command
that was interrupted by Ctrl-C (SIGTERM).
A live session that is ended by Ctrl-C or SIGTERM ended as it should: exit code 0.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from qsep_live import __version__
from qsep_live.cli import options
from qsep_live.cli.interrupt import Interrupted, Interrupts
from qsep_live.cli.lazy import LazyGroup
from qsep_live.errors import QsepError, UsageError

TRACEBACK = "QSEP_LIVE_TRACEBACK"
NAME = "qsep-live"
_COMMANDS = {
    "render": "qsep_live.cli.render:render",
    "presets": "qsep_live.cli.presets:presets",
    "models": "qsep_live.cli.models:models",
    "devices": "qsep_live.cli.devices:devices",
    "doctor": "qsep_live.cli.doctor:doctor",
    "demo": "qsep_live.cli.demo:demo",
    "bench": "qsep_live.cli.bench:bench",
    "soak": "qsep_live.cli.soak:soak",
    "slakh": "qsep_live.cli.slakh:slakh",
    "evaluate": "qsep_live.cli.evaluate:evaluate",
    "experiment": "qsep_live.cli.experiment:experiment",
    "train": "qsep_live.cli.train:train",
    "ship": "qsep_live.cli.train:ship",
    "foresight": "qsep_live.cli.foresight:foresight",
    "compose": "qsep_live.cli.compose:compose",
}
#: What other separators' users type, and what does it here.
_HABITS = {
    "separate": "render SONG --stems",
    "split": "render SONG --stems",
    "stems": "render SONG --stems",
    "karaoke": "render SONG --two vocals",
    "instrumental": "render SONG --preset vocals --mode remove",
    "acapella": "render SONG --preset vocals",
    "list": "models list, or presets list",
    "download": "models add htdemucs",
}
_EPILOG = """\b
Examples:
  qsep-live --preset vocals                         the default interface
  qsep-live --preset vocals,drums --delay 60ms      a MIDI knob (CC 1) morphs
  qsep-live --preset vocals:1-2 --preset drums:3-4  two at once, on outputs of their own
  qsep-live --input song.wav --output vocals.wav    offline, file to file
  qsep-live render album/ -o separated -p vocals,drums
"""


class _Main(LazyGroup):
    """The commands, and a hint where a file was given in place of one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in _HABITS:
            raise click.UsageError(f"there is no command {args[0]!r}; say: qsep-live {_HABITS[args[0]]}", ctx)
        if args[0] not in _COMMANDS and Path(args[0]).suffix:
            name = args[0]
            raise click.UsageError(
                f"{name!r} is no command; for a file say: qsep-live --input {name} --output OUT.wav,"
                f" or qsep-live render {name}",
                ctx,
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Main,
    commands_at=_COMMANDS,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND [ARGS]...]",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "-i",
    "--input",
    metavar="NAME",
    help="Device (or part of its name, or jack:SERVER), sound file, demo, or compose:NAME.",
)
@click.option("-o", "--output", metavar="NAME", help="Device (or part of its name, or jack:SERVER), or sound file.")
@options.parts_option
@options.mix_options
@options.racks_option
@click.option(
    "--blocksize",
    type=click.IntRange(0, options.LARGEST_BLOCK),
    metavar="FRAMES",
    help="Frames a callback; 0, the default, leaves it to the device.",
)
@click.option("--rate", type=options.RATE, help="Sample rate; the devices' own by default.")
@click.option("--midi", metavar="PORT", help="MIDI input, or part of its name; the first there is by default.")
@click.option("--no-midi", is_flag=True, help="Do not listen to MIDI.")
@click.option("--mapping", metavar="FILE", help="Which knob moves what, a TOML file.")
@options.network_options
@options.fast_option
@options.ahead_option
@options.window_option
@click.option("--record", metavar="FILE", help="Record what is heard, too.")
@click.option("--duration", type=options.DURATION, help="End after 90, 90s, 5m …")
@click.option(
    "--fallback", type=click.Choice(("dry", "silence")), help="What is heard when masks stop coming.  [default: dry]"
)
@click.option(
    "--lockstep", type=options.DURATION, hidden=True, help="Time between masks that are waited for (freewheel)."
)
@options.json_option
@options.overwrite_option
@click.version_option(__version__, prog_name=NAME, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, **given: Any) -> None:
    """Isolate one instrument from live audio; a MIDI knob morphs which one.

    Without a command: live, from --input to --output, until Ctrl-C. From file to file: offline, aligned with
    the input sample for sample.
    """
    if ctx.invoked_subcommand is None:
        from qsep_live.cli.live import LiveOptions, run

        run(LiveOptions(**given))
        return
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            command = ctx.invoked_subcommand
            raise click.UsageError(
                f"{parameter.opts[-1]} goes behind the command: qsep-live {command} {parameter.opts[-1]} …"
            )


def main(arguments: list[str] | None = None) -> None:
    """Run, and leave with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show is no reason to end.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code. Errors have been told."""
    interrupts = Interrupts()
    try:
        with interrupts:
            code = cli.main(args=arguments, prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        # A group without a command: its help is no error, though there was nothing to do.
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _tell(error.format_message(), 2 if isinstance(error, click.UsageError) else 1, error)
    except QsepError as error:
        return _tell(str(error), 2 if isinstance(error, UsageError) else 1, error)
    except BrokenPipeError:
        # Nobody reads any more. What Python flushes at exit must go somewhere.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Interrupted as error:
        return _interrupted(error)
    except Exception as error:
        if interrupts.raised is not None and not os.environ.get(TRACEBACK):
            # It came while a module was imported, and left that half done.
            return _interrupted(interrupts.raised)
        text = f"unexpected {type(error).__name__} in {_place(error)}: {error}"
        if not os.environ.get(TRACEBACK):
            text += f" (set {TRACEBACK}=1 to see where it came from)"
        return _tell(text, 1, error)


def _interrupted(error: Interrupted) -> int:
    click.echo(f"{NAME}: interrupted", err=True)
    return 128 + error.number


def _tell(message: str, code: int, error: BaseException) -> int:
    if os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)
    line = " ".join(message.split()).rstrip(".")
    click.echo(f"{NAME}: error: {line}", err=True)
    return code


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


if __name__ == "__main__":
    main()
