"""Clients that leave while their model starts: whenever they leave, their request ends."""

import asyncio

import pytest

from berth_router.lifecycle.activator import Activator
from berth_router.lifecycle.lease_keeper import Claim
from tests.unit.router.conftest import MODEL, Serving
from tests.unit.serving.conftest import Raw, connections
from tests.unit.serving.raw_engine import RawEngine
from tests.unit.serving.wire import PATIENCE_SECONDS, Wire, chat, get, request

ASK = request(chat(MODEL))
STREAM = request(chat(MODEL, stream=True))

MOMENTS = 40
"""Turns of the event loop: more than there are between the news that a model is ready and the request to its engine."""


def cut_all(serving: Serving) -> None:
    """Has every client leave now."""
    for connection in list(serving.server._connections):  # pyright: ignore[reportPrivateUsage]
        connection.abort()


async def starts_again(raw: Raw) -> None:
    """Has the model start, and returns when the router knows."""
    await raw.serving.set_status(raw.deployment, phase="Starting", endpoint=None)
    with await Wire.connect(raw.port) as wire:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b'"phase":"Starting"' not in (await wire.ask(get("/v1/models/loaded"))).body:
                pass


async def left_alone(engine: RawEngine) -> None:
    """Returns once nothing of the router is open at the engine."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while engine.waiting:
            connection = await engine.connection()
            while not connection.has_ended():
                connection.discard()
                await asyncio.sleep(0)


@pytest.mark.parametrize("asked", [ASK, STREAM], ids=["plain", "stream"])
async def test_a_client_may_leave_at_any_moment_around_that_in_which_its_model_becomes_ready(
    raw: Raw, asked: bytes
) -> None:
    serving = raw.serving
    cut_all(serving)
    for moment in range(MOMENTS):
        await starts_again(raw)
        with RawEngine() as engine, await Wire.connect(raw.port) as wire:
            await wire.send(asked)
            await serving.in_hand(1)
            await serving.set_status(raw.deployment, phase="Ready", endpoint=engine.url)
            for _ in range(moment):
                await asyncio.sleep(0)
            cut_all(serving)
            await connections(serving, 0)
            await serving.in_hand(0)
            await left_alone(engine)


async def test_a_request_whose_client_has_left_goes_to_no_engine(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the task's cancellation was lost, as when Python's wait_for ends at the same moment."""
    activate = Activator.activate
    lost = asyncio.Event()

    async def ready_as_the_client_leaves(self: Activator, *arguments: object, **named: object) -> Claim:
        claim: Claim = await activate(self, *arguments, **named)  # pyright: ignore[reportArgumentType]
        cut_all(raw.serving)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        return claim

    monkeypatch.setattr(Activator, "activate", ready_as_the_client_leaves)
    with RawEngine() as engine, await Wire.connect(raw.port) as wire:
        await starts_again(raw)
        await wire.send(ASK)
        await raw.serving.in_hand(1)
        await raw.serving.set_status(raw.deployment, phase="Ready", endpoint=engine.url)
        await asyncio.wait_for(lost.wait(), PATIENCE_SECONDS)
        await raw.serving.in_hand(0)
        assert not engine.waiting
