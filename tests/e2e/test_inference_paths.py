"""Every inference path against the three real engines, through the router:
what the table says is there, and only that.
"""

import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from berth_api.inference import (
    CHAT_COMPLETIONS,
    COMPLETIONS,
    EMBEDDINGS,
    ENGINE_PATHS,
    MESSAGES,
    RESPONSES,
    TOKENIZE,
)
from berth_api.model_deployment import Backend
from tests.e2e.release import CAPITAL, MODEL, SAFETENSORS, Release, user

MODELS = {Backend.LLAMACPP: MODEL, Backend.VLLM: SAFETENSORS, Backend.TRANSFORMERS: SAFETENSORS}
PROMPT = "The capital of France is"
CHAT = {"messages": CAPITAL, "temperature": 0}
REQUESTS: dict[str, dict[str, Any]] = {
    CHAT_COMPLETIONS: {**CHAT, "max_tokens": 8},
    COMPLETIONS: {"prompt": PROMPT, "temperature": 0, "max_tokens": 3},
    RESPONSES: {"input": "What is the capital of France?", "temperature": 0, "max_output_tokens": 8},
    MESSAGES: {**CHAT, "max_tokens": 8},
    TOKENIZE: {"prompt": PROMPT},
}
OFFERED = {backend: paths | {RESPONSES} for backend, paths in ENGINE_PATHS.items()}
"""The paths that requests to a model of each engine may have: Berth translates those that no engine has."""
SERVED = [(backend, path) for backend, paths in OFFERED.items() for path in REQUESTS if path in paths]
LACKING = [
    (backend, path) for backend, paths in OFFERED.items() for path in (*REQUESTS, EMBEDDINGS) if path not in paths
]


@pytest.fixture
async def berth(release: Release) -> AsyncIterator[Release]:
    """The release with whatever runs in it:
    engines are shared by these tests, since a start takes longer than all of them.
    """
    yield release
    await release.close_clients()


def stated(backend: Backend) -> dict[str, Any]:
    """The model by its name alone, so that the answer has to be renamed."""
    return {"model": MODELS[backend].removeprefix("/models/"), "backend": backend.value, "device": "cpu"}


def text_of(path: str, answer: dict[str, Any]) -> str:
    """The text of a whole answer in the form of the path."""
    match path:
        case "/v1/chat/completions":
            assert answer["object"] == "chat.completion"
            return answer["choices"][0]["message"]["content"]
        case "/v1/completions":
            assert answer["object"] == "text_completion"
            return answer["choices"][0]["text"]
        case "/v1/responses":
            assert answer["object"] == "response"
            return answer["output"][-1]["content"][0]["text"]
        case _:
            assert (answer["type"], answer["role"]) == ("message", "assistant")
            return answer["content"][0]["text"]


def piece_of(path: str, event: dict[str, Any]) -> str:
    """The text that an event of a stream adds."""
    match path:
        case "/v1/chat/completions":
            return "".join(choice["delta"].get("content") or "" for choice in event["choices"])
        case "/v1/completions":
            return "".join(choice["text"] for choice in event["choices"])
        case "/v1/responses":
            return event["delta"] if event["type"] == "response.output_text.delta" else ""
        case _:
            return event["delta"]["text"] if event["type"] == "content_block_delta" else ""


async def events(berth: Release, path: str, body: dict[str, Any]) -> list[str]:
    """The data of every event of a stream."""
    headers = {"Authorization": f"Bearer {berth.api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{berth.url}{path}", json={**body, "stream": True}) as response,
    ):
        assert (response.status, response.content_type) == (200, "text/event-stream")
        lines = [line.decode().rstrip() async for line in response.content]
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def models_in(value: Any) -> set[str]:
    """Every model that an answer names, at any depth."""
    if isinstance(value, list):
        return {name for each in value for name in models_in(each)}  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return set()
    answer = cast("dict[str, Any]", value)
    own = {answer["model"]} if isinstance(answer.get("model"), str) else set[str]()
    return own | {name for each in answer.values() for name in models_in(each)}


@pytest.mark.parametrize(("backend", "path"), SERVED)
async def test_a_path_that_the_engine_has(berth: Release, backend: Backend, path: str) -> None:
    body = {**stated(backend), **REQUESTS[path]}
    status, answer, headers = await berth.post(path, body)
    assert status == 200, answer
    assert headers["content-type"].startswith("application/json")
    if path == TOKENIZE:
        assert len(answer["tokens"]) == len(PROMPT.split())
        return
    assert models_in(answer) == {body["model"]}
    text = text_of(path, answer)
    assert text

    told = await events(berth, path, body)
    assert (told[-1] == "[DONE]") is (path in {CHAT_COMPLETIONS, COMPLETIONS})
    parts = [json.loads(data) for data in told if data != "[DONE]"]
    assert models_in(parts) == {body["model"]}
    assert "".join(piece_of(path, part) for part in parts) == text


@pytest.mark.covers("temperature with transformers")
@pytest.mark.parametrize("backend", list(ENGINE_PATHS))
async def test_chance_has_the_part_in_an_answer_that_the_request_gives_it(berth: Release, backend: Backend) -> None:
    async def answers(**fields: Any) -> set[str]:
        body = {**stated(backend), "max_tokens": 8, **fields}
        replies = [await berth.post(CHAT_COMPLETIONS, {**body, "seed": seed}) for seed in range(4)]
        return {text_of(CHAT_COMPLETIONS, answer) for _, answer, _ in replies}

    assert len(await answers(messages=CAPITAL, temperature=0)) == 1
    assert len(await answers(messages=user("Tell me a story."), temperature=1.5)) > 1


@pytest.mark.parametrize(("backend", "path"), LACKING)
async def test_a_path_that_the_engine_lacks(berth: Release, backend: Backend, path: str) -> None:
    body = {**stated(backend), **REQUESTS.get(path, {"input": "x"})}
    status, answer, _ = await berth.post(path, body)
    assert (status, answer["error"]["code"]) == (404, "path_not_served")
    others = ", ".join(other for other, paths in ENGINE_PATHS.items() if path in paths)
    assert answer["error"]["message"].endswith(f"Engines that do: {others}.")


@pytest.mark.parametrize("backend", [backend for backend, paths in ENGINE_PATHS.items() if EMBEDDINGS in paths])
async def test_a_model_that_answers_does_not_embed(berth: Release, backend: Backend) -> None:
    status, answer, _ = await berth.post(EMBEDDINGS, {**stated(backend), "input": "x"})
    assert status in {400, 404}
    assert answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


def embedding_model(gguf: bytes) -> bytes:
    """The same model, whose header says that the vector of a text is that of its last token."""
    uint32, last = 4, 3
    entries = b"".join(
        struct.pack(f"<Q{len(key)}sII", len(key), key, uint32, value)
        for key, value in ((b"llama.pooling_type", last), (b"test.alignment", 0))
    )
    assert len(entries) % 32 == 0, "the weights behind the header stay aligned"
    magic, version, tensors, pairs = struct.unpack_from("<4sIQQ", gguf)
    return struct.pack("<4sIQQ", magic, version, tensors, pairs + 2) + entries + gguf[24:]


async def test_an_embedding_model_embeds_with_llamacpp(berth: Release, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny-embedder"
    folder.mkdir()
    [gguf] = (models / Path(MODEL).name).glob("*.gguf")
    (folder / "model.gguf").write_bytes(embedding_model(gguf.read_bytes()))
    berth.load_model(folder)

    answer = await berth.openai().embeddings.create(
        model=folder.name, input=["hello", "goodbye"], extra_body={"backend": "llamacpp"}
    )
    assert answer.model == folder.name
    vectors = [each.embedding for each in answer.data]
    assert [len(vector) for vector in vectors] == [576, 576]
    assert vectors[0] != vectors[1]
