"""Why the hub cannot be reached, and which variable may help: pure."""

import socket
import ssl
from collections.abc import Iterator, Mapping

import httpx2

_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")

_CERTIFICATE = (
    "its certificate is of no authority that this machine trusts: behind a proxy with an authority of its own,"
    " SSL_CERT_FILE must name the file of that authority's certificate"
)
_NO_NAME = (
    "its name cannot be found: is this machine online? HTTPS_PROXY names a proxy to go through, HF_ENDPOINT a mirror"
)
OFFLINE = "HF_HUB_OFFLINE is set, so that nothing is asked of it: unset it to fetch models"


def why_unreachable(error: BaseException, environment: Mapping[str, str]) -> str:
    """What has gone wrong, in a sentence that names the variable. `error`: of the client; its own text may be long."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return _CERTIFICATE
    proxy = next((name for name in _PROXIES if environment.get(name)), None)
    if proxy and any(isinstance(cause, httpx2.ProxyError | httpx2.ConnectError) for cause in causes):
        return f"the connection through the proxy of {proxy} failed: is that proxy right, and does it run?"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return _NO_NAME
    if isinstance(error, httpx2.TimeoutException):
        return "it did not answer in time: where only a proxy leads out, HTTPS_PROXY must name it"
    refused = any(isinstance(cause, ConnectionRefusedError) for cause in causes)
    what = "the connection was refused" if refused else f"the connection failed ({type(error).__name__})"
    return f"{what}: HTTPS_PROXY names a proxy to go through, HF_ENDPOINT a mirror"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what has led to it."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
