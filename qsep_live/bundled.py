"""Where files lie that are not code: the models and presets that come with qsep-live, and the user's own.

This module imports no room, so that every room may ask it.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from qsep_live.errors import QsepError

APP_NAME = "qsep-live"
HOME_VARIABLE = "QSEP_LIVE_HOME"


def bundled_folder(name: str) -> Path:
    """Folder ``name`` (``"models"`` or ``"presets"``) as it came with qsep-live.

    In an installed wheel it is ``qsep_live/data/NAME``; in a checkout (editable install) it is ``NAME``
    beside the package.

    Raises
    ------
    QsepError
        Neither folder is there: the installation is damaged.
    """
    package = files("qsep_live")
    if not isinstance(package, Path):
        raise QsepError(f"qsep-live runs from inside an archive and cannot read its {name}: install it with pip")
    installed = package / "data" / name
    if installed.is_dir():
        return installed
    checkout = package.parent
    # pyproject.toml tells a checkout from site-packages, where some other project may own a folder "models".
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    raise QsepError(f"the {name} that come with qsep-live are not in {installed}: install qsep-live again")


def user_folder(name: str) -> Path:
    """Folder ``name`` in the user's own data folder; it need not exist yet.

    The data folder is ``$QSEP_LIVE_HOME`` when that is set, else the platform's place for application data.
    """
    home = os.environ.get(HOME_VARIABLE, "")
    if home:
        return Path(home).expanduser().absolute() / name
    from platformdirs import user_data_dir

    return Path(user_data_dir(APP_NAME, appauthor=False)) / name


def cache_folder() -> Path:
    """Where what can be measured or made again is kept; it need not exist yet.

    ``$QSEP_LIVE_HOME/cache`` when that is set, else the platform's place for caches.
    """
    if os.environ.get(HOME_VARIABLE, ""):
        return user_folder("cache")
    from platformdirs import user_cache_dir

    return Path(user_cache_dir(APP_NAME, appauthor=False))
