"""What cannot start says why: in the resource, and to whoever waits for it."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import Object
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.e2e.release import MODEL, Release, install, user
from tests.kubectl import Kubectl

QUESTION = user("Hello")


def manifest(model: str, **spec: Any) -> Object:
    return {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "broken"},
        "spec": {"model": model, "backend": "llamacpp", "device": "cpu", **spec},
    }


def stalled(deployment: ModelDeployment) -> tuple[str, str]:
    condition = condition_of(deployment.status.conditions, ConditionType.STALLED)
    assert condition is not None
    assert condition.status == "True"
    return condition.reason, condition.message


def is_stalled(deployment: ModelDeployment, reason: str | None) -> bool:
    """Whether it is, for this reason. None: whether it is not."""
    condition = condition_of(deployment.status.conditions, ConditionType.STALLED)
    return (condition.reason if condition and condition.status == "True" else None) == reason


async def test_a_request_for_a_model_that_is_not_there(berth: Release) -> None:
    status, answer, _ = await berth.post("/v1/chat/completions", {"model": "/models/nothing", "messages": QUESTION})
    assert status == 404
    assert answer["error"]["code"] == "model_not_found"
    assert answer["error"]["param"] == "model"
    assert "/models/nothing" in answer["error"]["message"]
    assert await berth.deployments() == []


async def test_a_manifest_for_a_model_that_is_not_there(berth: Release) -> None:
    berth.kubectl.apply(manifest("/models/nothing"))
    reason, message = stalled(await berth.until_phase("Stalled"))
    assert reason == "ModelNotFound"
    assert "/models/nothing" in message
    assert "SmolLM2-135M-Instruct" in message, "it should say what there is"


@pytest.mark.parametrize(
    ("model", "reason", "said"),
    [
        ("not-a-gguf", "WrongFormat", "is an HTML or XML page"),
        ("cut-off", "WrongFormat", "the download did not finish"),
    ],
)
async def test_a_wrong_gguf(berth: Release, model: str, reason: str, said: str) -> None:
    status, answer, headers = await berth.post(
        "/v1/chat/completions", {"model": f"/models/{model}", "messages": QUESTION}
    )
    assert status == 503
    assert 1 <= int(headers["retry-after"]) <= 120
    assert said in answer["error"]["message"]
    [deployment] = await berth.deployments()
    assert stalled(deployment)[0] == reason
    # Whoever asks again meanwhile is told at once, and nothing is made anew.
    again, answer, _ = await berth.post("/v1/chat/completions", {"model": f"/models/{model}", "messages": QUESTION})
    assert again == 503
    assert said in answer["error"]["message"]


async def test_a_cold_stream_that_fails_ends_with_an_error(berth: Release) -> None:
    stream = await berth.openai(max_retries=0).chat.completions.create(
        model="/models/not-a-gguf", messages=QUESTION, stream=True
    )
    with pytest.raises(openai.APIError, match="is an HTML or XML page"):
        async for _ in stream:
            pass


async def test_no_node_for_it(berth: Release) -> None:
    berth.kubectl.apply(manifest(MODEL, nodeSelector={"no-node": "has-this"}))
    reason, message = stalled(await berth.until_phase("Stalled"))
    assert reason == "Unschedulable"
    assert "node" in message
    status, answer, _ = await berth.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION})
    assert status == 503
    assert "no node can take the pod" in answer["error"]["message"]


async def test_not_enough_memory(berth: Release) -> None:
    berth.kubectl.apply(manifest(MODEL, resources={"limits": {"memory": "48Mi"}}))
    reason, message = stalled(await berth.until_phase("Stalled"))
    assert reason == "OutOfMemory"
    assert "48Mi" in message


async def test_a_changed_spec_whose_pod_is_refused_leaves_the_engine_before_it_serving(berth: Release) -> None:
    asked = {"model": MODEL, "messages": QUESTION, "max_tokens": 2}
    berth.kubectl.apply(manifest(MODEL))
    await berth.until_phase("Ready")
    [pod] = await berth.engine_pods()

    berth.kubectl.apply(manifest(MODEL, pod={"affinity": {"nodeAfinity": {}}}))
    refused = await berth.until_deployment(lambda each: is_stalled(each, "PodRefused"))
    assert 'unknown field "spec.affinity.nodeAfinity"' in stalled(refused)[1]
    status, answer, _ = await berth.post("/v1/chat/completions", asked)
    assert status == 200, answer
    assert [each["metadata"]["uid"] for each in await berth.engine_pods()] == [pod["metadata"]["uid"]]

    berth.kubectl.apply(manifest(MODEL, pod={"labels": {"team": "a"}}))
    await berth.until_deployment(
        lambda each: is_stalled(each, None) and each.status.attempt == 2 and each.status.phase == "Ready"
    )
    status, answer, _ = await berth.post("/v1/chat/completions", asked)
    assert status == 200, answer


async def test_an_engine_that_is_killed_while_it_serves_is_replaced(berth: Release) -> None:
    await berth.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 2})
    stream = await berth.openai(max_retries=0).chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=2000, stream=True, extra_body={"ignore_eos": True}
    )
    await anext(stream)
    [pod] = await berth.engine_pods()
    berth.kill_9(pod, "llama-server")
    with pytest.raises(openai.APIError, match="engine"):
        async for _ in stream:
            pass
    dead = await berth.until_deployment(lambda each: each.status.last_failure is not None)
    assert dead.status.last_failure is not None
    assert dead.status.last_failure.reason == "EngineKilled"
    status, answer, _ = await berth.post(
        "/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 2}
    )
    assert status == 200, answer
    [successor] = [each for each in await berth.engine_pods() if "deletionTimestamp" not in each["metadata"]]
    assert successor["metadata"]["uid"] != pod["metadata"]["uid"]


async def test_an_engine_that_is_killed_while_it_loads_tells_those_who_wait(berth: Release) -> None:
    waiting = asyncio.create_task(
        berth.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 2})
    )
    await berth.until_deployment(lambda each: any(step.name == "EngineStarted" for step in each.status.start_steps))
    [pod] = await berth.engine_pods()
    berth.kill_9(pod, "llama")  # whatever it is by now: the launcher, or the engine that it becomes
    status, answer, _ = await waiting
    [deployment] = await berth.deployments()
    assert deployment.status.last_failure is not None
    assert deployment.status.last_failure.reason == "EngineKilled"
    # Killed before it was ready: told. Killed in the moment after: the request was sent again to its successor.
    assert status == 200 or (status == 503 and "SIGKILL" in answer["error"]["message"])


@pytest.fixture
def without_engine_image(
    test_cluster: Kubectl, crds: None, images: dict[str, str], release: Release
) -> Iterator[Release]:
    """A release whose engine image does not exist."""
    del release  # its image registry and models are used
    wrong = {**images, "llamacpp": images["llamacpp"].rsplit(":", 1)[0] + ":no-such-tag"}
    installed = install(make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}"), wrong, "router.replicas=1")
    yield installed
    installed.uninstall()


async def test_an_image_that_is_missing(without_engine_image: Release) -> None:
    release = without_engine_image
    cluster = await KubernetesCluster.connect(release.kubectl.namespace)
    release.watch_with(cluster)
    status, answer, _ = await release.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION})
    assert status == 503
    assert "no-such-tag cannot be pulled" in answer["error"]["message"]
    [deployment] = await release.deployments()
    assert stalled(deployment)[0] == "ImagePullFailed"
    await cluster.close()
