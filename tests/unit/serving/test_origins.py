"""Web pages: those of this machine may ask, a foreign one may not, and none may under a name of its own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from berth_router.auth import KeyScope
from berth_router.serving.origins import OF_PROGRAMS, OF_THIS_MACHINE, OriginPolicy, is_host_pattern, is_origin_pattern
from berth_router.settings import RouterSettings
from tests.instruments import InstrumentedCluster
from tests.unit.router.conftest import MODEL, Serving, served
from tests.unit.router.engine import Engine
from tests.unit.serving.conftest import Raw
from tests.unit.serving.raw_engine import EVENTS
from tests.unit.serving.wire import Answer, Wire, chat, request

PAGE = "http://localhost:3000"
FOREIGN = "https://evil.example"
KEY = "sk-a-key-of-the-test"


async def ask(raw: Raw | Serving, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    with await Wire.connect(raw.port) as wire:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = f"content-length: {len(body)}\r\n" if body else ""
        await wire.send(f"{method} {path} HTTP/1.1\r\nhost: localhost:8080\r\n{length}{lines}\r\n".encode() + body)
        return await wire.answer()


def preflight(origin: str, headers: str = "authorization, content-type, x-stainless-os") -> dict[str, str]:
    return {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": headers}


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        (PAGE, True),
        ("https://localhost:8443", True),
        ("http://app.localhost:5173", True),
        ("http://127.0.0.1:5500", True),
        ("http://[::1]:80", True),
        ("tauri://localhost", True),
        ("vscode-webview://1a2b3c", True),
        (FOREIGN, False),
        ("null", False),
        ("", False),
        ("http://localhost.evil.example", False),
        ("http://localhost:3000.evil.example", False),
        ("http://evil.example/http://localhost", False),
        ("http://127.0.0.1.evil.example:80", False),
        ("http://localhost:", False),
        ("http://localhost:3000\u00e9", False),
    ],
)
def test_which_pages_may_ask(origin: str, allowed: bool) -> None:
    assert OriginPolicy([*OF_THIS_MACHINE, *OF_PROGRAMS]).allows(origin.encode()) is allowed


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("https://chat.example.com", "https://chat.example.com", True),
        ("https://chat.example.com", "https://chat.example.com:8443", False),
        ("https://chat.example.com", "http://chat.example.com", False),
        ("https://chat.example.com", "https://chatxexample.com", False),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://evilexample.com", False),
        ("*", FOREIGN, True),
    ],
)
def test_patterns_of_origins(pattern: str, origin: str, allowed: bool) -> None:
    assert is_origin_pattern(pattern)
    assert OriginPolicy([pattern]).allows(origin.encode()) is allowed


@pytest.mark.parametrize("text", ["example.com", "https://", "https://a b", "https://a/path", "http://*x", "", "**"])
def test_what_is_no_pattern_of_an_origin(text: str) -> None:
    assert not is_origin_pattern(text)


@pytest.mark.parametrize(("text", "fits"), [("berth.example.com", True), ("*.x", True), ("a:80", False), ("*", False)])
def test_patterns_of_hosts(text: str, fits: bool) -> None:
    assert is_host_pattern(text) is fits


async def test_a_browser_is_told_before_any_key_that_a_page_of_this_machine_may_ask(raw: Raw) -> None:
    answer = await ask(raw, "OPTIONS", "/v1/chat/completions", preflight(PAGE))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
    foreign = await ask(raw, "OPTIONS", "/v1/chat/completions", preflight(FOREIGN))
    assert foreign.status == 403
    assert "access-control-allow-origin" not in foreign.headers


async def test_a_page_of_this_machine_reads_answers_streams_and_errors(raw: Raw) -> None:
    for path in ("/v1/models", "/nowhere"):
        answer = await ask(raw, "GET", path, {"origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "origin"
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(chat(MODEL, stream=True), headers=f"origin: {PAGE}\r\n"))
        engine = await raw.asked()
        engine.send(EVENTS + b"access-control-allow-origin: *\r\ncontent-length: 14\r\n\r\ndata: [DONE]\n\n")
        answer = await wire.answer()
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, PAGE)


@pytest.mark.covers("403 origin_not_allowed, host_not_allowed")
async def test_without_keys_a_foreign_page_does_nothing(raw: Raw) -> None:
    for method, path in (("POST", "/v1/models/unload-all"), ("GET", "/v1/models"), ("POST", "/v1/chat/completions")):
        answer = await ask(raw, method, path, {"origin": FOREIGN, "content-type": "text/plain"}, b"{}")
        assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in answer.headers


async def test_a_page_of_the_server_itself_asks_as_it_likes(raw: Raw) -> None:
    answer = await ask(raw, "GET", "/v1/models", {"origin": "http://localhost:8080"})
    assert answer.status == 200


@pytest.mark.covers("403 origin_not_allowed, host_not_allowed")
async def test_a_page_that_came_under_a_name_of_its_own_reads_nothing(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings
) -> None:
    hosts = {"allowed_hosts": ("localhost", "*.localhost", "box")}
    async with served(cluster, engine, settings.model_copy(update=hosts)) as running:
        for host, status in (
            ("localhost:8080", 200),
            ("LOCALHOST", 200),
            ("box:1", 200),
            ("a.localhost", 200),
            ("127.0.0.1:8080", 200),
            ("[::1]:8080", 200),
            ("evil.example:8080", 403),
            ("localhost.evil.example", 403),
            ("", 403),
        ):
            with await Wire.connect(running.port) as wire:
                await wire.send(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
                answer = await wire.answer()
                assert answer.status == status, host
                if status == 403:
                    assert answer.error["code"] == "host_not_allowed"


async def test_a_client_of_http_1_0_needs_no_host(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings
) -> None:
    async with served(cluster, engine, settings.model_copy(update={"allowed_hosts": ("localhost",)})) as running:
        for lines, status in (("", 200), ("host: evil.example\r\n", 403), (f"origin: {FOREIGN}\r\n", 403)):
            with await Wire.connect(running.port) as wire:
                await wire.send(f"GET /v1/models HTTP/1.0\r\n{lines}\r\n".encode())
                assert (await wire.answer()).status == status, lines


async def test_with_keys_a_foreign_page_needs_one_and_reads_no_answer(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "client").write_text(KEY)
    changed = {"api_keys_dir": folder, "api_key_scopes": {"client": list(KeyScope)}, "allowed_hosts": ()}
    async with served(cluster, engine, settings.model_copy(update=changed)) as running:
        page = {"origin": PAGE}
        refused = await ask(running, "GET", "/v1/models", page)
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, PAGE)
        assert (await ask(running, "OPTIONS", "/v1/models", preflight(PAGE))).status == 204
        for origin, allowed in ((PAGE, PAGE), (FOREIGN, None)):
            answer = await ask(running, "GET", "/v1/models", {"origin": origin, "authorization": f"Bearer {KEY}"})
            assert (answer.status, answer.headers.get("access-control-allow-origin")) == (200, allowed)
