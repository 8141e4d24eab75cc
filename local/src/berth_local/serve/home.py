"""The state folder of one machine's Berth: where it is, and where models and the server's address are in it."""

import json
import os
from pathlib import Path

from berth_process.settings_error import SettingsError, shown

RUNNING = "berth.json"
"""The file of the folder that names the running server's pid and address."""


def home_directory() -> Path:
    """BERTH_HOME, or berth in the user's data directory."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(os.environ.get("BERTH_HOME") or Path(data) / "berth")


def wrong_home(home: Path, error: OSError) -> SettingsError | None:
    """The error for a folder that cannot be used, if BERTH_HOME names it. None if BERTH_HOME does not."""
    stated = os.environ.get("BERTH_HOME")
    if not stated or Path(stated) != home:
        return None
    return SettingsError(
        f"BERTH_HOME is {shown(stated)}: it must be a folder that can be made and written to ({error.strerror})",
    )


def model_store(home: Path) -> Path:
    """The folder of models, unless the user names another with `--models`."""
    return home / "models"


def running_server(home: Path) -> str | None:
    """The address that the server of this folder wrote down. Somebody may have killed that server since."""
    try:
        url = json.loads((home / RUNNING).read_text())["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url if isinstance(url, str) else None
