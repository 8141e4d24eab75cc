"""HTTP to other machines: through proxies, and encrypted where the address says so."""

import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from berth_local.cli.http_exchange import ExchangedAnswer
from berth_local.cli.http_messages import (
    BrokenOffError,
    HttpRequest,
    NotReachedError,
    NotTrustedError,
    SilentError,
    reason_of,
)
from berth_local.cli.plain_http import connected
from berth_local.cli.proxies import proxy_for

_PORTS = {"http": 80, "https": 443}
_NO_PASSWORD = 407


class ProxiedHttp:
    """A Transport. `url`: the server's address. `proxied`: the environment's proxies count.

    Raises OSError where the certificates that the environment names cannot be read, and SettingsError for a proxy that
    is none.
    """

    def __init__(self, url: str, *, proxied: bool) -> None:
        parts = urlsplit(url)
        self._name = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._host = parts.netloc
        self._certificates = _certificates() if parts.scheme == "https" else None
        self._proxy = proxy_for(parts.scheme, parts.netloc) if proxied else None
        # A proxy is told the whole address, unless it only passes on what it cannot read.
        whole = self._proxy and not self._certificates
        self._prefix = f"http://{parts.netloc}{parts.path}" if whole else parts.path
        self._headers = {"Host": self._host, **(self._proxy.headers if self._proxy and whole else {})}

    @contextmanager
    def ask(self, request: HttpRequest) -> Generator[ExchangedAnswer]:
        """The answer."""
        with self._connected(request.connect_seconds) as connection:
            connection.settimeout(request.seconds)
            if request.on_connected:
                request.on_connected(connection)
            target, headers = self._prefix + request.path, {**self._headers, **request.headers}
            answer = ExchangedAnswer(connection, request.method, target, headers, request.content)
            if self._proxy and answer.status == _NO_PASSWORD:
                raise self._refused(answer.status)
            yield answer

    def _connected(self, seconds: float) -> socket.socket:
        try:
            connection = connected(self._proxy.address if self._proxy else (self._name, self._port), seconds)
            try:
                return self._secured(connection, self._certificates) if self._certificates else connection
            except BaseException:
                connection.close()
                raise
        except NotReachedError as error:
            error.proxy = self._proxy.variable if self._proxy else None
            raise

    def _secured(self, connection: socket.socket, certificates: ssl.SSLContext) -> socket.socket:
        if self._proxy:
            self._tunnel(connection, self._proxy.headers)
        try:
            return certificates.wrap_socket(connection, server_hostname=self._name)
        except ssl.SSLCertVerificationError as error:
            raise NotTrustedError(error.verify_message[:1].lower() + error.verify_message[1:].rstrip(".")) from None
        except ssl.SSLError:
            raise NotReachedError("it does not speak TLS, as https:// asks for") from None
        except OSError as error:
            raise NotReachedError(reason_of(error)) from None

    def _tunnel(self, connection: socket.socket, headers: dict[str, str]) -> None:
        """Has the proxy pass on all that follows."""
        host = f"[{self._name}]" if ":" in self._name else self._name
        place = f"{host}:{self._port}"
        try:
            answer = ExchangedAnswer(connection, "CONNECT", place, {"Host": place, **headers}, None)
        except SilentError:
            raise NotReachedError("the proxy did not answer in time") from None
        except BrokenOffError as error:
            raise NotReachedError(str(error)) from None
        if not 200 <= answer.status < 300:
            raise self._refused(answer.status)

    def _refused(self, status: int) -> NotReachedError:
        variable = self._proxy.variable if self._proxy else None
        if status == _NO_PASSWORD:
            return NotReachedError(
                "the proxy asks for another name and password, as in http://NAME:PASSWORD@HOST", variable
            )
        return NotReachedError(f"the proxy refused with status {status}", variable)


def _certificates() -> ssl.SSLContext:
    """Those of this machine, or those that the environment names, wherever the system keeps them. Raises OSError."""
    import httpx2  # noqa: PLC0415 (it takes a while, and a server without encryption has no certificate)

    context = httpx2.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
