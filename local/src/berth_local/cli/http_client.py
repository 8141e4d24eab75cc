"""HTTP as the commands need it.

A request has a connection of its own. Nothing is redirected: an API is where it is said to be.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlencode

from berth_local.cli.http_messages import HttpAnswer, HttpRequest, OnConnected, Transport

CONNECT_SECONDS = 5.0


class HttpClient:
    """Requests to one server. `url`: its address. `proxied`: the environment's proxies count.

    Raises OSError where the certificates that the environment names cannot be read, and SettingsError for a proxy that
    is none.
    """

    def __init__(self, url: str, api_key: str | None = None, *, proxied: bool = True) -> None:
        self._headers = {"User-Agent": "berth", "Accept": "*/*"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._transport = _transport(url, proxied)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        seconds: float | None,
        connect_seconds: float = CONNECT_SECONDS,
        on_connected: OnConnected | None = None,
    ) -> AbstractContextManager[HttpAnswer]:
        """The answer, whatever its status. Leaving ends the connection.

        `seconds`: the longest silence; None: any. `on_connected` gets the socket of the connection. Raises
        NotReachedError, SilentError and BrokenOffError.
        """
        headers, content = self._headers, None
        if body is not None:
            headers, content = {**headers, "Content-Type": "application/json"}, json.dumps(body).encode()
        path += f"?{urlencode(query)}" if query else ""
        return self._transport.ask(HttpRequest(method, path, headers, content, seconds, connect_seconds, on_connected))


def _transport(url: str, proxied: bool) -> Transport:
    # Each is loaded only where it is wanted: a command on this machine waits for neither certificates nor proxies.
    if not proxied and url.startswith("http://"):
        from berth_local.cli.plain_http import PlainHttp  # noqa: PLC0415

        return PlainHttp(url)
    from berth_local.cli.proxied_http import ProxiedHttp  # noqa: PLC0415

    return ProxiedHttp(url, proxied=proxied)
