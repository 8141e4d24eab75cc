"""API keys: who is admitted, and what the others hear."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import orjson
import pytest
from pydantic import ValidationError

from berth_router import auth
from berth_router.auth import ApiKeys, KeyScope
from berth_router.errors import AuthenticationError
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.settings import RouterSettings
from tests.instruments import InstrumentedCluster
from tests.unit.router.conftest import MODEL, PROMPT, Reply, Serving, served
from tests.unit.router.engine import Engine

CLIENT = "client-key-1"
MANAGER = "manager-key-1"
ADMIN = "admin-key-1"
SCOPES = {
    "admin": [KeyScope.INFERENCE, KeyScope.MANAGE],
    "client": [KeyScope.INFERENCE],
    "manager": [KeyScope.MANAGE],
}
ANY = {ADMIN, CLIENT, MANAGER}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mounted Secret."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, key in (("admin", ADMIN), ("client", CLIENT + "\n"), ("manager", MANAGER), ("unnamed", "unnamed-key")):
        (folder / name).write_text(key)
    return folder


@pytest.fixture
async def guarded(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings, folder: Path
) -> AsyncIterator[Serving]:
    """A router that asks for keys."""
    guarded = settings.model_copy(update={"api_keys_dir": folder, "api_key_scopes": SCOPES})
    async with served(cluster, engine, guarded) as running:
        await running.until_ready()
        yield running


async def ask(serving: Serving, method: str, path: str, header: str = "") -> Reply:
    return await serving.raw(method, path, headers=f"{header}\r\n" if header else "")


@pytest.mark.covers(
    "the inference paths",
    "GET /v1/models, GET /v1/models/{name}",
    "/v1/models/load, /models/load",
    "everything else below /v1/models/, /models/unload",
    "everything else",
)
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/models", ANY),
        ("GET", "/v1/models/loaded", {ADMIN, MANAGER}),
        ("GET", "/v1/models/stats", {ADMIN, MANAGER}),
        ("GET", "/v1/models/inventory", {ADMIN, MANAGER}),
        ("POST", "/v1/models/unload", {ADMIN, MANAGER}),
        ("POST", "/v1/models/unload-all", {ADMIN, MANAGER}),
        ("GET", "/v1/models/tiny", ANY),
        ("GET", "/v1/models//models/tiny", ANY),
        ("GET", "/v1/models/loaded/", {ADMIN, MANAGER}),
        ("GET", "/v1/models/%6coaded", {ADMIN, MANAGER}),
        ("POST", "/v1/models/tiny", {ADMIN, MANAGER}),
        ("DELETE", "/v1/models/tiny", {ADMIN, MANAGER}),
        ("POST", "/v1/models/load", {ADMIN, CLIENT}),
        ("POST", "/models/load", {ADMIN, CLIENT}),
        ("POST", "/models/unload", {ADMIN, MANAGER}),
        ("GET", "/models", ANY),
        ("GET", "/no/such/path", ANY),
        *(("POST", path, {ADMIN, CLIENT}) for path in INFERENCE_PATHS),
    ],
)
async def test_a_key_opens_what_its_scopes_say(guarded: Serving, method: str, path: str, allowed: set[str]) -> None:
    for key in ANY:
        reply = await ask(guarded, method, path, f"Authorization: Bearer {key}")
        assert (reply.status == 403) is (key not in allowed), (key, reply.status)
    assert (await ask(guarded, method, path)).status == 401


async def test_what_the_api_manages_below_models_is_no_models_name(guarded: Serving) -> None:
    paths = [path for path in guarded.router.openapi()["paths"] if path.startswith("/v1/models/")]
    assert len(paths) > 8
    for path in paths:
        if path not in ("/v1/models/{name}", "/v1/models/load"):
            reply = await ask(guarded, "GET", path, f"x-api-key: {CLIENT}")
            assert reply.status == 403, path


@pytest.mark.covers("/, /health, /healthz, /readyz, /metrics, /docs, /openapi.json")
@pytest.mark.parametrize(
    "path", ["/", "/health", "/healthz", "/readyz", "/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json"]
)
async def test_probes_metrics_and_the_docs_need_no_key(guarded: Serving, path: str) -> None:
    assert (await ask(guarded, "GET", path)).status == 200


@pytest.mark.covers("401, WWW-Authenticate: Bearer")
@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "missing_api_key"),
        ("Authorization: Basic YTpi", "missing_api_key"),
        ("Authorization: Bearer ", "missing_api_key"),
        ("Authorization: Bearer wrong", "invalid_api_key"),
        (f"Authorization: Bearer {CLIENT}x", "invalid_api_key"),
        (f"Authorization: Bearer {CLIENT[:-1]}", "invalid_api_key"),
        ("Authorization: Bearer unnamed-key", "invalid_api_key"),
        ("x-api-key: wrong", "invalid_api_key"),
    ],
)
async def test_without_a_valid_key_the_answer_is_openais_401(guarded: Serving, header: str, code: str) -> None:
    reply = await ask(guarded, "POST", "/v1/chat/completions", header)
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]


@pytest.mark.covers("403")
async def test_without_the_scope_the_answer_is_openais_403(guarded: Serving) -> None:
    reply = await ask(guarded, "POST", "/v1/models/unload-all", f"Authorization: Bearer {CLIENT}")
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["type"], error["code"]) == (403, "invalid_request_error", "missing_scope")
    assert "`manage`" in error["message"]


@pytest.mark.parametrize("header", [f"authorization: bearer  {CLIENT}", f"x-api-key: {CLIENT}", f"X-Api-Key: {CLIENT}"])
async def test_the_ways_to_send_a_key(guarded: Serving, header: str) -> None:
    assert (await ask(guarded, "GET", "/v1/models", header)).status == 200


@pytest.mark.covers("in /v1/messages")
async def test_a_client_of_anthropics_api_gets_its_refusals(guarded: Serving) -> None:
    for header, status, kind in (("", 401, "authentication_error"), (f"x-api-key: {MANAGER}", 403, "permission_error")):
        reply = await ask(guarded, "POST", "/v1/messages", header)
        error = orjson.loads(reply.body)
        assert (reply.status, error["type"], error["error"]["type"]) == (status, "error", kind)


async def test_openais_client_sends_its_key_and_understands_the_refusal(guarded: Serving) -> None:
    client = guarded.client.with_options(api_key=CLIENT)
    asking = asyncio.create_task(client.chat.completions.create(model=MODEL, messages=PROMPT))
    await guarded.make_ready(await guarded.created())
    assert (await asking).choices[0].message.content == "Paris."
    assert CLIENT not in str(guarded.engine.calls[0].headers)
    with pytest.raises(openai.AuthenticationError):
        await guarded.client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.PermissionDeniedError):
        await guarded.client.with_options(api_key=MANAGER).chat.completions.create(model=MODEL, messages=PROMPT)


@pytest.fixture
def often_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REREAD_SECONDS", 0.01)


@pytest.mark.usefixtures("often_read")
async def test_a_changed_secret_holds_without_a_restart(guarded: Serving, folder: Path) -> None:
    (folder / "manager").unlink()
    (folder / "client").write_text("client-key-2")
    async with asyncio.timeout(10):
        while (await ask(guarded, "GET", "/v1/models", "x-api-key: client-key-2")).status != 200:
            pass
    for key in (CLIENT, MANAGER):
        assert (await ask(guarded, "GET", "/v1/models", f"x-api-key: {key}")).status == 401


def test_keys_that_cannot_be_read_for_a_moment_stay_valid(folder: Path) -> None:
    keys = ApiKeys(folder, SCOPES)
    keys.read()
    folder.rename(folder.with_name("away"))
    with pytest.raises(OSError, match="keys"):
        keys.read()
    assert _valid(keys, CLIENT)


def test_a_key_that_cannot_be_read_stays_valid_and_keeps_no_other_one_out(folder: Path) -> None:
    keys = ApiKeys(folder, SCOPES)
    keys.read()
    (folder / "client").unlink()
    (folder / "client").mkdir()
    (folder / "admin").write_text("another-key")
    keys.read()
    assert _valid(keys, CLIENT)
    assert _valid(keys, "another-key")
    (folder / "client").rmdir()
    keys.read()
    assert not _valid(keys, CLIENT)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", b"a\nb", "schl\u00fcssel".encode()])
def test_whatever_is_in_a_key_file_the_others_are_read(folder: Path, content: bytes) -> None:
    (folder / "admin").write_bytes(content)
    keys = ApiKeys(folder, SCOPES)
    keys.read()
    assert _valid(keys, CLIENT)


async def test_a_fault_while_keys_are_read_ends_no_router(
    cluster: InstrumentedCluster,
    engine: Engine,
    settings: RouterSettings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("berth_router.auth.REREAD_SECONDS", 0.05)
    guarded = settings.model_copy(update={"api_keys_dir": folder, "api_key_scopes": SCOPES})
    async with served(cluster, engine, guarded) as running:
        await running.until_ready()
        failed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def failing(keys: ApiKeys) -> None:
            loop.call_soon_threadsafe(failed.set)
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a fault that nobody expected")

        monkeypatch.setattr(ApiKeys, "read", failing)
        for _ in range(2):
            failed.clear()
            async with asyncio.timeout(10):
                await failed.wait()
        assert (await ask(running, "GET", "/healthz")).status == 200
        assert (await ask(running, "GET", "/v1/models", f"x-api-key: {CLIENT}")).status == 200


def test_an_empty_key_lets_nobody_in(folder: Path) -> None:
    (folder / "client").write_text("\n")
    keys = ApiKeys(folder, SCOPES)
    keys.read()
    for empty in (b"", b" ", b"Bearer", b"Bearer "):
        with pytest.raises(AuthenticationError):
            keys.check([(b"authorization", empty), (b"x-api-key", b"")], auth.ANY_SCOPE)


async def test_no_key_is_ever_logged(guarded: Serving, capfd: pytest.CaptureFixture[str]) -> None:
    for key in (CLIENT, "wrong-key-1"):
        await ask(guarded, "POST", "/v1/models/unload-all", f"Authorization: Bearer {key}")
    printed = "".join(capfd.readouterr())
    assert "key-1" not in printed


def test_keys_without_any_scope_are_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="BERTH_API_KEY_SCOPES gives no key any scope"):
        RouterSettings.model_validate({"api_keys_dir": tmp_path})
    with pytest.raises(ValidationError, match="api_key_scopes"):
        RouterSettings.model_validate({"api_keys_dir": tmp_path, "api_key_scopes": {"../etc": ["manage"]}})


def _valid(keys: ApiKeys, key: str) -> bool:
    try:
        keys.check([(b"authorization", f"Bearer {key}".encode())], auth.ANY_SCOPE)
    except AuthenticationError:
        return False
    return True
