"""The proxy through which a server is asked, as the environment or the system names it."""

import base64
import os
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from berth_process.settings_error import SettingsError, shown

_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is, and what it is told with each request."""

    address: tuple[str, int]
    headers: dict[str, str]
    variable: str
    """What names it."""


def proxy_for(scheme: str, place: str) -> Proxy | None:
    """The proxy for addresses of this scheme and place, which is HOST or HOST:PORT. None: there is none.

    Raises SettingsError if what the environment names cannot be one.
    """
    proxies = getproxies()
    name = next((name for name in (scheme, "all") if proxies.get(name)), None)
    if name is None or proxy_bypass(place):
        return None
    stated = proxies[name]
    variable = next((each for each in (f"{name}_proxy", f"{name.upper()}_PROXY") if each in os.environ), None)
    parts = _parts(stated)
    if parts is None:
        raise SettingsError(
            f"{variable or 'the proxy of this machine'} is {shown(stated)}: it must be like"
            " http://proxy.example.com:3128"
        )
    headers: dict[str, str] = {}
    if parts.username:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(known.encode()).decode()}"
    return Proxy((parts.hostname or "", parts.port or _PORT), headers, variable or "this machine")


def _parts(stated: str) -> SplitResult | None:
    """What the proxy's address consists of. None: it is no such address."""
    try:
        parts = urlsplit(stated if "://" in stated else f"http://{stated}")
        valid = parts.scheme == "http" and parts.hostname and parts.port != 0 and not parts.path.strip("/")
    except ValueError:
        return None
    return parts if valid and stated.isascii() and stated.isprintable() and " " not in stated else None
