"""The commands' HTTP against peers that do not answer as they should, and through proxies."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from berth_local.cli.http_client import HttpClient
from berth_local.cli.http_messages import (
    IN_THE_MIDDLE,
    NOT_HTTP,
    BrokenOffError,
    NotReachedError,
    NotTrustedError,
    SilentError,
)
from berth_process.settings_error import SettingsError
from tests.conftest import missing

Peer = Callable[[socket.socket, bytes], None]
"""What a peer does with a connection, once it has the head of a request."""

Make = Callable[..., HttpClient]

SHORT = 0.2


@pytest.fixture(params=[False, True], ids=["plain", "proxied"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a client, of a server of this machine or of another one."""
    return partial(HttpClient, proxied=request.param)


def _secured(connection: socket.socket, certificates: ssl.SSLContext | None) -> socket.socket:
    return certificates.wrap_socket(connection, server_side=True) if certificates else connection


@contextmanager
def listening(peer: Peer, certificates: ssl.SSLContext | None = None) -> Generator[str]:
    """The address of such a peer, for one connection."""

    def serve() -> None:
        accepted, _ = server.accept()
        with suppress(OSError), _secured(accepted, certificates) as connection:
            head = b""
            while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
                head += more
            peer(connection, head)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def says(answer: bytes) -> Peer:
    """A peer that says this and hangs up."""
    return lambda connection, _: connection.sendall(answer)


def ask(url: str) -> object:
    """The JSON that such a peer of another machine answers with."""
    with HttpClient(url).request("GET", "/x", seconds=10) as answer:
        return answer.json()


def waits(connection: socket.socket, _: bytes) -> None:
    """A peer that says nothing until the other side has left."""
    while connection.recv(4096):
        pass


def test_nobody_listens(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(NotReachedError, match="refused"), make(url).request("GET", "/", seconds=SHORT):
        pass


def test_a_peer_that_is_silent(make: Make) -> None:
    with listening(waits) as url, pytest.raises(SilentError), make(url).request("GET", "/", seconds=SHORT):
        pass


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", IN_THE_MIDDLE),
        (b"HTTP/1.1 20", IN_THE_MIDDLE),
        (OK, IN_THE_MIDDLE),
        (b"SSH-2.0-OpenSSH_9.2\r\n", IN_THE_MIDDLE),
        (b"HTTP/1.1 100 Continue\r\n\r\n", IN_THE_MIDDLE),
        (OK + b"content-length: 10\r\n\r\n{}", IN_THE_MIDDLE),
        (OK + b"content-length: 99999999999999999999\r\n\r\n{}", IN_THE_MIDDLE),
        (OK + b"transfer-encoding: chunked\r\n\r\n9\r\n{}", IN_THE_MIDDLE),
        (OK + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}", IN_THE_MIDDLE),
        (OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}", NOT_HTTP),
        (OK + b"content-length: -2\r\n\r\n{}", NOT_HTTP),
        (OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", NOT_HTTP),
        (OK + b"x: %s\r\n\r\n{}" % (b"a" * 1_000_000), NOT_HTTP),
        (b"HTTP/1.1 9999 OK\r\n\r\n{}", NOT_HTTP),
        (b"HTTP/1.1 099 OK\r\n\r\n{}", NOT_HTTP),
        (b"\x00\x1b[31mnonsense\r\n\r\n", NOT_HTTP),
    ],
)
def test_a_peer_whose_answer_is_none(make: Make, said: bytes, why: str) -> None:
    with (
        listening(says(said)) as url,
        pytest.raises(BrokenOffError, match=why),
        make(url).request("GET", "/", seconds=10) as answer,
    ):
        answer.json()


def test_lines_come_as_far_as_they_came(make: Make) -> None:
    lines: list[str] = []
    begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\ndata: 1\r\n1\r\n\n\r\n9\r\nda"
    with (
        listening(says(begun)) as url,
        pytest.raises(BrokenOffError),
        make(url).request("GET", "/", seconds=10) as answer,
    ):
        lines.extend(answer.lines())
    assert lines == ["data: 1"]


def test_lines_are_whole_however_they_come(make: Make) -> None:
    def says_in_pieces(connection: socket.socket, _: bytes) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 20",
            b"0 OK\r\nconnection: close\r\n\r\ndata: \xc3",
            b"\xa4\r",
            b"\n\nend",
        ):
            connection.sendall(piece)

    with listening(says_in_pieces) as url, make(url).request("GET", "/", seconds=10) as answer:
        assert list(answer.lines()) == ["data: ä", "", "end"]


def test_an_address_may_have_a_path(make: Make) -> None:
    heads: list[bytes] = []

    def read(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    with listening(read) as url, make(f"{url}/models").request("GET", "/a", seconds=10) as answer:
        assert answer.json() == {}
    assert heads[0].startswith(b"GET /models/a HTTP/1.1\r\n")
    assert f"\r\nhost: {url.removeprefix('http://')}\r\n".encode() in heads[0].lower()


def test_a_redirection_is_an_answer_like_others(make: Make) -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\n{}"
    with listening(says(moved)) as url, make(url).request("GET", "/", seconds=10) as answer:
        assert (answer.status, answer.json()) == (302, {})


def test_a_request_has_its_key_its_query_and_its_body(make: Make) -> None:
    heads: list[bytes] = []

    def read(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    with listening(read) as url:
        asked = make(url, "k").request("POST", "/a", query={"b": "c d"}, body={"e": "f"}, seconds=10)
        with asked as answer:
            assert answer.json() == {}
    assert heads[0].startswith(b"POST /a?b=c+d HTTP/1.1\r\n")
    for line in (b"Authorization: Bearer k", b"Content-type: application/json", b"Content-length: 10"):
        assert line.lower() in heads[0].lower()


def test_whoever_shuts_the_socket_down_ends_the_wait(make: Make) -> None:
    def leave(connection: socket.socket) -> None:
        threading.Timer(SHORT, connection.shutdown, (socket.SHUT_RDWR,)).start()

    with (
        listening(waits) as url,
        pytest.raises(BrokenOffError),
        make(url).request("GET", "/", seconds=None, on_connected=leave),
    ):
        pass


def test_json_that_is_nested_too_deeply_is_none(make: Make) -> None:
    nested = b"[" * 100_000
    said = OK + b"content-length: %d\r\n\r\n" % len(nested) + nested
    with (
        listening(says(said)) as url,
        make(url).request("GET", "/", seconds=10) as answer,
        pytest.raises(ValueError, match="nested"),
    ):
        answer.json()


def test_who_refuses_a_long_request_before_it_has_come_is_heard(make: Make) -> None:
    def refuse(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        connection.shutdown(socket.SHUT_RD)  # the kernel answers what still comes with a reset

    long = {"image": "a" * 50_000_000}
    with listening(refuse) as url, make(url).request("POST", "/", body=long, seconds=10) as answer:
        assert (answer.status, answer.json()) == (413, {})


@pytest.mark.parametrize("host", ["a..b", "a" * 64, ".invalid"])
def test_a_name_that_no_host_can_have(make: Make, host: str) -> None:
    with (
        pytest.raises(NotReachedError, match="no host has such a name"),
        make(f"http://{host}").request("GET", "/", seconds=SHORT),
    ):
        pass


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.delenv(each.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(("name", "through"), [("http_proxy", True), ("all_proxy", True), ("https_proxy", False)])
def test_a_proxy_is_gone_through_to_other_machines(
    monkeypatch: pytest.MonkeyPatch, name: str, *, through: bool
) -> None:
    heads: list[bytes] = []

    def proxy(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    with listening(proxy) as url:
        target = "http://models.invalid" if through else url
        monkeypatch.setenv(name, url if through else "http://127.0.0.1:1")
        with HttpClient(target).request("GET", "/x", seconds=10) as answer:
            assert answer.status == 200
    assert heads[0].startswith(b"GET http://models.invalid/x " if through else b"GET /x ")


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_is_told_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def proxy(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

    for scheme, begins in (("http", b"GET http://models.invalid/x "), ("https", b"CONNECT models.invalid:443 ")):
        with listening(proxy) as url:
            monkeypatch.setenv(f"{scheme}_proxy", url.replace("://", "://me%40here:a%3Ab@") + "/")
            with pytest.raises(NotReachedError, match="another name and password") as raised:
                ask(f"{scheme}://models.invalid")
        assert raised.value.proxy == f"{scheme}_proxy"
        assert heads[-1].startswith(begins)
        assert b"\r\nproxy-authorization: basic bwvaagvyztphomi=\r\n" in heads[-1].lower()  # me@here:a:b


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "the proxy refused with status 502"),
        (b"HTTP/1.1 200 OK\r\n\r\nnonsense", "it does not speak TLS"),
        (b"nonsense\r\n\r\n", NOT_HTTP),
        (b"", IN_THE_MIDDLE),
    ],
)
def test_a_proxy_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, answer: bytes, why: str) -> None:
    def proxy(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        waits(connection, b"")

    with listening(proxy) as url:
        monkeypatch.setenv("ALL_PROXY", url)
        with pytest.raises(NotReachedError, match=why) as raised:
            ask("https://models.invalid")
    assert raised.value.proxy == "ALL_PROXY"


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    "proxy",
    [
        "http://",
        "::::",
        "http://[::1",
        "http://host:port",
        "http://host:99999",
        "http://a b:80",
        "http:/127.0.0.1:80",
        "socks5://127.0.0.1:1",
        "https://127.0.0.1:1",
    ],
)
def test_a_proxy_that_can_be_none_is_told_where_it_would_be_used(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(SettingsError, match=r"^HTTP_PROXY is .*: it must be like http://proxy\.example\.com:3128$"):
        HttpClient("http://models.invalid")
    HttpClient("http://127.0.0.1:1", proxied=False)
    for beside in ("models.invalid:8080", "models.invalid", "*"):
        monkeypatch.setenv("NO_PROXY", beside)
        HttpClient("http://models.invalid:8080")


def test_certificates_that_cannot_be_read_are_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(OSError, match="No such file"):
        HttpClient("https://models.invalid")


@pytest.mark.usefixtures("no_proxies")
def test_a_certificate_counts_where_its_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        missing("openssl", "install it: it makes a certificate")
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1"
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([program, *command.split(), *files], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    says_ok = says(OK + b"content-length: 2\r\n\r\n{}")

    with listening(says_ok, server) as url, pytest.raises(NotTrustedError, match="self-signed certificate"):
        ask(url.replace("http:", "https:"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with listening(says_ok, server) as url:
        assert ask(url.replace("http:", "https:")) == {}
