"""`qsep-live models`: list, add, check, choose the default, remove."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qsep_live.models.catalogue import Known
    from qsep_live.models.registry import Entry


@click.group(invoke_without_command=True)
@click.pass_context
def models(ctx: click.Context) -> None:
    """List, add, check and remove separators. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_models, as_json=False)


@models.command("list")
@options.json_option
def list_models(as_json: bool) -> None:
    """List the separators that are here, and those that can be added by name."""
    from qsep_live.ui.columns import columns
    from qsep_live.ui.lines import json_line

    rows = [_own_row(), *_rows()]
    if as_json:
        for row in rows:
            click.echo(json_line("model", row))
    else:
        head = ("NAME", "GIVES", "SDR", "HERE", "DELAY HERE", "LICENCE")
        for line in columns([head, *(_cells(row) for row in rows)]):
            click.echo(line)
    damaged = [row for row in rows if row.get("error")]
    if damaged:
        names = ", ".join(str(row["name"]) for row in damaged)
        raise QsepError(f"damaged: {names}; qsep-live models check NAME says more, models add NAME makes it again")


@models.command()
@click.argument("source", metavar="NAME|FILE")
@click.option("--as", "name", metavar="NAME", help="What a FILE is called here; its model's own name by default.")
@click.option("--yes", is_flag=True, help="Agree to the licence without being asked.")
@options.overwrite_option
def add(source: str, name: str | None, yes: bool, overwrite: bool) -> None:
    """Make a separator of somebody else's ready on this machine, from its NAME or from a FILE.

    A name is fetched by the package that publishes it. The licence is shown first. It takes a minute or two and
    some hundred megabytes, and no session has to wait for it again.
    """
    from qsep_live.models import store
    from qsep_live.models.registry import added

    model, file, remark = _meant(source)
    name = model.name if name is None else name
    target = store.folder_of(name)
    if target.exists() and not overwrite:
        raise UsageError(f"model {name} is here already; say --overwrite to make it again")
    build = _builder(model)
    click.echo(f"{name}: {', '.join(model.stems)}; {model.origin}", err=True)
    click.echo(f"licence: {model.licence}", err=True)
    for each in (remark, model.note):
        if each:
            click.echo(each, err=True)
    _consent("Is that your use?", yes)
    with store.place_for(name, overwrite) as folder:
        build(file, folder, name, _tell)
        entry = added(target)
        if wrong := store.damage(entry, _tell):
            raise QsepError(f"model {name} does not work on this machine and was removed again: {wrong}")
        found = store.measure(entry, _tell)
    click.echo(_measured_line(entry, found))
    click.echo(f"qsep-live render SONG -o OUT --model {name} --stems")


@models.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Compare files with what was written, and separate a window with each model."""
    from qsep_live.models import store
    from qsep_live.models.registry import find_stems

    chosen = list(names) or [str(row["name"]) for row in _rows() if row["here"]]
    wrong = 0
    for name in chosen:
        try:
            entry = find_stems(name)
            fault = f"not here; {_there()}" if entry is None else store.damage(entry)
        except QsepError as error:
            fault = str(error)
        click.echo(f"{name}: {fault or 'ok'}")
        wrong += bool(fault)
    if not chosen:
        click.echo("no model was added; the one that came along is checked when it is loaded")
    if wrong:
        raise QsepError(f"{wrong} of {len(chosen)} models cannot be used")


@models.command()
@click.argument("name", metavar="[NAME]", required=False)
def default(name: str | None) -> None:
    """Say, or choose, which separator files get where --model is left out; 'own' is the one that came along."""
    from qsep_live.models import store
    from qsep_live.models.registry import find_stems

    if name is None:
        click.echo(store.default_model() or store.OWN)
        return
    if name != store.OWN and find_stems(name) is None:
        raise UsageError(f"there is no model {name!r} here; {_there()}")
    store.choose_default(name)
    click.echo(f"files are separated by {name} where --model is left out")


@models.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove a model that was added."""
    from qsep_live.models import store
    from qsep_live.models.registry import find_stems

    folder = store.folder_of(name)
    if not folder.is_dir():
        entry = find_stems(name)
        if entry is not None:
            raise UsageError(f"model {name} belongs to the package {entry.origin}: pip uninstall {entry.origin}")
        raise UsageError(f"no model {name} was added; {_there()}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    _consent(f"Remove {name} ({size / 1e6:.0f} MB)?", yes)
    was_default = store.default_model() == name
    store.remove(name)
    if was_default:
        store.choose_default(store.OWN)
        click.echo("it was the default; files are separated by the model that came along again")


def _meant(source: str) -> tuple[Known, Path | None, str]:
    """The model that a name or a file stands for, the file, and a remark.

    Raises
    ------
    UsageError, QsepError
        Neither.
    """
    from qsep_live.models import store
    from qsep_live.models.catalogue import KNOWN, known, known_file

    path = Path(source).expanduser()
    model = known(source)
    if model is not None and not path.is_file():
        return model, None, ""
    if not path.is_file():
        names = ", ".join(each.name for each in KNOWN)
        raise UsageError(f"{source!r} is neither a file nor a known model; known are {names}")
    held = known_file(store.sha256(path))
    if held is not None:
        return held, path, f"{path.name} is {next(iter(held.files.values()))}"
    stem = known(path.stem)
    model = stem if stem is not None else KNOWN[0]
    return model, path, f"{path.name} is not a file that is known by its SHA-256: where it comes from is yours to know"


def _builder(model: Known) -> Callable[[Path | None, Path, str, Callable[[str], None]], object]:
    """What makes the model ready; refuses where its extra is missing, before anything is asked or fetched."""
    from importlib.util import find_spec

    for package in ("torch", "demucs", "onnx"):
        if find_spec(package) is None:
            raise QsepError(f"{model.name} needs the package {package} to be added: pip install 'qsep-live[htdemucs]'")

    def build(file: Path | None, folder: Path, name: str, tell: Callable[[str], None]) -> object:
        from qsep_live.models.adapters import htdemucs_build
        from qsep_live.models.adapters.htdemucs_hub import read_hub

        if file is not None:
            return htdemucs_build.build(file, folder, name, tell=tell)
        tell(f"fetching {model.name}")
        return htdemucs_build.build(read_hub(model.name), folder, name, tell=tell)

    return build


def _consent(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to answer on; say --yes")
    if not click.confirm(question, err=True):
        raise UsageError("nothing was done")


def _rows() -> list[dict[str, Any]]:
    """Added models, damaged ones too, other packages', and what is known and not here."""
    from qsep_live.models import store
    from qsep_live.models.catalogue import KNOWN, known
    from qsep_live.models.registry import CARD, added, package_separators

    rows: dict[str, dict[str, Any]] = {}
    root = store.models_folder()
    for card in sorted(root.glob(f"*/{CARD}")) if root.is_dir() else ():
        try:
            rows[card.parent.name] = _row(added(card.parent))
        except QsepError as error:
            rows[card.parent.name] = {"name": card.parent.name, "here": True, "error": str(error)}
    for name, entry in package_separators():
        if name not in rows:
            rows[name] = {"name": name, "here": True, "error": entry} if isinstance(entry, str) else _row(entry)
    for model in KNOWN:
        if model.name not in rows:
            rows[model.name] = {"name": model.name, "stems": model.stems, "here": False, "licence": model.licence,
                                "origin": model.origin, "sdr": model.quality}  # fmt: skip
    for name, row in rows.items():
        model_known = known(name)
        row.setdefault("sdr", None if model_known is None else model_known.quality)
    return [rows[name] for name in sorted(rows)]


def _row(entry: Entry) -> dict[str, Any]:
    from qsep_live.models import store

    spec, held = entry.spec, store.held_delay(entry)
    return {
        "name": spec.name, "stems": spec.stems, "here": True, "licence": spec.licence, "origin": spec.origin,
        "fingerprint": spec.fingerprint, "package": None if entry.origin == "added" else entry.origin,
        "delay": None if held is None else round(held[0], 3), "window": None if held is None else held[1],
    }  # fmt: skip


def _own_row() -> dict[str, Any]:
    from qsep_live.models import store
    from qsep_live.models.catalogue import OWN_QUALITY

    chosen = choices.choose_model(None)
    return {
        "name": store.OWN, "stems": (), "here": True, "licence": "non-commercial research use",
        "origin": str(chosen.path), "fingerprint": chosen.fingerprint, "sdr": OWN_QUALITY.get(chosen.fingerprint),
        "delay": None,
    }  # fmt: skip


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row.get("error"):
        return str(row["name"]), "damaged", "-", "yes", "-", str(row["error"])
    gives = ", ".join(row["stems"]) or "one sound for a latent of 32"
    sdr = "-" if row.get("sdr") is None else f"{row['sdr']:.1f} dB"
    here = "no" if not row["here"] else str(row.get("package") or "yes")
    delay = "-" if row.get("delay") is None else f"{row['delay']:.2f} s"
    return str(row["name"]), gives, sdr, here, delay, str(row["licence"])


def _there() -> str:
    return "qsep-live models list names what there is"


def _measured_line(entry: Entry, found: dict[str, Any]) -> str:
    spec, seconds = entry.spec, found["seconds"]
    window = str(spec.windows[0])
    hop = 0.75 * (spec.windows[0] - spec.edge) / spec.rate
    exact, fast = (seconds[word][window] / hop for word in ("exact", "fast"))
    return f"{spec.name} is ready: a second of sound takes {exact:.2f} s on one thread, with --fast {fast:.2f} s"


def _tell(text: str) -> None:
    click.echo(text, err=True)
