"""An engine that gets no more requests has no connection of the router's: the end of its pod waits for all of them."""

from collections.abc import Awaitable, Callable

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from tests.unit.router.conftest import MODEL
from tests.unit.serving.conftest import Raw
from tests.unit.serving.raw_engine import counted
from tests.unit.serving.wire import Wire, chat, request


async def sleep_now(raw: Raw) -> None:
    await raw.serving.set_status(raw.deployment, phase="Sleeping", endpoint=None)


async def delete(raw: Raw) -> None:
    await raw.serving.cluster.delete(MODEL_DEPLOYMENTS, raw.deployment)


async def move(raw: Raw) -> None:
    """Its next engine is ready elsewhere."""
    await raw.serving.set_status(raw.deployment, endpoint="http://127.0.0.1:9")


async def become_silent(raw: Raw) -> None:
    await raw.serving.set_status(raw.deployment, phase="Unresponsive", endpoint=None)


@pytest.fixture(autouse=True)
def _kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is closed for having been idle."""
    monkeypatch.setattr("berth_router.serving.pool.IDLE_SECONDS", 3600.0)


@pytest.mark.parametrize("withdraw", [sleep_now, delete, move, become_silent])
async def test_an_idle_connection_is_closed_when_its_engine_is_withdrawn(
    raw: Raw, withdraw: Callable[[Raw], Awaitable[None]]
) -> None:
    await withdraw(raw)
    await raw.idle.closed()


async def test_a_connection_in_use_is_closed_when_its_answer_is_complete(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(chat(MODEL)))
        in_use = await raw.asked()
        await become_silent(raw)
        in_use.send(counted(b"{}"))
        assert (await wire.answer()).status == 200
        await in_use.closed()


async def test_an_engine_that_is_offered_again_has_its_connections_kept(raw: Raw) -> None:
    await become_silent(raw)
    await raw.idle.closed()
    await raw.serving.set_status(raw.deployment, phase="Ready", endpoint=raw.engine.url)
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(chat(MODEL)))
        again = await raw.engine.connection()
        await again.request()
        again.send(counted(b"{}"))
        assert (await wire.answer()).status == 200
        await wire.send(request(chat(MODEL)))
        await again.request()
        again.send(counted(b"{}"))
        assert (await wire.answer()).status == 200
