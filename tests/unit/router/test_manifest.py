"""GET /v1/models/manifest."""

from typing import Any

import orjson
import pytest

from berth_api.model_deployment import ModelDeploymentSpec
from berth_cluster.cluster import MODEL_DEPLOYMENTS
from tests.unit.router.conftest import MODEL, Reply, Serving


async def manifest(serving: Serving, query: str) -> Any:
    reply: Reply = await serving.raw("GET", f"/v1/models/manifest?{query}")
    return orjson.loads(reply.body)


@pytest.mark.covers("model (query)", "apiVersion", "GET /v1/models/manifest: kind")
async def test_a_model_that_does_not_run_has_the_manifest_that_a_request_would_make(serving: Serving) -> None:
    shown = await manifest(serving, "model=tiny")
    assert (shown["apiVersion"], shown["kind"]) == ("berth.dev/v1alpha1", "ModelDeployment")
    assert shown["spec"]["model"] == MODEL
    assert shown["spec"]["llamacpp"] == {"contextSize": 2048, "gpuLayers": 0}
    assert shown["spec"]["idle"]["action"] == "Sleep"
    ModelDeploymentSpec.model_validate(shown["spec"])
    assert await serving.deployments() == []


@pytest.mark.covers("metadata.name", "spec")
async def test_a_running_model_has_the_manifest_of_its_deployment(ready: Serving) -> None:
    shown = await manifest(ready, f"model={MODEL}")
    (live,) = await ready.deployments()
    assert shown["metadata"] == {"name": live["metadata"]["name"]}
    assert shown["spec"] == {**live["spec"], "idle": {**live["spec"]["idle"], "action": "Sleep"}}


async def test_what_a_person_declared_is_told_as_it_is(serving: Serving) -> None:
    spec = {"model": MODEL, "backend": "llamacpp", "device": "cpu", "idle": {"ttlSeconds": 7, "action": "Delete"}}
    identity = {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.kind,
        "metadata": {"name": "mine"},
    }
    await serving.cluster.create(MODEL_DEPLOYMENTS, {**identity, "spec": spec})
    while (shown := await manifest(serving, "model=tiny"))["metadata"]["name"] != "mine":
        pass
    assert shown["spec"]["idle"] == spec["idle"]


@pytest.mark.covers("backend, device (query)")
async def test_the_manifest_is_of_the_engine_that_is_asked_for(serving: Serving) -> None:
    shown = await manifest(serving, "model=tiny&backend=vllm&device=cpu")
    assert (shown["spec"]["backend"], shown["spec"]["device"]) == ("vllm", "cpu")
    assert "llamacpp" not in shown["spec"]


async def test_a_model_that_is_not_in_the_store_has_none(serving: Serving) -> None:
    reply = await serving.raw("GET", "/v1/models/manifest?model=absent")
    assert (reply.status, orjson.loads(reply.body)["error"]["code"]) == (404, "model_not_found")
