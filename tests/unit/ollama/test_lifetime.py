"""How long a model stays that Ollama's own client asks for, and how much context it starts with."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from berth_api.activity import expires_at
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Object
from tests.unit.ollama.asking import DONE, NAME, QUESTION, chat, stream
from tests.unit.router.conftest import Serving
from tests.unit.router.engine import Call, chunk


def expired(deployments: list[Object]) -> bool:
    """Whether the operator may remove the only deployment now."""
    (deployment,) = map(ModelDeployment.parse, deployments)
    end = expires_at(deployment)
    return end is not None and end <= datetime.now(UTC)


async def test_without_a_prompt_the_model_is_loaded(serving: Serving, client: Any) -> None:
    loading = asyncio.create_task(client.generate(NAME, keep_alive=-1))
    await serving.make_ready(await serving.created())
    loaded = await loading
    assert (loaded.done, loaded.done_reason, loaded.response) == (True, "load", "")
    assert not serving.engine.calls
    (deployment,) = await serving.deployments()
    assert deployment["spec"]["idle"]["ttlSeconds"] == 0


async def test_with_keep_alive_0_the_model_goes_when_its_answer_is_complete(ready: Serving, client: Any) -> None:
    parts = await stream(client, keep_alive=0)
    assert parts[-1].done
    await ready.until(expired)


async def test_requests_with_keep_alive_0_one_after_another_are_all_answered(ready: Serving, client: Any) -> None:
    for _ in range(20):
        assert (await chat(client, keep_alive=0)).message.content == "Paris."
    await ready.until(expired)
    assert ready.cluster.calls["patch_status"] < 20, "no write for each"


async def test_with_keep_alive_0_and_no_prompt_the_model_goes_now(ready: Serving, client: Any) -> None:
    gone = await client.generate(NAME, "", keep_alive=0)
    assert (gone.done, gone.done_reason) == (True, "unload")
    await ready.until(expired)
    await ready.cluster.delete(MODEL_DEPLOYMENTS, await ready.created())
    await ready.until(lambda found: not found)
    again = await client.chat(NAME, [], keep_alive="0s")
    assert again.done_reason == "unload", "a model that does not run is no error"


async def test_with_keep_alive_0_a_model_that_others_use_stays(ready: Serving, client: Any) -> None:
    go_on = asyncio.Event()

    async def halting(call: Call) -> None:
        if call.body["stream"]:
            await call.begin_stream()
            await call.stream(chunk("Par"))
            await go_on.wait()
            await call.stream(chunk("is.") + DONE)
            await call.stream(b"")
        else:
            await call.answer()

    ready.engine.behaviour = halting
    parts = await client.chat(NAME, QUESTION, stream=True)
    await anext(parts)
    assert (await chat(client, keep_alive=0)).message.content == "Paris."
    go_on.set()
    assert [part.message.content async for part in parts] == ["is.", ""]
    await ready.reported_in_flight(0)
    assert not expired(await ready.deployments())


async def test_a_smaller_num_ctx_is_met_by_what_runs(ready: Serving, client: Any) -> None:
    for size in (None, 100, 1024, 2048):
        assert (await chat(client, options={"num_ctx": size})).message.content == "Paris."
    assert len(await ready.deployments()) == 1


async def test_a_larger_num_ctx_starts_another_which_then_serves_all(ready: Serving, client: Any) -> None:
    asking = asyncio.create_task(chat(client, options={"num_ctx": 8192}))
    found = await ready.until(lambda found: len(found) == 2)
    large = next(one for one in found if one["spec"]["llamacpp"]["contextSize"] == 8192)
    await ready.make_ready(large["metadata"]["name"])
    assert (await asking).message.content == "Paris."
    small = next(one for one in found if one is not large)
    await ready.cluster.delete(MODEL_DEPLOYMENTS, small["metadata"]["name"])
    for size in (None, 4096):
        assert (await chat(client, options={"num_ctx": size})).message.content == "Paris."
    assert len(await ready.deployments()) == 1


async def test_num_ctx_is_kept_within_what_engines_take(serving: Serving, client: Any) -> None:
    asking = asyncio.create_task(chat(client, options={"num_ctx": 2**50}))
    await serving.make_ready(await serving.created())
    assert (await asking).message.content == "Paris."
    (deployment,) = await serving.deployments()
    assert deployment["spec"]["llamacpp"]["contextSize"] == 1_048_576
