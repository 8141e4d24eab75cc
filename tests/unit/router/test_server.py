"""What the server adds to uvicorn, and that the router can do without it."""

import asyncio

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from berth_router.settings import Settings
from tests.instruments import InstrumentedCluster
from tests.unit.router.conftest import MODEL, PROMPT, Serving, served
from tests.unit.router.engine import Call, Engine, chunk

REQUEST = orjson.dumps({"model": MODEL, "messages": PROMPT})


async def endless(call: Call) -> None:
    await call.begin_stream()
    while True:
        await call.stream(chunk("on and "))
        await asyncio.sleep(0.01)


async def test_under_another_server_the_engine_stops_too_when_the_client_leaves(
    cluster: InstrumentedCluster, engine: Engine, settings: Settings
) -> None:
    async with served(cluster, engine, settings, HttpToolsProtocol) as serving:
        engine.behaviour = endless
        asking = asyncio.create_task(serving.client.chat.completions.create(model=MODEL, messages=PROMPT, stream=True))
        await serving.make_ready(await serving.created())
        parts = await asking
        await anext(parts)
        engine.left.clear()
        await parts.close()
        async with asyncio.timeout(10):
            await engine.left.wait()
        await serving.told_in_flight(0)


async def test_a_client_that_leaves_before_the_answer_begins_frees_the_engine(ready: Serving) -> None:
    asked = asyncio.Event()

    async def think(call: Call) -> None:
        asked.set()
        await asyncio.Event().wait()

    ready.engine.behaviour = think
    ready.engine.left.clear()
    asking = asyncio.create_task(ready.raw("POST", "/v1/chat/completions", REQUEST))
    await asked.wait()
    asking.cancel()
    await ready.told_in_flight(0)


async def test_a_connection_that_is_closed_after_the_answer_carries_all_of_it(ready: Serving) -> None:
    reply = await ready.raw("POST", "/v1/chat/completions", REQUEST, "Connection: close\r\n")
    assert reply.complete
    assert orjson.loads(reply.body)["object"] == "chat.completion"


async def test_the_connection_is_kept_for_the_next_request(ready: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(REQUEST)}\r\n\r\n".encode()
    async with asyncio.timeout(10):
        for _ in range(3):
            writer.write(head + REQUEST)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            assert orjson.loads(await reader.readexactly(length))["object"] == "chat.completion"
    writer.close()
