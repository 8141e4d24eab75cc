"""The variables that the hub's client reads: it would end in a traceback where one of them is wrong."""

import os
from collections.abc import Mapping

from berth_process.http_environment import UNUSABLE, client_error
from berth_process.setting_values import whole_number
from berth_process.settings_error import read_variable

_SECONDS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")


def check_client_environment(environment: Mapping[str, str]) -> None:
    """Raises SettingsError if a variable of the client is wrong. Call it before anything imports the client."""
    for name in _SECONDS:
        read_variable(environment, name, whole_number, 0)


def open_client() -> None:
    """Makes the client that every request to the hub goes through. Raises SettingsError if a variable is wrong."""
    check_client_environment(os.environ)
    from huggingface_hub import get_session  # noqa: PLC0415 (after the check; and a router may never need it)

    try:
        get_session()
    except UNUSABLE as error:
        raise client_error(error, os.environ) from error
