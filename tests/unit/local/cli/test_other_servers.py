"""What a command says where something else answers at the address of its server."""

import json
import threading

import pytest

from tests.unit.local.cli.conftest import Ran, run_command
from tests.unit.local.cli.other_server import answering


def ran(status: int, content: bytes, *arguments: str) -> Ran:
    """The command, asking that server."""
    with answering(lambda _: (status, content)) as url:
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
        (400, json.dumps({"error": {"message": "m", "code": ["x"]}}).encode(), 1),
        (302, b"", 1),
        (401, b"<html>Log in</html>", 5),
        (502, b"<html>Bad gateway</html>", 6),
    ],
)
def test_a_refusal_that_is_not_of_berth_is_told_as_that(status: int, content: bytes, code: int) -> None:
    told = ", ".join(ASKED).format(status)
    assert ran(status, content, "ps") == Ran(code, "", f"berth: {told}\n")


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b"null",
        b'"hello"',
        b'{"loaded_models": [{}]}',
        b'{"error": "Unexpected endpoint (GET /v1/x)"}',
    ],
)
def test_an_answer_that_is_not_of_berth_is_told_as_that(content: bytes) -> None:
    told = "berth: URL is not Berth's address: /v1/models/loaded answered as Berth does not\n"
    assert ran(200, content, "ps") == Ran(1, "", told)


def test_a_page_in_place_of_an_answer_is_told_as_that() -> None:
    told = "berth: URL is not Berth's address: /v1/chat/completions answered as Berth does not\n"
    assert ran(200, b"<html>Log in</html>", "run", "tiny", "Hi") == Ran(1, "", told)


@pytest.mark.parametrize("rest", ["?x=1", "#x", "/v1?x=1"])
def test_an_address_that_is_a_whole_request_is_none(rest: str) -> None:
    done = run_command(("ps", "--url", f"http://127.0.0.1:9{rest}"), {})
    assert done.code == 2
    assert "must be a server's address" in done.err


@pytest.mark.parametrize("host", ["LOCALHOST", "[::1]", "127.1"])
def test_no_proxy_is_asked_for_this_machine(host: str) -> None:
    done = run_command(("ps", "--url", f"http://{host}:9"), {"HTTP_PROXY": "http://127.0.0.1:8", "NO_PROXY": ""})
    assert done.code == 4
    assert "proxy" not in done.err


def test_a_server_that_is_silent_is_named_while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_local.cli.client._PATIENCE_SECONDS", 0.05)
    told = threading.Event()
    noted: list[str] = []

    def note(text: str) -> None:
        noted.append(text)
        told.set()

    monkeypatch.setattr("berth_local.cli.client.print_note", note)

    def answer_then(_: str) -> tuple[int, bytes]:
        told.wait(10)
        return 200, b'{"loaded_models": []}'

    with answering(answer_then) as url:
        assert run_command(("ps",), {"BERTH_URL": url}).code == 0
    assert noted == [f"{url} has not answered yet; Ctrl-C ends the wait"]


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
