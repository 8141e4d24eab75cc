"""What a command says where something else answers at the address of its server."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.local.cli.conftest import Ran, run_command


@contextmanager
def answering(status: int, content: bytes) -> Generator[str]:
    """The address of a server that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name in the standard library)
            """Says nothing of each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def ran(status: int, content: bytes, *arguments: str) -> Ran:
    """The command, asking that server."""
    with answering(status, content) as url:
        done = run_command(arguments, {"BERTH_URL": url})
    return Ran(done.code, done.out, done.err.replace(url, "URL"))


ASKED = ("the server answered /v1/models/loaded with status {}", "and not as Berth does: is that its address?")


@pytest.mark.parametrize(
    ("status", "content", "code"),
    [
        (404, b"404 page not found", 1),
        (404, json.dumps({"detail": "Not Found"}).encode(), 1),
        (404, json.dumps({"error": "not found"}).encode(), 1),
        (400, json.dumps({"error": {"message": 7}}).encode(), 1),
        (302, b"", 1),
        (401, b"<html>Log in</html>", 5),
        (502, b"<html>Bad gateway</html>", 6),
    ],
)
def test_a_refusal_that_is_not_of_berth_is_told_as_that(status: int, content: bytes, code: int) -> None:
    told = ", ".join(ASKED).format(status)
    assert ran(status, content, "ps") == Ran(code, "", f"berth: {told}\n")


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b"null", b'"hello"', b'{"error": "Unexpected endpoint (GET /v1/x)"}']
)
def test_an_answer_that_is_not_of_berth_is_told_as_that(content: bytes) -> None:
    told = "berth: URL is not Berth's address: /v1/models/loaded answered as Berth does not\n"
    assert ran(200, content, "ps") == Ran(1, "", told)


def test_an_answer_that_breaks_off_with_an_error_of_another_server_says_so() -> None:
    done = ran(200, b'data: {"error": "the model is gone"}\n\n', "run", "tiny", "Hi")
    assert done.code == 6
    assert "the stream" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_run_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    name = f"{scheme.upper()}_PROXY"
    environment = {"BERTH_URL": f"{scheme}://models.example", name: "http://127.0.0.1:9"}
    done = run_command(("ps",), environment)
    assert done.code == 4
    assert f"(connection refused) through the proxy of {name}: does that run?" in done.err
    beside = run_command(("ps",), {**environment, "NO_PROXY": "models.example"})
    assert "proxy" not in beside.err


def test_who_puts_a_password_into_the_address_hears_that_it_is_none() -> None:
    done = run_command(("ps", "--url", "http://me:secret@127.0.0.1:9"), {})
    assert done.code == 2
    assert "must be a server's address" in done.err
    assert "secret" not in done.err
