"""The folder that holds what one machine's Berth keeps: models, state, logs."""

import json
import os
from pathlib import Path

from berth_api.settings_error import SettingsError, shown

RUNNING = "berth.json"
"""In the folder: who runs, and where it is reached."""


def home_directory() -> Path:
    """BERTH_HOME, or berth in the user's data directory."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(os.environ.get("BERTH_HOME") or Path(data) / "berth")


def wrong_home(home: Path, error: OSError) -> SettingsError | None:
    """The error where BERTH_HOME names a folder that cannot be used; None where it is not what says so."""
    stated = os.environ.get("BERTH_HOME")
    if not stated or Path(stated) != home:
        return None
    return SettingsError(
        f"BERTH_HOME is {shown(stated)}: it must be a folder that can be made and written to ({error.strerror})",
    )


def model_store(home: Path) -> Path:
    """Where models are, unless `--models` says otherwise."""
    return home / "models"


def running_server(home: Path) -> str | None:
    """The address that the server of this folder wrote down; it may have been killed since."""
    try:
        url = json.loads((home / RUNNING).read_text())["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if isinstance(url, str) else None
