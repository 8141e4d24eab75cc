"""The commands' HTTP against peers that do not answer as they should, and through proxies."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

import pytest

from berth_local.cli.http_client import HttpClient
from berth_local.cli.http_messages import BrokenOffError, NotReachedError, SilentError

Peer = Callable[[socket.socket, bytes], None]
"""What a peer does with a connection, once it has the head of a request."""

Make = Callable[..., HttpClient]

SHORT = 0.2


@pytest.fixture(params=[False, True], ids=["plain", "proxied"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a client, of a server of this machine or of another one."""
    return partial(HttpClient, proxied=request.param)


@contextmanager
def listening(peer: Peer) -> Generator[str]:
    """The address of such a peer, for one connection."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
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


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "^the connection ended in the middle$|^Remote end closed connection without response$"),
        (b"nonsense\r\n\r\n", "^what answers there does not speak HTTP$"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}", "^the connection ended in the middle$"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{}", "^the connection ended in the middle$"),
    ],
)
def test_a_peer_that_hangs_up_in_the_middle(make: Make, said: bytes, reason: str) -> None:
    with (
        listening(says(said)) as url,
        pytest.raises(BrokenOffError, match=reason),
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
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20",
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


@pytest.mark.parametrize(("name", "through"), [("http_proxy", True), ("all_proxy", True), ("https_proxy", False)])
def test_a_proxy_is_gone_through_to_other_machines(
    monkeypatch: pytest.MonkeyPatch, name: str, *, through: bool
) -> None:
    heads: list[bytes] = []

    def proxy(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.delenv(each.upper(), raising=False)
    with listening(proxy) as url:
        target = "http://models.invalid" if through else url
        monkeypatch.setenv(name, url if through else "http://127.0.0.1:1")
        with HttpClient(target).request("GET", "/x", seconds=10) as answer:
            assert answer.status == 200
    assert heads[0].startswith(b"GET http://models.invalid/x " if through else b"GET /x ")


@pytest.mark.parametrize(
    ("environment", "url", "error"),
    [
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "https://models.invalid", OSError),
        ({"HTTPS_PROXY": "socks5://127.0.0.1:1"}, "https://models.invalid", ValueError),
    ],
)
def test_an_environment_that_is_wrong_is_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, error: type[Exception]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error):
        HttpClient(url)
