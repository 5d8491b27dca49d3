"""HTDemucs's weights from where the `demucs` package gets them: safetensors files on the Hugging Face hub.

The package itself is not asked to load them. Where the hub fails, its `get_model` goes on to a pickle from another
place without a word, and it imports and calls whatever class a file's header names. Here the same files are fetched
with the same client, read as data, and where the hub does not have them that is an error.

Not tried against the hub: there was none where this was written. What is tested is the reading of such files from a
folder. Nothing is fetched while music plays: this is called when a model is added.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qsep_live.errors import QsepError, UsageError
from qsep_live.models.adapters.htdemucs_weights import Bag, read_package_file

NAMES = {"htdemucs": "HTDemucs", "htdemucs_ft": "HTDemucs-ft", "htdemucs_6s": "HTDemucs-6s"}
"""Models by name, and their repositories."""
OWNER = "adefossez"
_MOST = 8
_LONGEST = 10_000

Fetch = Callable[[str, str], str | Path]
"""Repository and file name to a path on this machine."""


def read_hub(name: str, fetch: Fetch | None = None) -> Bag:
    """The networks of the model ``name``, one of `NAMES`.

    Parameters
    ----------
    fetch
        Brings a file; the hub's own client where it is left out.

    Raises
    ------
    QsepError
        The hub cannot be reached, or what it gives is not HTDemucs.
    UsageError
        There is no such model.
    """
    if name not in NAMES:
        raise UsageError(f"there is no HTDemucs model {name!r}; there are {', '.join(NAMES)}")
    repository = f"{OWNER}/{NAMES[name]}"
    bring = fetch or _from_hub

    def brought(file: str) -> Path:
        try:
            return Path(bring(repository, file))
        except Exception as error:  # the client's errors have no common base
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            raise QsepError(f"{repository}/{file} could not be fetched: {reason}; or give an .onnx file") from None

    recipe = brought(f"{name}.yaml")
    try:
        models, rows = _recipe(recipe)
        networks = tuple(read_package_file(brought(f"{each}.safetensors")) for each in models)
        shares = _shares(rows, len(networks), len(networks[0].stems))
        return Bag(networks, shares, f"Hugging Face hub, {repository}")
    except (TypeError, ValueError) as error:
        raise QsepError(f"{recipe}: not the recipe of an HTDemucs model ({error})") from None


def _from_hub(repository: str, file: str) -> str:
    from huggingface_hub import hf_hub_download

    return str(hf_hub_download(repository, file))


def _recipe(path: Path) -> tuple[list[str], Any]:
    import yaml

    try:
        with path.open("rb") as file:
            words = yaml.safe_load(file.read(_LONGEST))
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    except yaml.YAMLError:
        raise ValueError("damaged") from None
    models = words.get("models") if isinstance(words, dict) else None
    if not isinstance(models, list) or not 1 <= len(models) <= _MOST:
        raise ValueError("no list of models")
    if not all(isinstance(each, str) and each.isalnum() for each in models):
        raise ValueError("names of models that are none")
    return models, words.get("weights")


def _shares(rows: Any, networks: int, stems: int) -> tuple[tuple[float, ...], ...]:
    """Weights as the package has them, which it divides by their sum over the networks."""
    rows = [[1.0] * stems] * networks if rows is None else rows
    if len(rows) != networks or any(len(row) != stems for row in rows):
        raise ValueError("weights that do not fit the networks")
    sums = [sum(float(row[stem]) for row in rows) for stem in range(stems)]
    if not all(each > 0 for each in sums):
        raise ValueError("a stem that no network gives")
    return tuple(tuple(float(row[stem]) / sums[stem] for stem in range(stems)) for row in rows)
