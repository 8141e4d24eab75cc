"""A model that does not run is asked for."""

import asyncio
from datetime import UTC, datetime, timedelta

import openai
import orjson
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, ForbiddenError, Object, UnavailableError
from berth_router.settings import RouterSettings
from tests.unit.router.conftest import MODEL, PROMPT, Serving, served
from tests.unit.router.engine import Call, chunk


@pytest.mark.covers("ttl")
async def test_the_first_request_creates_the_deployment_and_is_answered_when_it_is_ready(serving: Serving) -> None:
    asking = asyncio.create_task(serving.ask(extra_body={"ttl": 60, "n_ctx": 4096}))
    name = await serving.created()
    await serving.set_status(name, phase="Starting")
    assert not asking.done()

    await serving.make_ready(name)

    assert await asking == "Paris."
    (deployment,) = await serving.deployments()
    assert deployment["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "berth-router"}
    assert deployment["spec"] == {
        "model": MODEL,
        "backend": "llamacpp",
        "device": "cpu",
        "devices": 1,
        "llamacpp": {"contextSize": 4096, "gpuLayers": 0},
        "idle": {"ttlSeconds": 60, "action": "Delete"},
    }


async def test_fifty_requests_at_once_make_one_deployment_and_get_fifty_answers(serving: Serving) -> None:
    asking = [asyncio.create_task(serving.ask()) for _ in range(50)]
    await serving.make_ready(await serving.created())

    assert await asyncio.gather(*asking) == ["Paris."] * 50
    assert serving.cluster.calls["create"] == 1
    assert len(await serving.deployments()) == 1


async def test_two_routers_that_are_asked_at_once_share_one_deployment(
    serving: Serving, settings: RouterSettings
) -> None:
    other_settings = settings.model_copy(update={"replica": "router-2"})
    async with served(serving.cluster, serving.engine, other_settings) as other:
        asking = [asyncio.create_task(router.ask()) for router in (serving, other) * 5]
        await serving.make_ready(await serving.created())

        assert await asyncio.gather(*asking) == ["Paris."] * 10
        assert len(await serving.deployments()) == 1


async def test_a_deployment_deleted_under_a_waiting_request_is_made_again(serving: Serving) -> None:
    asking = asyncio.create_task(serving.ask())
    first = await serving.created()
    uid = (await serving.deployments())[0]["metadata"]["uid"]

    await serving.cluster.delete(MODEL_DEPLOYMENTS, first)
    await serving.until(lambda found: len(found) == 1 and found[0]["metadata"]["uid"] != uid)
    await serving.make_ready(first)

    assert await asking == "Paris."


async def test_a_sleeping_deployment_is_woken_by_a_lease(ready: Serving) -> None:
    name = await ready.created()
    await ready.reported_in_flight(0)
    await ready.set_status(name, phase="Sleeping", endpoint=None, activity={"router-1": None})

    asking = asyncio.create_task(ready.ask())
    await ready.until(lambda found: "router-1" in found[0]["status"]["activity"])
    await ready.make_ready(name)

    assert await asking == "Paris."


async def test_a_request_for_a_model_whose_engine_gives_no_answer_waits_until_it_does(ready: Serving) -> None:
    name = await ready.created()
    await ready.reported_in_flight(0)
    silent = {"type": "Reconciling", "status": "True", "reason": "EngineNotAnswering", "message": "the engine is asked"}
    await ready.set_status(name, phase="Unresponsive", endpoint=None, conditions=[silent])

    asking = asyncio.create_task(ready.ask())
    await ready.in_hand(1)
    assert not asking.done()
    (model,) = orjson.loads((await ready.raw("GET", "/v1/models/loaded")).body)["loaded_models"]
    assert model["phase"] == "Unresponsive"
    await ready.make_ready(name)

    assert await asking == "Paris."


async def test_a_start_that_fails_tells_every_waiting_client_the_reason(serving: Serving) -> None:
    asking = [asyncio.create_task(serving.ask()) for _ in range(3)]
    retry_at = (datetime.now(UTC) + timedelta(seconds=50)).isoformat()
    await serving.make_stalled(await serving.created(), "ImagePullBackOff", "berth/llamacpp:9 is not there", retry_at)

    for answer in asking:
        with pytest.raises(openai.InternalServerError) as raised:
            await answer
        error = raised.value
        assert error.status_code == 503
        assert error.code == "image_pull_back_off"
        assert "berth/llamacpp:9 is not there" in error.message
        assert 40 <= int(error.response.headers["retry-after"]) <= 50
        assert error.response.headers["x-should-retry"] == "false"


async def test_a_request_after_the_wait_has_a_failed_start_tried_again(serving: Serving) -> None:
    asking = asyncio.create_task(serving.ask())
    name = await serving.created()
    retry_at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    await serving.make_stalled(name, "EngineExited", "the file is broken", retry_at)
    await serving.until(_leased)  # the operator sees by it that somebody asks
    assert not asking.done()
    await serving.make_ready(name)
    assert await asking == "Paris."


def _leased(found: list[Object]) -> bool:
    return any(entry.get("leaseUntil") for entry in found[0]["status"].get("activity", {}).values())


async def test_a_request_for_a_stalled_model_gets_its_reason_at_once_and_makes_nothing_new(serving: Serving) -> None:
    asking = asyncio.create_task(serving.ask())
    await serving.make_stalled(await serving.created(), "OOMKilled", "it needs more than 1Gi")
    with pytest.raises(openai.InternalServerError):
        await asking

    with pytest.raises(openai.InternalServerError, match="it needs more than 1Gi"):
        await serving.ask()
    assert serving.cluster.calls["create"] == 1


@pytest.mark.parametrize("settings", [{"cold_start_deadline": 1.5}], indirect=True)
async def test_at_the_deadline_the_client_hears_how_far_the_start_is(serving: Serving) -> None:
    asking = asyncio.create_task(serving.ask())
    loading = {
        "type": "Reconciling",
        "status": "True",
        "reason": "LoadingModel",
        "message": "the engine loads\nthe model",
    }
    await serving.set_status(await serving.created(), phase="Starting", conditions=[loading])

    with pytest.raises(openai.InternalServerError) as raised:
        await asking

    assert raised.value.status_code == 503
    assert raised.value.code == "deadline_exceeded"
    assert "It is Starting: the engine loads the model." in raised.value.message
    assert 1 <= int(raised.value.response.headers["retry-after"]) <= 120
    assert len(await serving.deployments()) == 1, "the start goes on for the next request"


@pytest.mark.parametrize("settings", [{"max_requests_per_model": 2}], indirect=True)
async def test_no_more_requests_are_held_for_a_model_than_allowed(serving: Serving) -> None:
    asking = {asyncio.create_task(serving.ask()) for _ in range(3)}
    refused, queued = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)

    with pytest.raises(openai.RateLimitError, match="2 requests for /models/tiny are in hand") as raised:
        await refused.pop()
    assert raised.value.response.headers["retry-after"] == "5"
    await serving.make_ready(await serving.created())
    assert await asyncio.gather(*queued) == ["Paris."] * 2


@pytest.mark.parametrize("settings", [{"max_deployments": 1}], indirect=True)
async def test_no_more_deployments_are_made_than_allowed(ready: Serving) -> None:
    with pytest.raises(openai.InternalServerError, match="1 of 1 are live") as raised:
        await ready.ask(extra_body={"n_ctx": 8192})
    assert raised.value.code == "too_many_deployments"
    assert await ready.ask() == "Paris."


async def test_a_client_that_leaves_does_not_undo_the_start(serving: Serving) -> None:
    with pytest.raises(openai.APITimeoutError):
        await serving.ask(timeout=0.3)
    name = await serving.created()
    await serving.reported_in_flight(0)

    await serving.make_ready(name)
    assert await serving.ask() == "Paris."
    assert serving.cluster.calls["create"] == 1


async def test_a_cluster_that_does_not_answer_is_a_retryable_error(serving: Serving) -> None:
    await serving.raw("GET", "/readyz")
    serving.cluster.fail_next("create", UnavailableError("the API server cannot be reached"))
    with pytest.raises(openai.InternalServerError, match="the API server cannot be reached") as raised:
        await serving.ask()
    assert raised.value.status_code == 503
    assert "x-should-retry" not in raised.value.response.headers


async def test_a_cluster_that_forbids_says_so(serving: Serving) -> None:
    serving.cluster.fail_next("create", ForbiddenError("exceeded quota: models"))
    with pytest.raises(openai.InternalServerError, match="exceeded quota: models"):
        await serving.ask()


@pytest.mark.covers("stream")
async def test_a_stream_begins_with_comments_while_the_model_starts(serving: Serving) -> None:
    body = orjson.dumps({"model": MODEL, "messages": PROMPT, "stream": True})
    asking = asyncio.create_task(serving.raw("POST", "/v1/chat/completions", body))
    name = await serving.created()
    await serving.set_status(name, phase="Starting")
    await serving.make_ready(name)

    reply = await asking
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = reply.body.decode().split("\n\n")
    assert events[0] == f": waiting for {MODEL}: Pending"
    assert events[-3:-1] == [chunk("is.").decode().strip(), "data: [DONE]"]


async def test_the_openai_client_reads_a_stream_that_had_to_wait(serving: Serving) -> None:
    asking = asyncio.create_task(serving.stream())
    await serving.make_ready(await serving.created())
    assert await asking == "Paris."


async def test_a_start_that_fails_under_a_stream_is_raised_by_the_openai_client(serving: Serving) -> None:
    asking = asyncio.create_task(serving.stream())
    await serving.make_stalled(await serving.created(), "EngineFailed", "the engine exited with 1: no such tensor")
    with pytest.raises(openai.APIError, match="no such tensor"):
        await asking


async def test_an_engine_that_refuses_a_stream_that_has_begun_is_heard(serving: Serving) -> None:
    async def refuse(call: Call) -> None:
        await call.answer(
            {"error": {"message": "the prompt is too long", "type": "invalid_request_error"}}, "400 Bad Request"
        )

    serving.engine.behaviour = refuse
    asking = asyncio.create_task(serving.stream())
    await serving.make_ready(await serving.created())
    with pytest.raises(openai.APIError, match="the prompt is too long"):
        await asking
