"""What can be the address of a server and an API key, what cannot, and the paths of models."""

import re
from urllib.parse import quote, urlsplit

from berth_local.cli.errors import UsageError
from berth_process.settings_error import shown

_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def check_url(url: str) -> None:
    """Raises UsageError for a URL that cannot be the address of a server."""
    if not _is_server(url):
        raise UsageError(
            f"--url (or BERTH_URL) is {shown(url)}: it must be a server's address, such as http://127.0.0.1:8080",
        )


def check_key(api_key: str | None) -> None:
    """Raises UsageError for an API key that no request can carry."""
    if api_key and not _PRINTABLE.fullmatch(api_key):
        raise UsageError("--api-key (or BERTH_API_KEY) has a character that no key can have: use letters and digits")


def model_path(name: str) -> str:
    """The path that tells of a model."""
    return f"/v1/models/{quote(name.removeprefix('/models/'))}"


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        asks_nobody = parts.username is None and parts.password is None  # a server knows its users by their keys
    except ValueError:
        return False
    return has_place and asks_nobody and _PRINTABLE.fullmatch(url) is not None
