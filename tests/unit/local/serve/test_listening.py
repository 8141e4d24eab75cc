"""Where the server listens, and whom that lets in."""

import socket

import pytest

from berth_local.serve.listening import listen, resolve, url_of
from berth_local.serve.state import StartError, WrongOptionError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    with listen(resolve(host, 0, has_key=False)) as listener:
        assert url_of(listener).startswith(("http://127.0.0.", "http://[::1]"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_need_one(host: str) -> None:
    with pytest.raises(WrongOptionError, match="BERTH_API_KEY"):
        resolve(host, 8080, has_key=False)
    assert resolve(host, 8080, has_key=True).port == 8080


def test_what_listens_everywhere_is_reached_here() -> None:
    with listen(resolve("0.0.0.0", 0, has_key=True)) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_port_that_is_taken_is_told_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            StartError, match=rf"port {port} of 127\.0\.0\.1 cannot be used: [^()]*; name another with --port"
        ):
            listen(resolve("127.0.0.1", port, has_key=False))


HOSTS = ["no-such-host.invalid", "no-such-host-" + "x" * 70, "no-such-host..", "no-such-host\udcff"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_none_is_told(host: str) -> None:
    with pytest.raises(WrongOptionError, match="no-such-host"):
        resolve(host, 0, has_key=False)
