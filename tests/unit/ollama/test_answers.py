"""Ollama's own client asks a router for answers; the engine and the operator are played by the test."""

import asyncio
import json
from pathlib import Path
from typing import Any

import ollama
import orjson
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from berth_router.engine_answers import collected
from tests.unit.formats.weights import write_gguf
from tests.unit.ollama.asking import DONE, NAME, QUESTION, chat, stream
from tests.unit.router.conftest import Serving
from tests.unit.router.engine import Call, chunk

WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def event(**choice: Any) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": None, **choice}]}) + b"\n\n"


async def streamed(call: Call, *events: bytes) -> None:
    await call.begin_stream()
    for each in events:
        await call.stream(each)
    await call.stream(b"")


async def test_a_cold_chat_creates_the_deployment_and_is_answered_when_it_is_ready(
    serving: Serving, client: Any
) -> None:
    asking = asyncio.create_task(stream(client, keep_alive="10m"))
    name = await serving.created()
    await serving.set_status(name, phase="Starting")
    await serving.make_ready(name)

    parts = await asking
    assert [part.message.content for part in parts] == ["Par", "is.", ""]
    assert [part.done for part in parts] == [False, False, True]
    assert {part.model for part in parts} == {NAME}
    assert parts[-1].done_reason == "stop"
    assert parts[-1].load_duration
    (deployment,) = await serving.deployments()
    assert deployment["spec"]["idle"]["ttlSeconds"] == 600


def too_large(tokens: int) -> dict[str, Any]:
    """llama-server's words, where a text may have 512 tokens."""
    says = (
        f"input ({tokens} tokens) is too large to process. increase the physical batch size (current batch size: 512)"
    )
    return {"error": {"code": 500, "message": says, "type": "server_error"}}


async def test_a_text_that_is_too_long_is_cut_until_the_engine_takes_it(ready: Serving, client: Any) -> None:
    async def embed(call: Call) -> None:
        words = [len(text.split()) for text in call.body["input"]]
        if max(words) > 512:
            await call.answer(too_large(next(count for count in words if count > 512)), "500 Internal Server Error")
        else:
            await call.answer({"data": [{"index": at, "embedding": [count]} for at, count in enumerate(words)]})

    ready.engine.behaviour = embed
    await client.embed(NAME, ["a " * 700, "b", "c " * 6000])
    assert [len(text.split()) for text in ready.engine.calls[-1].body["input"]] == [502, 1, 502]
    with pytest.raises(ollama.ResponseError, match="exceeds the available context size"):
        await client.embed(NAME, "a " * 700, truncate=False)
    await client.embeddings(NAME, "a " * 700)
    await ready.in_hand(0)


async def test_a_text_that_no_cut_makes_short_enough_is_refused(ready: Serving, client: Any) -> None:
    async def refuse(call: Call) -> None:
        await call.answer(too_large(5000), "500 Internal Server Error")

    ready.engine.behaviour = refuse
    with pytest.raises(ollama.ResponseError, match="exceeds the available context size"):
        await client.embed(NAME, "a " * 700)
    await ready.in_hand(0)


async def test_a_model_that_cannot_think_is_not_asked_to(ready: Serving, store: Path, client: Any) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    await ready.raw("GET", "/v1/models")  # reads the file
    for think in (True, "low"):
        with pytest.raises(ollama.ResponseError, match='"tiny:latest" does not support thinking') as refused:
            await chat(client, think=think)
        assert refused.value.status_code == 400
    assert (await chat(client, think=False)).message.content == "Paris."


async def test_the_head_says_that_lines_come(ready: Serving) -> None:
    reply = await ready.raw("POST", "/api/chat", orjson.dumps({"model": "tiny", "messages": QUESTION}))
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.headers["x-accel-buffering"] == "no"
    assert [json.loads(line)["done"] for line in reply.body.splitlines()] == [False, False, True]


async def test_a_chat_without_a_stream_is_one_object(ready: Serving, client: Any) -> None:
    answer = await chat(client, stream=False, options={"num_predict": 7, "temperature": 0})
    assert (answer.message.content, answer.done, answer.done_reason) == ("Paris.", True, "stop")
    asked = ready.engine.calls[-1]
    assert (asked.path, asked.body["max_tokens"], asked.body["temperature"]) == ("/v1/chat/completions", 7, 0)


async def test_without_a_limit_the_engine_gets_none(ready: Serving, client: Any) -> None:
    await chat(client)
    assert ready.engine.calls[-1].body["max_tokens"] is None


async def test_generate_answers_a_prompt(ready: Serving, client: Any) -> None:
    answer = await client.generate(NAME, "What is the capital of France?", system="Be brief.")
    assert (answer.response, answer.done) == ("Paris.", True)
    assert ready.engine.calls[-1].body["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_what_is_between_two_texts_is_filled_in(ready: Serving, client: Any) -> None:
    async def fill(call: Call) -> None:
        assert (call.path, call.body["input_prefix"], call.body["input_suffix"]) == ("/infill", "def ", "return")
        end = {"content": "", "stop": True, "stop_type": "eos", "tokens_predicted": 2, "tokens_evaluated": 4}
        await streamed(call, *(b"data: " + orjson.dumps(part) + b"\n\n" for part in ({"content": "f():"}, end)))

    ready.engine.behaviour = fill
    parts = [part async for part in await client.generate(NAME, "def ", suffix="return", stream=True)]
    assert ([part.response for part in parts], parts[-1].eval_count) == (["f():", ""], 2)


async def test_calls_of_tools_come_whole(ready: Serving, client: Any) -> None:
    async def call_a_tool(call: Call) -> None:
        assert call.body["tools"] == [WEATHER]
        pieces = [
            {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": '{"city":'}},
            {"index": 0, "function": {"arguments": '"Paris"}'}},
        ]
        deltas = [event(delta={"tool_calls": [piece]}) for piece in pieces]
        await streamed(call, *deltas, event(finish_reason="tool_calls"), DONE)

    ready.engine.behaviour = call_a_tool
    parts = await stream(client, tools=[WEATHER])
    (called,) = [call for part in parts for call in part.message.tool_calls or []]
    assert (called.function.name, called.function.arguments) == ("weather", {"city": "Paris"})
    assert parts[-1].done


async def test_thinking_comes_apart_from_the_answer(ready: Serving, client: Any) -> None:
    async def think(call: Call) -> None:
        assert call.body["chat_template_kwargs"]["enable_thinking"] is True
        await streamed(call, event(delta={"reasoning_content": "France..."}), chunk("Paris."), DONE)

    ready.engine.behaviour = think
    parts = await stream(client, think=True)
    assert "".join(part.message.thinking or "" for part in parts) == "France..."
    assert "".join(part.message.content or "" for part in parts) == "Paris."


async def test_vectors_have_the_length_1(ready: Serving, client: Any) -> None:
    async def embed(call: Call) -> None:
        data = [{"index": at, "embedding": [3.0, 4.0]} for at, _ in enumerate(call.body["input"])]
        await call.answer({"data": data, "usage": {"prompt_tokens": 5}})

    ready.engine.behaviour = embed
    answer = await client.embed(NAME, ["a", "b"])
    assert answer.embeddings == [[0.6, 0.8], [0.6, 0.8]]
    assert (answer.model, answer.prompt_eval_count) == (NAME, 5)
    older = await client.embeddings(NAME, "a")
    assert list(older.embedding) == [3.0, 4.0]
    assert ready.engine.calls[-1].path == "/v1/embeddings"


async def test_vectors_have_the_dimensions_that_were_asked_for(ready: Serving, client: Any) -> None:
    async def embed(call: Call) -> None:
        await call.answer({"data": [{"index": 0, "embedding": [3.0, 4.0, 5.0]}], "usage": {"prompt_tokens": 2}})

    ready.engine.behaviour = embed
    assert (await client.embed(NAME, ["a"], dimensions=2)).embeddings == [[0.6, 0.8]]
    with pytest.raises(ollama.ResponseError, match="`dimensions` must be at most 3 for this model; got 4"):
        await client.embed(NAME, ["a"], dimensions=4)


async def test_an_engines_refusal_has_its_status_and_its_words(ready: Serving, client: Any) -> None:
    async def refuse(call: Call) -> None:
        await call.answer({"error": {"message": "the prompt is too long", "code": 400}}, "400 Bad Request")

    ready.engine.behaviour = refuse
    for asking in (stream(client), chat(client), client.embed(NAME, "a")):
        with pytest.raises(ollama.ResponseError) as refused:
            await asking
        assert (refused.value.status_code, refused.value.error) == (400, "the prompt is too long")


async def test_a_long_refusal_ends_in_an_error_of_this_api(ready: Serving, client: Any) -> None:
    async def refuse(call: Call) -> None:
        await call.answer({"error": "x" * 100_000}, "500 Internal Server Error")

    ready.engine.behaviour = refuse
    for streams in (True, False):
        body = orjson.dumps({"model": "tiny", "messages": QUESTION, "stream": streams})
        reply = await ready.raw("POST", "/api/chat", body)
        assert reply.status == 502
        assert orjson.loads(reply.body) == {"error": "The engine answered with status 500."}


async def test_an_error_within_the_stream_is_its_last_line(ready: Serving, client: Any) -> None:
    async def fail(call: Call) -> None:
        await streamed(call, chunk("Par"), b'data: {"error": {"message": "out of memory"}}\n\n')

    ready.engine.behaviour = fail
    with pytest.raises(ollama.ResponseError, match="out of memory"):
        await stream(client)


async def test_an_engine_that_dies_in_the_stream_ends_it_with_the_reason(ready: Serving) -> None:
    async def die(call: Call) -> None:
        await call.begin_stream()
        await call.stream(chunk("Par"))
        call.break_off()

    ready.engine.behaviour = die
    name = await ready.created()
    body = orjson.dumps({"model": "tiny", "messages": QUESTION})
    asking = asyncio.create_task(ready.raw("POST", "/api/chat", body))
    await ready.engine.left.wait()
    await ready.make_stalled(name, "OOMKilled", "it needs more than 1Gi")
    reply = await asking
    first, last = map(json.loads, reply.body.splitlines())
    assert (reply.status, reply.complete, first["message"]["content"]) == (200, True, "Par")
    assert "broke off its answer" in last["error"]
    assert "it needs more than 1Gi" in last["error"]


async def test_an_engine_that_dies_after_the_last_event_spoils_nothing(ready: Serving) -> None:
    async def die_late(call: Call) -> None:
        await call.begin_stream()
        await call.stream(chunk("Paris.") + DONE)
        await call.break_off_after_sending()

    ready.engine.behaviour = die_late
    reply = await ready.raw("POST", "/api/chat", orjson.dumps({"model": "tiny", "messages": QUESTION}))
    assert reply.complete
    assert [json.loads(line)["done"] for line in reply.body.splitlines()] == [False, True]


async def test_an_engine_that_dies_in_a_whole_answer_is_an_error(ready: Serving, client: Any) -> None:
    async def die(call: Call) -> None:
        call.begin_answer(1000, b'{"choices": [')
        await call.break_off_after_sending()

    ready.engine.behaviour = die
    with pytest.raises(ollama.ResponseError, match="broke off") as failed:
        await chat(client)
    assert failed.value.status_code == 502


async def test_an_answer_that_makes_no_sense_or_does_not_end_is_an_error(
    ready: Serving, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def babble(call: Call) -> None:
        await call.answer(["Paris."])

    ready.engine.behaviour = babble
    with pytest.raises(ollama.ResponseError, match="not a JSON object") as failed:
        await chat(client)
    assert failed.value.status_code == 502
    monkeypatch.setattr(collected, "MOST_BYTES", 3)
    with pytest.raises(ollama.ResponseError, match="more than 3 bytes"):
        await chat(client)


async def test_a_client_that_leaves_ends_the_engines_work(ready: Serving, client: Any) -> None:
    async def go_on(call: Call) -> None:
        await call.begin_stream()
        while True:
            await call.stream(chunk("la "))
            await asyncio.sleep(0.01)

    ready.engine.behaviour = go_on
    parts = await client.chat(NAME, QUESTION, stream=True)
    assert (await anext(parts)).message.content == "la "
    ready.engine.left.clear()
    await parts.aclose()
    await asyncio.wait_for(ready.engine.left.wait(), 10)
    await ready.in_hand(0)


async def test_a_model_that_cannot_start_says_why(serving: Serving, client: Any) -> None:
    asking = asyncio.create_task(stream(client))
    await serving.make_stalled(await serving.created(), "OOMKilled", "it needs more than 1Gi")
    with pytest.raises(ollama.ResponseError, match="it needs more than 1Gi") as failed:
        await asking
    assert failed.value.status_code == 503


@pytest.mark.parametrize("name", ["nothing", "nothing:latest", "a b", "gpt-4o:mini"])
async def test_a_model_that_is_not_there_is_not_found(client: Any, name: str) -> None:
    for keep_alive in (None, 0):
        with pytest.raises(ollama.ResponseError, match="not found") as failed:
            await client.generate(name, "", keep_alive=keep_alive)
        assert (failed.value.status_code, failed.value.error[:7]) == (404, "model '")
    with pytest.raises(ollama.ResponseError, match="not found") as failed:
        await client.chat(name, QUESTION)
    assert failed.value.status_code == 404


@pytest.mark.covers("shape below /api/")
@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/api/chat", b"{", 400, "The body is not JSON"),
        ("/api/chat", b"{}", 400, "`model` is missing."),
        ("/api/chat", b'{"model":"tiny","messages":[{"role":"king"}]}', 400, "`messages[0].role` must be one of"),
        ("/api/generate", b'{"model":"tiny","prompt":"a","options":{"temperature":9}}', 400, "`temperature`"),
        ("/api/nothing", b"{}", 404, "There is no /api/nothing here."),
    ],
)
async def test_a_wrong_request_is_refused_in_one_text(
    serving: Serving, path: str, body: bytes, status: int, error: str
) -> None:
    reply = await serving.raw("POST", path, body)
    assert reply.status == status
    assert orjson.loads(reply.body)["error"].startswith(error)


async def test_a_path_takes_posts_only(serving: Serving) -> None:
    reply = await serving.raw("GET", "/api/chat")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert orjson.loads(reply.body)["error"].startswith("/api/chat does not take GET")


async def test_transformers_get_no_field_that_they_refuse(ready: Serving, client: Any) -> None:
    spec = {"model": "/models/tiny", "backend": "transformers", "device": "cpu"}
    (deployment,) = await ready.deployments()
    body = {name: deployment[name] for name in ("apiVersion", "kind")}
    await ready.cluster.create(MODEL_DEPLOYMENTS, {**body, "metadata": {"name": "other"}, "spec": spec})
    await ready.make_ready("other")
    await ready.cluster.delete(MODEL_DEPLOYMENTS, deployment["metadata"]["name"])
    await ready.until(lambda found: len(found) == 1)
    answer = await chat(client, think=False, options={"top_k": 5, "repeat_penalty": 1.1, "seed": 3})
    assert answer.message.content == "Paris."
    asked = ready.engine.calls[-1].body
    assert asked["seed"] == 3
    assert not asked.keys() & {"top_k", "repeat_penalty", "repetition_penalty", "chat_template_kwargs"}


async def test_the_metrics_count_by_the_paths_of_this_api(ready: Serving, client: Any) -> None:
    await chat(client)
    metrics = (await ready.raw("GET", "/metrics")).body.decode()
    assert 'berth_router_requests_total{path="/api/chat",status="200"} 1.0' in metrics
