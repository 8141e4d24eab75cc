"""Who is offline, or behind a proxy, hears the cause and the variable."""

import socket
import ssl
from collections.abc import Mapping

import httpx2
import pytest

from berth_hub.connection_causes import why_unreachable
from berth_hub.errors import HubOfflineError
from berth_hub.listing import list_repository


def failed(cause: Exception) -> Exception:
    """The client's error, with its cause two steps behind it."""
    try:
        try:
            try:
                raise cause
            except Exception as first:
                raise OSError("wrapped") from first
        except OSError as second:
            raise httpx2.ConnectError("failed") from second
    except httpx2.ConnectError as error:
        return error


@pytest.mark.parametrize(
    ("error", "environment", "says"),
    [
        (failed(ssl.SSLCertVerificationError("self-signed certificate")), {}, "SSL_CERT_FILE must name the file"),
        (failed(socket.gaierror(-2, "Name or service not known")), {}, "is this machine online? HTTPS_PROXY names"),
        (failed(ConnectionRefusedError()), {}, "the connection was refused: HTTPS_PROXY names"),
        (failed(ConnectionRefusedError()), {"https_proxy": "http://p:1"}, "through the proxy of https_proxy failed"),
        (failed(ssl.SSLCertVerificationError("")), {"HTTPS_PROXY": "http://p:1"}, "SSL_CERT_FILE"),
        (httpx2.ConnectTimeout("slow"), {}, "it did not answer in time"),
        (httpx2.ReadError("cut"), {}, "the connection failed (ReadError)"),
    ],
)
def test_the_cause_and_the_variable_are_named(error: Exception, environment: Mapping[str, str], says: str) -> None:
    assert says in why_unreachable(error, environment)


def test_a_client_that_is_told_to_be_offline_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubOfflineError, match="HF_HUB_OFFLINE is set") as raised:
        list_repository("acme/tiny", "main", "http://127.0.0.1:9", None)
    assert raised.value.permanent, "no other try would help"
