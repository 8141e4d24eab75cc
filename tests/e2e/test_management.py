"""What is loaded, counted and stored, how to be rid of it, and who may ask."""

import asyncio
import json
import subprocess
from typing import Any

import openai
import pytest

from berth_cluster.cluster import CONFIG_MAPS, PODS, Object
from tests.e2e.release import MODEL, RELEASE, ROOT, Release, user

QUESTION = user("Hello")
STORY = user("Write a long story about the sea.")


def router_url(pod: Object) -> str:
    """The API of one replica."""
    return f"http://{pod['status']['podIP']}:8080/v1"


def requests_reported(objects: dict[str, Object]) -> int:
    """Requests that all routers have reported."""
    data: dict[str, str] = objects[f"{RELEASE}-stats"].get("data") or {}
    entries = [json.loads(text) for text in data.values()]
    return sum(entry["hits"] + entry["misses"] for entry in entries)


@pytest.mark.covers("loaded_models[].ttl")
async def test_loaded_then_unloaded(berth: Release) -> None:
    await berth.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 1, "ttl": 77})
    loaded = await berth.get("/v1/models/loaded")
    assert loaded["total_count"] == 1
    [entry] = loaded["loaded_models"]
    assert (entry["model_path"], entry["backend"], entry["device"], entry["ttl"]) == (MODEL, "llamacpp", "cpu", 77)
    assert entry["cache_key"] == "smollm2-135m-instruct_llamacpp_cpu"
    status, answer, _ = await berth.post("/v1/models/unload", {"model": MODEL, "backend": "llamacpp", "device": "cpu"})
    assert status == 200, answer
    await berth.until(PODS, lambda pods: True if not any("smollm2" in name for name in pods) else None)
    assert await berth.deployments() == []
    status, answer, _ = await berth.post("/v1/models/unload", {"model": MODEL})
    assert status == 404
    assert MODEL in answer["error"]["message"]


async def test_what_a_person_declared_sleeps_when_it_is_unloaded(berth: Release) -> None:
    berth.kubectl.run("apply", "-f", str(ROOT / "examples/modeldeployment.yaml"))
    ready = await berth.until_phase("Ready")
    status, answer, _ = await berth.post("/v1/models/unload", {"model": ready.spec.model})
    assert status == 200, answer
    asleep = await berth.until_phase("Sleeping")
    assert asleep.uid == ready.uid
    status, answer, _ = await berth.post(
        "/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 1}
    )
    assert status == 200, answer


async def test_an_unknown_path_says_where_to_look(berth: Release) -> None:
    status, answer, _ = await berth.post("/v1/chat/complete", {})
    assert status == 404
    assert "/docs" in answer["error"]["message"]


async def test_a_key_is_needed_and_allows_what_its_scopes_say(berth: Release) -> None:
    with pytest.raises(openai.AuthenticationError):
        await berth.openai(api_key="none").models.list()
    client = berth.openai(api_key=berth.key("client"), max_retries=0)
    assert MODEL.removeprefix("/models/") in [model.id async for model in client.models.list()]
    await client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1)
    with pytest.raises(openai.PermissionDeniedError):
        await client.get("/models/loaded", cast_to=object)
    assert "get secret berth-api-keys" in berth.printed


async def test_keys_outlive_an_upgrade(berth: Release) -> None:
    command = [
        "helm",
        "upgrade",
        RELEASE,
        str(ROOT / "charts/berth"),
        "--namespace",
        berth.kubectl.namespace,
        "--reuse-values",
        "--wait",
    ]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=240)
    assert berth.key("admin") == berth.api_key


async def test_the_inventory_lists_the_stores_files(berth: Release) -> None:
    inventory = await berth.get("/v1/models/inventory")
    [entry] = [model for model in inventory["models"] if model["path"] == MODEL]
    assert entry["name"] == MODEL.removeprefix("/models/")
    assert entry["recommended_backends"] == ["llamacpp"]
    assert [file["type"] for file in entry["files"]] == ["gguf"]
    assert entry["size_gb"] == pytest.approx(0.098, abs=0.001)
    assert inventory["total_models"] == len(inventory["models"])


@pytest.mark.covers("total_requests", "cache_hits", "cache_misses")
async def test_stats_are_those_of_all_replicas_and_outlive_their_restarts(berth: Release) -> None:
    before = await berth.get("/v1/models/stats")
    pods = berth.pods_of("router")
    for pod in pods:
        client = berth.openai(base_url=router_url(pod))
        for _ in range(2):
            await client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1)
    expected = before["total_requests"] + 2 * len(pods)
    counted = await berth.until(
        CONFIG_MAPS, lambda objects: requests_reported(objects) if requests_reported(objects) >= expected else None
    )
    for pod in pods:
        berth.kill_9(pod, "berth-router")
    names = {pod["metadata"]["name"] for pod in pods}
    await berth.until(PODS, lambda found: True if all(_restarted_and_ready(found[name]) for name in names) else None)
    after: Any = await berth.openai(base_url=router_url(pods[0])).get("/models/stats", cast_to=object)
    # At least: what a replica counted before this test may have been reported only in the course of it.
    assert after["total_requests"] >= counted
    assert after["cache_misses"] >= before["cache_misses"] + 1
    assert after["cache_hits"] + after["cache_misses"] == after["total_requests"]
    assert (after["total_models"], after["active_models"]) == (1, 1)


@pytest.mark.covers("draining")
async def test_unload_all_waits_for_a_stream_that_runs_through_another_router(berth: Release) -> None:
    one, other = (router_url(pod) for pod in berth.pods_of("router"))
    await berth.openai(base_url=one).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1)
    stream = await berth.openai(base_url=one).chat.completions.create(
        model=MODEL, messages=STORY, max_tokens=300, stream=True
    )
    parts = aiter(stream)
    first = await anext(parts)
    unloading = asyncio.create_task(
        berth.openai(base_url=other, max_retries=0).post("/models/unload-all", cast_to=object)
    )
    finish = [part.choices[0].finish_reason async for part in parts if part.choices][-1]
    assert first.choices
    assert finish in ("length", "stop")
    unloaded: Any = await unloading
    assert len(unloaded["unloaded"]) == 1
    assert await berth.deployments() == []


def _restarted_and_ready(pod: Object) -> bool:
    [status] = pod["status"]["containerStatuses"]
    return status["restartCount"] > 0 and status["ready"]
