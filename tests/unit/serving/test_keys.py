"""What a client without a key may cost, and a client whose key has many requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from berth_router.auth import KeyScope
from berth_router.settings import Settings
from tests.instruments import InstrumentedCluster
from tests.unit.router.conftest import MODEL, Serving, served
from tests.unit.router.engine import Call, Engine
from tests.unit.serving.conftest import called
from tests.unit.serving.wire import Wire, chat, get, request

ALICE, BOB = ({"headers": f"Authorization: Bearer {key}\r\n"} for key in ("key-of-alice", "key-of-bob"))
MOST = 3


@pytest.fixture
def with_keys(settings: Settings, tmp_path: Path) -> Settings:
    """Two keys, each with three requests in hand at most."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("alice", "bob"):
        (folder / name).write_text(f"key-of-{name}")
    scopes = {"alice": list(KeyScope), "bob": list(KeyScope)}
    changed = {"api_keys_dir": folder, "api_key_scopes": scopes, "max_requests_per_key": MOST}
    return settings.model_copy(update=changed)


@pytest.fixture
async def guarded(cluster: InstrumentedCluster, engine: Engine, with_keys: Settings) -> AsyncIterator[Serving]:
    """A router that needs a key, and a model that runs."""
    async with served(cluster, engine, with_keys) as running:
        await running.until_ready()
        with await Wire.connect(running.port) as wire:
            await wire.send(request(chat(MODEL), **ALICE))
            await running.make_ready(await running.created())
            assert (await wire.answer()).status == 200
        yield running


async def test_a_body_without_a_key_is_not_read(guarded: Serving) -> None:
    # A body that came with its head need not be read, and ends nothing.
    with await Wire.connect(guarded.port) as wire:
        for data, status in ((request(b"{}"), 401), (request(b"{}", path="/healthz"), 413), (get("/healthz"), 200)):
            answer = await wire.ask(data)
            assert (answer.status, answer.closes) == (status, False)
    for data, status in (
        (request(path="/healthz", headers="Content-Length: 1000\r\n"), 413),
        (request(path="/metrics", headers="Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n", 413),
        (request(path="/healthz", headers="Transfer-Encoding: chunked\r\n"), 413),
        (request(path="/healthz", headers="Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n") + b"5;", 413),
        (request(headers="Content-Length: 1000\r\n"), 401),
        (request(headers="Content-Length: 1000\r\nAuthorization: Bearer wrong\r\n"), 401),
        (request(path="/v1/models/unload", headers="Content-Length: 1000\r\n"), 401),
        (request(path="/nowhere", headers="Content-Length: 1000\r\n"), 401),
    ):
        with await Wire.connect(guarded.port) as wire:
            answer = await wire.ask(data)
            assert (answer.status, answer.closes, guarded.server.body_budget.reserved) == (status, True, 0), data
            assert await wire.closed()


async def test_a_key_has_so_many_requests_in_hand_and_no_more(guarded: Serving) -> None:
    go_on = asyncio.Event()

    async def wait(call: Call) -> None:
        await go_on.wait()
        await call.answer()

    guarded.engine.behaviour = wait
    with ExitStack() as stack:
        wires = [stack.enter_context(await Wire.connect(guarded.port)) for _ in range(20)]
        for wire in wires[:MOST]:
            await wire.send(request(chat(MODEL), **ALICE))
        await called(guarded.engine, 1 + MOST)
        for wire in wires[MOST:]:
            for data in (request(chat(MODEL), **ALICE), get("/v1/models", **ALICE)):
                answer = await wire.ask(data)
                assert (answer.status, answer.error["code"]) == (429, "too_many_requests")
                assert (answer.error["type"], answer.headers["retry-after"]) == ("rate_limit_error", "5")
                assert "'alice'" in answer.error["message"]
        # Another key's requests are its own, and a refused connection is as good as before.
        asking = asyncio.create_task(wires[-1].ask(request(chat(MODEL), **BOB)))
        await called(guarded.engine, 1 + MOST + 1)
        go_on.set()
        assert (await asking).status == 200
        for wire in wires[:MOST]:
            assert (await wire.answer()).status == 200
        for wire in wires:
            assert (await wire.ask(request(chat(MODEL), **ALICE))).status == 200
