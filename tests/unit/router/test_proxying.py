"""A model that runs is asked for: what the engine sees, and what becomes of engines and clients that break off."""

import asyncio
from datetime import UTC, datetime

import openai
import orjson
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from tests.unit.router.conftest import ENGINE_KEY, MODEL, PROMPT, Serving
from tests.unit.router.engine import COMPLETION, Call, answer_at_once, chunk

REQUEST = orjson.dumps({"model": MODEL, "messages": PROMPT})
STREAM = orjson.dumps({"model": MODEL, "messages": PROMPT, "stream": True})


@pytest.mark.covers("/v1/chat/completions")
async def test_the_engine_sees_the_request_without_berths_fields_and_with_the_defaults(ready: Serving) -> None:
    await ready.ask(
        seed=7,
        extra_body={"backend": "llamacpp", "device": "cpu", "ttl": 60, "n_ctx": 1024, "n_gpu_layers": 0, "id_slot": 3},
    )
    call = ready.engine.calls[-1]
    defaults = {"stream": False, "temperature": 0.7, "top_p": 1.0, "max_tokens": 512}
    assert call.body == {"model": MODEL, "messages": PROMPT, "seed": 7, **defaults}


async def test_a_stated_setting_that_nothing_live_meets_makes_a_second_deployment(ready: Serving) -> None:
    asking = asyncio.create_task(ready.ask(extra_body={"n_ctx": 8192}))
    found = await ready.until(lambda found: len(found) == 2)
    large = next(one for one in found if one["spec"]["llamacpp"]["contextSize"] == 8192)
    await ready.make_ready(large["metadata"]["name"])
    assert await asking == "Paris."


async def test_the_request_id_comes_back_and_reaches_the_engine(ready: Serving) -> None:
    reply = await ready.raw(
        "POST", "/v1/chat/completions", REQUEST, "X-Request-Id: my-id.1\r\ntraceparent: 00-ab-cd-01\r\n"
    )
    assert reply.headers["x-request-id"] == "my-id.1"
    assert ready.engine.calls[-1].headers["x-request-id"] == "my-id.1"
    assert ready.engine.calls[-1].headers["traceparent"] == "00-ab-cd-01"

    reply = await ready.raw("POST", "/v1/chat/completions", REQUEST, "X-Request-Id: a b\r\n")
    assert reply.headers["x-request-id"].startswith("req_")


async def test_the_engine_gets_its_own_key_and_never_the_callers(ready: Serving) -> None:
    await ready.raw("POST", "/v1/chat/completions", REQUEST, "Authorization: Bearer the-callers\r\n")
    assert ready.engine.calls[-1].headers["authorization"] == f"Bearer {ENGINE_KEY}"


async def test_requests_one_after_another_share_a_connection(ready: Serving) -> None:
    for _ in range(5):
        await ready.ask()
    assert ready.engine.connections == 1


async def test_the_engines_own_refusal_passes_as_it_is(ready: Serving) -> None:
    async def refuse(call: Call) -> None:
        await call.answer({"error": {"message": "the prompt is too long", "code": 400}}, "400 Bad Request")

    ready.engine.behaviour = refuse
    with pytest.raises(openai.BadRequestError, match="the prompt is too long"):
        await ready.ask()


async def test_a_stream_comes_piece_by_piece(ready: Serving) -> None:
    go_on = asyncio.Event()

    async def halting(call: Call) -> None:
        await call.begin_stream()
        await call.stream(chunk("Par"))
        await go_on.wait()
        await call.stream(chunk("is."))
        await call.stream(b"data: [DONE]\n\n")
        await call.stream(b"")

    ready.engine.behaviour = halting
    parts = await ready.client.chat.completions.create(model=MODEL, messages=PROMPT, stream=True)
    assert (await anext(parts)).choices[0].delta.content == "Par"
    go_on.set()
    assert [part.choices[0].delta.content async for part in parts] == ["is."]


async def test_a_large_answer_comes_whole_to_a_client_that_reads_late(ready: Serving) -> None:
    content = {**COMPLETION, "padding": "x" * 8_000_000}

    async def long_answer(call: Call) -> None:
        await call.answer(content)

    ready.engine.behaviour = long_answer
    reply = await ready.raw("POST", "/v1/chat/completions", REQUEST)
    assert orjson.loads(reply.body) == content


@pytest.mark.parametrize("name", [MODEL, "tiny"], ids=["under its path", "renamed"])
async def test_a_long_stream_comes_whole_to_a_client_that_does_not_keep_up(ready: Serving, name: str) -> None:
    def event(model: str, number: int) -> bytes:
        return b'data: {"number":%d,"model":"%s","padding":"%s"}\n\n' % (number, model.encode(), b"x" * 8000)

    count, sent = 5000, 0

    async def stream(call: Call) -> None:
        nonlocal sent
        await call.begin_stream()
        for number in range(count):
            await call.stream(event(MODEL, number))
            sent += 1
        await call.stream(b"data: [DONE]\n\n")
        await call.stream(b"")

    ready.engine.behaviour = stream
    request = orjson.dumps({"model": name, "messages": PROMPT, "stream": True})

    async def engine_is_held_up() -> None:
        before = 0
        while not sent or sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < count, "the router keeps no more of an answer than it must"

    reply = await ready.raw("POST", "/v1/chat/completions", request, before_reading=engine_is_held_up)
    assert reply.body == b"".join(event(name, number) for number in range(count)) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("name", [MODEL, "tiny"], ids=["under its path", "renamed"])
@pytest.mark.parametrize("size", [1, 7, 100, 4096])
async def test_a_stream_comes_whole_however_it_was_cut_on_its_way(ready: Serving, size: int, name: str) -> None:
    events = [b'data: {"number":%d,"model":"%s"}\r\n\r\n' % (number, MODEL.encode()) for number in range(40)]
    # With an extension, of one event, of two, in capitals and with leading zeros, and as bytes that look like the end
    # of a chunk.
    coded = b"".join(b"%x;name=value\r\n%b\r\n" % (len(event), event) for event in events[:10])
    coded += b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events[10:20])
    coded += b"".join(
        b"%x\r\n%b\r\n" % (len(event + other), event + other)
        for event, other in zip(events[20:30:2], events[21:30:2], strict=True)
    )
    coded += b"".join(b"%06X\r\n%b\r\n" % (len(event), event) for event in events[30:39])
    coded += b"".join(b"1\r\n%b\r\n" % bytes([byte]) for byte in events[39])

    async def stream(call: Call) -> None:
        await call.begin_stream()
        for start in range(0, len(coded), size):
            await call.send(coded[start : start + size])
        await call.send(b"0\r\n\r\n")

    ready.engine.behaviour = stream
    reply = await ready.raw(
        "POST", "/v1/chat/completions", orjson.dumps({"model": name, "messages": PROMPT, "stream": True})
    )
    assert reply.complete
    assert reply.body == b"".join(events).replace(MODEL.encode(), name.encode())
    # The connection is as good as before.
    ready.engine.behaviour = answer_at_once
    assert await ready.ask() == "Paris."
    assert ready.engine.connections == 1


async def test_a_dead_idle_connection_is_replaced_without_the_client_noticing(ready: Serving) -> None:
    async def close_first(call: Call) -> None:
        ready.engine.behaviour = answer_at_once
        call.break_off()

    ready.engine.behaviour = close_first
    assert await ready.ask() == "Paris."
    assert ready.engine.connections == 2


@pytest.mark.covers("a stream that breaks ends with an error event and without [DONE]")
async def test_a_stream_whose_engine_dies_ends_with_an_error_and_the_reason(ready: Serving) -> None:
    begun = asyncio.Event()

    async def die(call: Call) -> None:
        await call.begin_stream()
        await call.stream(chunk("Par"))
        begun.set()
        call.break_off()

    ready.engine.behaviour = die
    asking = asyncio.create_task(ready.raw("POST", "/v1/chat/completions", STREAM))
    await begun.wait()
    await ready.make_stalled(await ready.created(), "OOMKilled", "it needs more than 1Gi")

    reply = await asking
    assert reply.complete
    assert b"[DONE]" not in reply.body
    *_, last = reply.body.strip().split(b"\n\n")
    error = orjson.loads(last.removeprefix(b"data: "))["error"]
    assert error["code"] == "engine_failed"
    assert "OOMKilled: it needs more than 1Gi" in error["message"]


async def test_the_openai_client_raises_on_a_stream_that_breaks(ready: Serving) -> None:
    async def die(call: Call) -> None:
        await call.begin_stream()
        await call.stream(chunk("Par"))
        call.break_off()
        await ready.cluster.delete(MODEL_DEPLOYMENTS, await ready.created())

    ready.engine.behaviour = die
    with pytest.raises(openai.APIError, match="broke off its answer"):
        await ready.stream()


async def test_an_answer_that_breaks_off_is_cut_off_for_the_client_too(ready: Serving) -> None:
    async def die(call: Call) -> None:
        call.begin_answer(1000, b'{"id": ')
        await call.break_off_after_sending()

    ready.engine.behaviour = die
    reply = await ready.raw("POST", "/v1/chat/completions", REQUEST)
    assert not reply.complete


async def test_an_engine_that_dies_before_it_answers_is_a_502_with_the_reason(ready: Serving) -> None:
    async def die(call: Call) -> None:
        await ready.set_status(
            await ready.created(),
            phase="Starting",
            endpoint=None,
            lastFailure={
                "reason": "EngineExited",
                "message": "killed by signal 9",
                "at": datetime.now(UTC).isoformat(),
                "count": 1,
            },
        )
        call.break_off()

    ready.engine.drop_connections()
    await ready.engine.left.wait()
    ready.engine.behaviour = die
    with pytest.raises(openai.InternalServerError, match="EngineExited: killed by signal 9") as raised:
        await ready.ask()
    assert raised.value.status_code == 502


async def test_a_request_that_finds_no_engine_waits_for_the_next_one(ready: Serving) -> None:
    name = await ready.created()
    await ready.set_status(name, endpoint="http://127.0.0.1:9")  # the discard port: nobody listens
    asking = asyncio.create_task(ready.ask())
    await ready.in_hand(1)
    await ready.set_status(name, phase="Starting", endpoint=None)
    await ready.make_ready(name)
    assert await asking == "Paris."


async def test_the_engine_stops_when_the_client_leaves(ready: Serving) -> None:
    async def endless(call: Call) -> None:
        await call.begin_stream()
        while True:
            await call.stream(chunk("on and "))
            await asyncio.sleep(0.01)

    ready.engine.behaviour = endless
    parts = await ready.client.chat.completions.create(model=MODEL, messages=PROMPT, stream=True)
    await anext(parts)
    ready.engine.left.clear()
    await parts.close()
    async with asyncio.timeout(10):
        await ready.engine.left.wait()
    await ready.reported_in_flight(0)


@pytest.mark.in_memory("which of two writes comes first is in nobody's hand")
async def test_a_deployment_that_went_while_the_lease_was_written_is_made_again(ready: Serving) -> None:
    """The view still shows it ready, the lease write finds it gone: the request must not be lost."""
    name = await ready.created()
    await ready.reported_in_flight(0)
    long_ago = "2020-01-01T00:00:00Z"
    entry = {"lastActivity": long_ago, "keepUntil": long_ago, "inFlight": 0}
    await ready.set_status(name, loadedAt=long_ago, activity={"router-1": entry})
    asking = asyncio.create_task(ready.ask())
    await ready.cluster.delete(MODEL_DEPLOYMENTS, name)
    await ready.make_ready(await ready.created())
    assert await asking == "Paris."


async def test_a_lease_near_its_end_is_written_before_the_request_is_forwarded(ready: Serving) -> None:
    name = await ready.created()
    await ready.reported_in_flight(0)
    long_ago = "2020-01-01T00:00:00Z"
    await ready.set_status(
        name, loadedAt=long_ago, activity={"router-1": {"lastActivity": long_ago, "keepUntil": long_ago, "inFlight": 0}}
    )
    async with asyncio.timeout(10):
        while long_ago.encode() not in (await ready.raw("GET", "/v1/models/loaded")).body:
            pass  # until the router has heard of it
    kept: list[str] = []

    async def look(call: Call) -> None:
        (deployment,) = await ready.deployments()
        kept.append(deployment["status"]["activity"]["router-1"]["keepUntil"])
        await call.answer()

    ready.engine.behaviour = look
    await ready.ask()
    assert datetime.fromisoformat(kept[0]) > datetime.now(UTC)
