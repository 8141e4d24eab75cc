"""HTTP to other machines by Python's own library, which knows proxies and certificates."""

import http.client
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, getproxies

from berth_local.cli.http_messages import (
    IN_THE_MIDDLE,
    NOT_HTTP,
    BrokenOffError,
    HttpRequest,
    NotReachedError,
    OnConnected,
    SilentError,
)

if TYPE_CHECKING:
    import ssl


class ProxiedHttp:
    """A Transport. `url`: the server's address. `proxied`: the environment's proxies count.

    Raises OSError where the certificates that the environment names cannot be read, and ValueError for a proxy that is
    none.
    """

    def __init__(self, url: str, *, proxied: bool) -> None:
        self._url = url
        self._proxies = _checked_proxies() if proxied else {}
        self._certificates = _certificates() if url.startswith("https://") else None

    @contextmanager
    def ask(self, request: HttpRequest) -> Generator["_ProxiedAnswer"]:
        """The answer."""
        url = f"{self._url}{request.path}"
        wanted = Request(url, request.content, dict(request.headers), method=request.method)  # noqa: S310 (check_url has seen to http and https)
        opener = self._opener(partial(_connect, request.connect_seconds, request.on_connected))
        with _telling(), opener.open(wanted, timeout=request.seconds) as response:
            yield _ProxiedAnswer(response)

    def _opener(self, connect: "_Connect") -> OpenerDirector:
        """Without urllib's own handlers, which turn refusals into errors and follow redirections."""
        opener = OpenerDirector()
        opener.add_handler(ProxyHandler(self._proxies))
        opener.add_handler(_Plain(connect))
        if self._certificates:
            opener.add_handler(_Secure(connect, self._certificates))
        return opener


class _ProxiedAnswer:
    """An HttpAnswer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self._response.read())

    def lines(self) -> Iterator[str]:
        """Yields the lines as they come."""
        for line in self._response:
            yield line.decode(errors="replace").rstrip("\r\n")


_Connect = Callable[[http.client.HTTPConnection, Callable[[], None]], None]
"""Connects the connection by its own `connect`."""


def _connect(
    seconds: float,
    on_connected: OnConnected | None,
    connection: http.client.HTTPConnection,
    connect: Callable[[], None],
) -> None:
    silence, connection.timeout = connection.timeout, seconds
    connect()
    connection.sock.settimeout(silence)
    if on_connected:
        on_connected(connection.sock)


class _PlainConnection(http.client.HTTPConnection):
    def __init__(self, connect: _Connect, host: str, **settings: Any) -> None:
        super().__init__(host, **settings)
        self._connect = connect

    def connect(self) -> None:
        self._connect(self, super().connect)


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, connect: _Connect, host: str, **settings: Any) -> None:
        super().__init__(host, **settings)
        self._connect = connect

    def connect(self) -> None:
        self._connect(self, super().connect)


class _Plain(HTTPHandler):
    def __init__(self, connect: _Connect) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_PlainConnection, self._connect), req)


class _Secure(HTTPSHandler):
    def __init__(self, connect: _Connect, certificates: "ssl.SSLContext") -> None:
        super().__init__(context=certificates)
        self._connect = connect
        self._certificates = certificates

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_SecureConnection, self._connect), req, context=self._certificates)


@contextmanager
def _telling() -> Generator[None]:
    """Has the library's errors be those of this module."""
    try:
        yield
    except URLError as error:
        raise NotReachedError(str(error.reason)) from None
    except TimeoutError:
        raise SilentError from None
    except OSError as error:
        raise BrokenOffError(str(error) or type(error).__name__) from None
    except http.client.HTTPException as error:
        early = isinstance(error, http.client.IncompleteRead)
        raise BrokenOffError(IN_THE_MIDDLE if early else NOT_HTTP) from None


def _checked_proxies() -> dict[str, str]:
    """The proxies that the environment names, by scheme. Raises ValueError."""
    proxies = {name: proxy for name, proxy in getproxies().items() if name != "no"}
    everywhere = proxies.pop("all", None)
    if everywhere:
        proxies = {"http": everywhere, "https": everywhere} | proxies
    for proxy in (proxies.get("http"), proxies.get("https")):
        if proxy and "://" in proxy and not proxy.startswith(("http://", "https://")):
            raise ValueError(f"a proxy of the kind {proxy.partition(':')[0]} is not known here")
    return proxies


def _certificates() -> "ssl.SSLContext":
    """Those of this machine, or those that the environment names, wherever the system keeps them. Raises OSError."""
    import httpx2  # noqa: PLC0415 (it takes a while, and a server of this machine has no certificate)

    return httpx2.create_ssl_context()
