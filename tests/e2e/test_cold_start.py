"""A model that nobody declared answers."""

import asyncio

import aiohttp
import pytest
from openai import APIStatusError

from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS
from tests.e2e.release import MODEL, Release, user

QUESTION = user("What is the capital of France?")


async def test_a_cold_request_answers(berth: Release) -> None:
    status, answer, headers = await berth.post(
        "/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 8}
    )
    assert status == 200, answer
    assert answer["object"] == "chat.completion"
    assert answer["model"] == MODEL
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] <= 8
    assert headers["x-request-id"]
    [deployment] = await berth.deployments()
    assert (deployment.status.phase, deployment.spec.idle.action) == ("Ready", "Delete")


async def test_fifty_clients_of_one_cold_model_share_one_pod(berth: Release) -> None:
    body = {"model": MODEL, "messages": QUESTION, "max_tokens": 2}
    async with berth.counting() as seen:
        answers = await asyncio.gather(*(berth.post("/v1/chat/completions", body) for _ in range(50)))
    assert [status for status, _, _ in answers] == [200] * 50
    assert all(answer["choices"][0]["message"]["content"] for _, answer, _ in answers)
    assert (len(seen[MODEL_DEPLOYMENTS.plural]), len(seen[PODS.plural])) == (1, 1)


async def test_openais_client_works_unchanged(berth: Release) -> None:
    client = berth.openai()
    whole = await client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8, temperature=0)
    assert whole.choices[0].message.content
    stream = await client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=8, temperature=0, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert MODEL.removeprefix("/models/") in [model.id async for model in client.models.list()]
    with pytest.raises(APIStatusError) as refusal:
        await client.chat.completions.create(model="/models/nothing-here", messages=QUESTION)
    assert refusal.value.status_code == 404
    assert "/models/nothing-here" in refusal.value.message


async def test_openais_client_streams_from_a_cold_model(berth: Release) -> None:
    stream = await berth.openai().chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def test_a_cold_stream_says_what_it_waits_for(berth: Release) -> None:
    body = {"model": MODEL, "messages": QUESTION, "max_tokens": 4, "stream": True}
    key = {"Authorization": f"Bearer {berth.api_key}"}
    async with (
        aiohttp.ClientSession(headers=key) as session,
        session.post(f"{berth.url}/v1/chat/completions", json=body) as response,
    ):
        assert response.status == 200
        lines = [line.decode().strip() async for line in response.content]
    assert lines[0].startswith(f": waiting for {MODEL}")
    assert any("the engine loads the model" in line for line in lines if line.startswith(":"))
    assert lines[-2:] == ["data: [DONE]", ""]


async def test_another_context_size_runs_beside_the_first(berth: Release) -> None:
    for n_ctx in (None, 1024, 4096):
        stated = {} if n_ctx is None else {"n_ctx": n_ctx}
        status, answer, _ = await berth.post(
            "/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 2, **stated}
        )
        assert status == 200, answer
    # 1024 is met by the 2048 that the first one has; 4096 is not.
    sizes = [
        deployment.spec.llamacpp.context_size for deployment in await berth.deployments() if deployment.spec.llamacpp
    ]
    assert sorted(size for size in sizes if size) == [2048, 4096]
