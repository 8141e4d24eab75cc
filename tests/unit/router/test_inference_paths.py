"""All inference paths, the names by which a model can be asked for, and whose errors each client gets."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from berth_router.settings import RouterSettings
from tests.unit.router.conftest import MODEL, PROMPT, Serving
from tests.unit.router.engine import COMPLETION, Behaviour, Call, chunk

ALL_ENGINES = {"engines": {"llamacpp": ["cpu"], "vllm": ["cuda"], "transformers": ["cpu"]}}
TRANSFORMERS = {"engines": {"transformers": ["cpu"]}, "default_backend": "transformers"}
ONE_ENGINE = {"engines": {"llamacpp": ["cpu"]}}
PROFILES = {"profiles": {"long": {"n_ctx": 8192}, "gpu": {"backend": "vllm", "device": "cuda", "max_model_len": 4096}}}


def body(**fields: Any) -> bytes:
    return orjson.dumps({"model": MODEL, **fields})


@pytest.mark.covers(
    "/v1/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/chat/completions/input_tokens",
    "/v1/rerank",
    "/tokenize",
    "/detokenize",
    "/infill",
)
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/completions", {"prompt": "Once"}),
        ("/v1/messages", {"messages": PROMPT, "max_tokens": 5}),
        ("/v1/messages/count_tokens", {"messages": PROMPT}),
        ("/v1/chat/completions/input_tokens", {"messages": PROMPT}),
        ("/v1/rerank", {"query": "hello", "documents": ["a", "b"]}),
        ("/tokenize", {"content": "hello"}),
        ("/detokenize", {"tokens": [1, 2]}),
        ("/infill", {"input_prefix": "a", "input_suffix": "c", "n_predict": 0}),
    ],
)
async def test_a_path_of_the_engine_reaches_it(ready: Serving, path: str, fields: dict[str, Any]) -> None:
    async def answer(call: Call) -> None:
        await call.answer({"path": call.path})

    ready.engine.behaviour = answer
    reply = await ready.raw("POST", path, body(**fields))
    assert orjson.loads(reply.body) == {"path": path}
    assert fields.items() <= ready.engine.calls[-1].body.items()


@pytest.mark.covers("/v1/responses/input_tokens")
async def test_the_tokens_of_a_response_are_counted_as_those_of_the_conversation(ready: Serving) -> None:
    async def count(call: Call) -> None:
        await call.answer({"object": "response.input_tokens", "input_tokens": 5})

    ready.engine.behaviour = count
    sent = body(input=[{"role": "user", "content": "hello"}], instructions="Be brief.", stream=True)
    reply = await ready.raw("POST", "/v1/responses/input_tokens", sent)
    assert orjson.loads(reply.body) == {"object": "response.input_tokens", "input_tokens": 5}
    asked = ready.engine.calls[-1]
    assert asked.path == "/v1/chat/completions/input_tokens"
    assert [message["role"] for message in asked.body["messages"]] == ["system", "user"]


async def test_a_refusal_to_count_a_responses_tokens_names_the_clients_field(ready: Serving) -> None:
    async def refuse(call: Call) -> None:
        await call.answer({"error": {"code": 500, "message": "Failed to parse messages: x"}}, "500 No")

    ready.engine.behaviour = refuse
    reply = await ready.raw("POST", "/v1/responses/input_tokens", body(input="x"))
    assert (reply.status, orjson.loads(reply.body)["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("path", ["/rerank", "/reranking", "/v1/reranking", "/v2/rerank"])
async def test_other_names_of_a_path_reach_the_engine_at_its_own(ready: Serving, path: str) -> None:
    assert (await ready.raw("POST", path, body(query="x", documents=["a"]))).status == 200
    assert ready.engine.calls[-1].path == "/v1/rerank"
    assert (await ready.raw("GET", path)).status == 405


@pytest.mark.parametrize(
    ("path", "fields", "param", "says"),
    [
        ("/v1/rerank", {"documents": ["a"]}, "query", "`query` must be a string or an object."),
        ("/v1/rerank", {"query": "x", "documents": "a"}, "documents", "`documents` must be a list."),
        ("/infill", {"input_prefix": "a"}, "input_suffix", "`input_suffix` must be a string."),
        ("/detokenize", {"tokens": 1}, "tokens", "`tokens` must be a list."),
        ("/v1/responses/input_tokens", {"input": None}, "input", "`input` must be a string or a list."),
    ],
)
async def test_what_a_path_must_have_is_named(
    ready: Serving, path: str, fields: dict[str, Any], param: str, says: str
) -> None:
    reply = await ready.raw("POST", path, body(**fields))
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["param"], error["message"]) == (400, param, says)


async def test_whoever_counts_by_anthropics_api_gets_its_errors(ready: Serving) -> None:
    reply = await ready.raw("POST", "/v1/messages/count_tokens", body(messages="x"))
    error = orjson.loads(reply.body)
    assert (reply.status, error["type"], error["error"]["type"]) == (400, "error", "invalid_request_error")


@pytest.mark.covers("a path that the stated engine lacks, or every engine for the model's files")
@pytest.mark.parametrize("settings", [TRANSFORMERS], indirect=True)
async def test_a_path_that_the_engine_lacks_is_404_with_the_engines_that_have_it(ready: Serving) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await ready.client.embeddings.create(model=MODEL, input="x", extra_body={"backend": "transformers"})
    assert raised.value.code == "path_not_served"
    assert "Engines that do: vllm, llamacpp." in raised.value.message

    with pytest.raises(openai.NotFoundError):
        await ready.client.embeddings.create(model=MODEL, input="x")


@pytest.mark.parametrize("settings", [ALL_ENGINES], indirect=True)
async def test_a_path_that_the_named_engine_lacks_starts_no_other(serving: Serving) -> None:
    with pytest.raises(openai.NotFoundError, match="transformers, has no /v1/embeddings"):
        await serving.client.embeddings.create(model=MODEL, input="x", extra_body={"backend": "transformers"})
    assert await serving.deployments() == []


async def test_a_path_that_the_engine_lacks_for_this_model_says_why(ready: Serving) -> None:
    async def refuse(call: Call) -> None:
        await call.answer({"detail": "Not Found"}, "404 Not Found")

    ready.engine.behaviour = refuse
    with pytest.raises(openai.NotFoundError, match="embeddings come from embedding models") as raised:
        await ready.client.embeddings.create(model=MODEL, input="x")
    assert (raised.value.code, raised.value.type) == ("path_not_served", "invalid_request_error")


@pytest.mark.parametrize("settings", [{**TRANSFORMERS, "engine_store": "/srv/models"}], indirect=True)
async def test_an_engine_that_knows_its_model_by_its_place_is_asked_for_that(ready: Serving) -> None:
    async def answer_as_it_knows_it(call: Call) -> None:
        await call.answer({**COMPLETION, "model": call.body["model"] + "@main"})

    ready.engine.behaviour = answer_as_it_knows_it
    answer = await ready.client.chat.completions.create(model="tiny", messages=PROMPT)
    assert ready.engine.calls[-1].body["model"] == "/srv/models/tiny"
    assert answer.model == "tiny"


async def stream_without_done(call: Call) -> None:
    await call.begin_stream()
    await call.stream(chunk("Paris."))
    await call.stream(b"")


async def stream_with_error(call: Call) -> None:
    await call.begin_stream()
    await call.stream(chunk("Par"))
    await call.stream(b'data: {"err')
    await call.stream(b'or": "out of memory"}\n\n')
    await call.stream(b"")


@pytest.mark.covers("a stream of completions ends with data: [DONE], whichever engine makes it")
@pytest.mark.parametrize("settings", [TRANSFORMERS], indirect=True)
@pytest.mark.parametrize(
    ("path", "fields", "behaviour", "done"),
    [
        ("/v1/chat/completions", {"messages": PROMPT}, stream_without_done, 1),
        ("/v1/completions", {"prompt": "x"}, stream_without_done, 1),
        ("/v1/chat/completions", {"messages": PROMPT}, stream_with_error, 0),
    ],
)
async def test_a_stream_of_completions_ends_with_done_whatever_the_engine_does(
    ready: Serving, path: str, fields: dict[str, Any], behaviour: Behaviour, done: int
) -> None:
    ready.engine.behaviour = behaviour
    reply = await ready.raw("POST", path, body(**fields, stream=True))
    assert reply.complete
    assert reply.body.count(b"data: [DONE]\n\n") == done
    assert reply.body.endswith(b"data: [DONE]\n\n") is bool(done)


@pytest.mark.parametrize("settings", [ALL_ENGINES], indirect=True)
async def test_an_engine_that_has_the_path_is_started_beside_one_that_lacks_it(
    serving: Serving, settings: RouterSettings
) -> None:
    (Path(settings.model_store) / "tiny" / "model.safetensors").touch()
    asking = asyncio.create_task(serving.raw("POST", "/v1/responses", body(input="x")))
    first = await serving.created()
    assert (await serving.deployments())[0]["spec"]["backend"] == "transformers"
    await serving.make_ready(first)
    await asking

    asking = asyncio.create_task(serving.raw("POST", "/tokenize", body(prompt="x")))
    found = await serving.until(lambda found: len(found) == 2)
    second = next(one for one in found if one["metadata"]["name"] != first)
    assert second["spec"]["backend"] == "vllm"
    await serving.make_ready(second["metadata"]["name"])
    assert (await asking).status == 200


@pytest.mark.parametrize(
    ("settings", "file", "backend"),
    [(ALL_ENGINES, "model.safetensors", "transformers"), (ALL_ENGINES, "q4.gguf", "llamacpp")],
    indirect=["settings"],
)
async def test_the_engine_follows_from_the_files(
    serving: Serving, settings: RouterSettings, file: str, backend: str
) -> None:
    (Path(settings.model_store) / "tiny" / file).touch()
    asking = asyncio.create_task(serving.ask())
    name = await serving.created()
    assert (await serving.deployments())[0]["spec"]["backend"] == backend
    await serving.make_ready(name)
    await asking


@pytest.mark.parametrize("settings", [ONE_ENGINE], indirect=True)
async def test_files_that_no_engine_reads_are_said(serving: Serving, settings: RouterSettings) -> None:
    (Path(settings.model_store) / "tiny" / "model.safetensors").touch()
    with pytest.raises(openai.BadRequestError, match="no engine for safetensors files, which is what /models/tiny has"):
        await serving.ask()
    with pytest.raises(openai.BadRequestError, match="llamacpp cannot read"):
        await serving.ask(extra_body={"backend": "llamacpp"})


@pytest.mark.covers("model: NAME@PROFILE")
@pytest.mark.parametrize("settings", [PROFILES], indirect=True)
async def test_a_profile_states_what_the_request_does_not(serving: Serving) -> None:
    asking = asyncio.create_task(serving.client.chat.completions.create(model="tiny@long", messages=PROMPT))
    await serving.make_ready(await serving.created())
    assert (await asking).choices[0].message.content == "Paris."
    (deployment,) = await serving.deployments()
    assert deployment["spec"]["model"] == MODEL
    assert deployment["spec"]["llamacpp"]["contextSize"] == 8192
    await serving.client.chat.completions.create(model="/models/tiny@long", messages=PROMPT, extra_body={"n_ctx": 4096})
    assert len(await serving.deployments()) == 1

    with pytest.raises(openai.BadRequestError, match="It has gpu, long"):
        await serving.client.chat.completions.create(model="tiny@short", messages=PROMPT)


async def echo_model(call: Call) -> None:
    """Answers as engines do, under the model's path."""
    if not call.body.get("stream"):
        await call.answer({**COMPLETION, "model": call.body["model"]})
        return
    await call.begin_stream()
    event = chunk("Paris.").replace(b'"model":"tiny"', b'"model": "' + call.body["model"].encode() + b'"')
    for byte in range(len(event)):
        await call.stream(event[byte : byte + 1])
    await call.stream(b"data: [DONE]\n\n")
    await call.stream(b"")


@pytest.mark.covers("Requests: model")
@pytest.mark.parametrize("name", [MODEL, "tiny", "/models/tiny/"])
async def test_the_answer_names_the_model_as_it_was_asked_for(ready: Serving, name: str) -> None:
    ready.engine.behaviour = echo_model
    answer = await ready.client.chat.completions.create(model=name, messages=PROMPT)
    assert answer.model == name
    assert ready.engine.calls[-1].body["model"] == MODEL

    parts = [
        part async for part in await ready.client.chat.completions.create(model=name, messages=PROMPT, stream=True)
    ]
    assert [part.model for part in parts] == [name]


async def test_a_renamed_answer_that_breaks_off_is_cut_off_too(ready: Serving) -> None:
    async def die(call: Call) -> None:
        call.begin_answer(1000, b'{"id": "1", "model":"/models/ti')
        await call.break_off_after_sending()

    ready.engine.behaviour = die
    reply = await ready.raw("POST", "/v1/chat/completions", orjson.dumps({"model": "tiny", "messages": PROMPT}))
    assert not reply.complete


@pytest.mark.covers("an engine's refusal comes in OpenAI's shape")
async def test_a_refusal_in_another_shape_becomes_openais(ready: Serving) -> None:
    async def refuse(call: Call) -> None:
        await call.answer({"detail": "Unexpected fields in the request: {'top_k'}"}, "422 Unprocessable Entity")

    ready.engine.behaviour = refuse
    with pytest.raises(openai.UnprocessableEntityError, match="Unexpected fields in the request") as raised:
        await ready.ask()
    assert raised.value.type == "invalid_request_error"


async def test_a_refusal_that_is_no_json_becomes_openais(ready: Serving) -> None:
    async def refuse(call: Call) -> None:
        await call.answer("<html>too much</html>", "500 Internal Server Error")

    ready.engine.behaviour = refuse
    with pytest.raises(openai.InternalServerError, match="too much") as raised:
        await ready.ask()
    assert raised.value.code == "engine_error"


@pytest.mark.covers("/v1/messages has Anthropic's errors")
async def test_clients_of_anthropics_api_get_its_errors(ready: Serving) -> None:
    reply = await ready.raw("POST", "/v1/messages", body(messages=PROMPT))
    assert reply.status == 400
    error = orjson.loads(reply.body)
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")

    async def die(call: Call) -> None:
        await call.begin_stream()
        await call.stream(b"event: message_start\ndata: {}\n\n")
        call.break_off()
        await ready.cluster.delete(MODEL_DEPLOYMENTS, await ready.created())

    ready.engine.behaviour = die
    reply = await ready.raw("POST", "/v1/messages", body(messages=PROMPT, max_tokens=5, stream=True))
    name, _, data = reply.body.rstrip().split(b"\n\n")[-1].partition(b"\n")
    assert name == b"event: error"
    assert orjson.loads(data.removeprefix(b"data: "))["error"]["code"] == "engine_failed"


async def test_a_cold_request_to_a_path_that_does_not_stream_gets_no_comments(serving: Serving) -> None:
    asking = asyncio.create_task(serving.raw("POST", "/tokenize", body(content="x", stream=True)))
    await serving.make_ready(await serving.created())
    reply = await asking
    assert not reply.body.startswith(b":")


async def test_a_get_on_an_inference_path_says_what_it_takes(serving: Serving) -> None:
    reply = await serving.raw("GET", "/v1/responses")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_the_page_of_the_api_has_every_path_and_its_fields(serving: Serving) -> None:
    schema = orjson.loads((await serving.raw("GET", "/openapi.json")).body)
    for path, field in {
        "/v1/completions": "prompt",
        "/v1/embeddings": "input",
        "/v1/responses": "max_output_tokens",
        "/v1/messages": "max_tokens",
        "/v1/rerank": "documents",
        "/tokenize": "content",
        "/infill": "input_suffix",
    }.items():
        reference = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        fields = schema["components"]["schemas"][reference.rsplit("/", 1)[-1]]["properties"]
        assert {"model", "backend", "max_model_len", "gpu_memory_utilization", field} <= fields.keys()


@pytest.mark.covers(
    "a stream of chat begins with the role, and one of messages with message_start, whatever the first token is"
)
@pytest.mark.parametrize("settings", [ONE_ENGINE], indirect=True)
@pytest.mark.parametrize(
    ("path", "fields", "first", "begins"),
    [
        (
            "/v1/chat/completions",
            {"messages": PROMPT},
            b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}',
            b'"role"',
        ),
        (
            "/v1/messages",
            {"messages": PROMPT, "max_tokens": 5},
            b"event: content_block_start\ndata: {}",
            b"message_start",
        ),
    ],
)
async def test_a_stream_begins_as_its_api_has_it_and_then_passes_as_it_is(
    ready: Serving, path: str, fields: dict[str, Any], first: bytes, begins: bytes
) -> None:
    async def answer(call: Call) -> None:
        await call.begin_stream()
        await call.send(b"%x\r\n%s\r\n" % (len(first), first))
        for part in (b"\n\n", b"data: more\n\n", b'data: {"error": 1}\n\n', b""):
            await call.stream(part)

    ready.engine.behaviour = answer
    reply = await ready.raw("POST", path, body(**fields, stream=True))
    assert reply.complete
    events = bytes(reply.body).split(b"\n\n")
    assert begins in events[0]
    assert events[1:] == [first, b"data: more", b'data: {"error": 1}', b""]
