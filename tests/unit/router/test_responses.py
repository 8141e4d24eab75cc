"""The Responses API, from a client to an engine that has only chat completions."""

import asyncio
from typing import Any

import openai
import orjson
import pytest

from tests.unit.router.conftest import MODEL, Serving
from tests.unit.router.engine import COMPLETION, Call, chunk

ONE_TOOL: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]


def body(**fields: Any) -> bytes:
    return orjson.dumps({"model": "tiny", "input": "Hi", **fields})


def events(sent: bytes | bytearray) -> list[dict[str, Any]]:
    """The data of all events of a stream."""
    return [orjson.loads(line[6:]) for line in bytes(sent).splitlines() if line.startswith(b"data: ")]


@pytest.mark.covers("/v1/responses")
async def test_a_response_is_a_chat_completion_of_the_engine(ready: Serving) -> None:
    answer = await ready.client.responses.create(
        model="tiny", input="Hi", instructions="Be short.", max_output_tokens=5, extra_body={"ttl": 60}
    )
    assert (answer.output_text, answer.status, answer.model, answer.usage) == ("Paris.", "completed", "tiny", None)
    call = ready.engine.calls[-1]
    assert call.path == "/v1/chat/completions"
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    asked = {"model": MODEL, "messages": messages, "max_tokens": 5, "temperature": 0.7, "stream": False}
    assert asked.items() <= call.body.items()
    assert call.body.keys().isdisjoint({"input", "instructions", "ttl", "max_output_tokens"})


async def test_a_response_is_counted_under_the_path_of_the_client(ready: Serving) -> None:
    await ready.client.responses.create(model="tiny", input="Hi")
    metrics = (await ready.raw("GET", "/metrics")).body.decode()
    assert [line for line in metrics.splitlines() if "/v1/responses" in line and not line.endswith(" 0.0")]


async def test_a_stream_adds_up_to_the_response(ready: Serving) -> None:
    async with ready.client.responses.stream(model="tiny", input="Hi", tools=ONE_TOOL) as stream:
        names = [event.type async for event in stream]
        answer = await stream.get_final_response()
    assert answer.output_text == "Paris."
    assert (names[0], names[-1], names.count("response.created")) == ("response.created", "response.completed", 1)
    assert ready.engine.calls[-1].body["stream_options"] == {"include_usage": True}


@pytest.mark.covers("a stream of responses has OpenAI's events, numbered, each once; cold, it begins with comments")
async def test_a_cold_stream_begins_with_comments_and_is_whole(serving: Serving) -> None:
    asking = asyncio.create_task(serving.raw("POST", "/v1/responses", body(stream=True)))
    await serving.make_ready(await serving.created())
    reply = await asking
    assert reply.body.startswith(b": waiting for /models/tiny")
    names = [event["type"] for event in events(reply.body)]
    assert (names[0], names[-1], names.count("response.created")) == ("response.created", "response.completed", 1)
    assert [event["sequence_number"] for event in events(reply.body)] == list(range(len(names)))


async def test_a_cold_stream_of_a_model_that_cannot_start_says_why(serving: Serving) -> None:
    asking = asyncio.create_task(serving.raw("POST", "/v1/responses", body(stream=True)))
    name = await serving.created()
    await serving.set_status(name, phase="Starting", conditions=[])
    await serving.make_stalled(name, "OutOfMemory", "the engine needs more memory")
    reply = await asking
    *_, told, failed = events(reply.body)
    assert "needs more memory" in told["error"]["message"]
    assert failed["response"]["error"]["message"] == told["message"]


@pytest.mark.covers("a stream of responses that breaks ends with error and response.failed")
async def test_a_stream_that_breaks_raises_in_openais_client(ready: Serving) -> None:
    async def die(call: Call) -> None:
        await call.begin_stream()
        await call.stream(chunk("Par"))
        await call.break_off_after_sending()
        await ready.set_status(await ready.created(), phase="Starting", conditions=[])

    ready.engine.behaviour = die
    stream = await ready.client.responses.create(model="tiny", input="Hi", stream=True)
    with pytest.raises(openai.APIError, match="broke off its answer"):
        assert all([event.type != "response.completed" async for event in stream])


async def test_what_an_engine_refuses_is_refused(ready: Serving) -> None:
    async def refuse(call: Call) -> None:
        error = {"message": "Too hot.", "type": "invalid_request_error", "param": "messages[0].content"}
        await call.answer({"error": error}, "400 Bad Request")

    ready.engine.behaviour = refuse
    for streams in (False, True):
        with pytest.raises(openai.BadRequestError, match="Too hot") as raised:
            await ready.client.responses.create(model="tiny", input="Hi", stream=streams)
        assert raised.value.param == "input"


async def test_an_engine_that_makes_no_sense_is_said(ready: Serving) -> None:
    async def answer(call: Call) -> None:
        await call.answer({**COMPLETION, "choices": []})

    ready.engine.behaviour = answer
    reply = await ready.raw("POST", "/v1/responses", body())
    assert (reply.status, orjson.loads(reply.body)["error"]["code"]) == (502, "engine_error")


@pytest.mark.covers("a response refuses what refers to an earlier one, and tools that Berth would have to run")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"tools": [{"type": "mcp"}]}, "tools[0].type"),
        ({"input": None}, "input"),
        ({"model": None}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"backend": "gguf"}, "backend"),
    ],
)
async def test_a_wrong_field_is_named(ready: Serving, fields: dict[str, Any], param: str) -> None:
    reply = await ready.raw("POST", "/v1/responses", body(**fields))
    assert (reply.status, orjson.loads(reply.body)["error"]["param"]) == (400, param)
