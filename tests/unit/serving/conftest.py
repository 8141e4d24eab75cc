"""The router's byte path on real sockets, on both event loops that it runs on.

`berth-router` and `berth up` use uvloop; `berth run` uses asyncio's own loop in its background (only CI=true tries it).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest
import uvloop

from tests.unit.examples import EVERYTHING
from tests.unit.router.conftest import MODEL, Serving, engine, ready, serving, settings
from tests.unit.router.engine import Engine
from tests.unit.serving.raw_engine import RawEngine, RawEngineConnection, counted
from tests.unit.serving.wire import PATIENCE_SECONDS, Wire, chat, request

__all__ = ["engine", "ready", "serving", "settings"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops on which every test runs."""
    both: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "uvloop": uvloop.new_event_loop,
        "asyncio": asyncio.new_event_loop,
    }
    return both if EVERYTHING else {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens waits that have no setting."""
    monkeypatch.setattr("berth_router.serving.server._SWEEP_SECONDS", 0.05)
    monkeypatch.setattr("berth_router.serving.client.LINGER_SECONDS", 0.3)
    monkeypatch.setattr("berth_router.serving.inference._REASON_SECONDS", 0.02)


async def connections(serving: Serving, count: int) -> None:
    """Returns when so many connections of clients are open."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while serving.server.connection_count != count:  # noqa: ASYNC110 (only the server knows)
            await asyncio.sleep(0.005)


async def called(engine: Engine, count: int) -> None:
    """Returns when the engine has got so many requests."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(engine.calls) < count:  # noqa: ASYNC110 (only the engine knows)
            await asyncio.sleep(0.005)
    assert len(engine.calls) == count


@dataclass(frozen=True)
class Raw:
    """A router whose model is served by an engine of bare sockets.

    One connection has answered once and is idle.
    """

    serving: Serving
    engine: RawEngine
    idle: RawEngineConnection
    deployment: str

    @property
    def port(self) -> int:
        """The router's."""
        return self.serving.port

    async def asked(self) -> RawEngineConnection:
        """The connection on which a request has come, which is read."""
        called = await self.called()
        await called.request()
        return called

    async def called(self) -> RawEngineConnection:
        """The connection on which a request comes: the idle one, where nobody has closed that meanwhile."""
        if self.idle.socket.fileno() >= 0 and await self.idle.receives():
            return self.idle
        return await self.engine.connection()


@pytest.fixture
async def raw(serving: Serving) -> AsyncIterator[Raw]:
    with RawEngine() as bare, await Wire.connect(serving.port) as wire:
        await wire.send(request(chat(MODEL)))
        name = await serving.created()
        await serving.set_status(name, phase="Ready", endpoint=bare.url, loadedAt="2026-01-01T00:00:00Z", conditions=[])
        idle = await bare.connection()
        await idle.request()
        idle.send(counted(b"{}"))
        assert (await wire.answer()).status == 200
        yield Raw(serving, bare, idle, name)
