"""What can be the address of a server and an API key, what cannot, and the paths of models."""

import re
from urllib.parse import quote, urlsplit

from berth_local.cli.errors import UsageError
from berth_process.settings_error import shown

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_HERE = re.compile(r"localhost|127(\.\d+){1,3}|::1")


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


def is_this_machine(url: str) -> bool:
    """Whether the server at this address is on this machine, as the address itself says."""
    return _HERE.fullmatch(urlsplit(url).hostname or "") is not None


def model_path(name: str) -> str:
    """The path that tells of a model."""
    return f"/v1/models/{quote(name.removeprefix('/models/'))}"


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # A server knows its users by their keys, and a path of its API would come after what follows a ? or a #.
        is_whole = parts.username is None and parts.password is None and "?" not in url and "#" not in url
    except ValueError:
        return False
    return has_place and is_whole and _PRINTABLE.fullmatch(url) is not None
