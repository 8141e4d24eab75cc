"""Models that nobody uses go; models that somebody uses stay."""

import time
from typing import Any

from berth_api.activity import expires_at
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS
from tests.e2e.release import MODEL, Release, user

QUESTION = user("Tell me a long story about a ship.")


def ask(ttl: int, max_tokens: int = 2, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": QUESTION, "max_tokens": max_tokens, "ttl": ttl, **more}


async def test_idle_for_its_ttl_and_not_before(berth: Release) -> None:
    status, answer, _ = await berth.post("/v1/chat/completions", ask(ttl=4))
    assert status == 200, answer
    answered_at = time.time()
    gone_at = await berth.until(MODEL_DEPLOYMENTS, lambda objects: None if objects else time.time())
    assert gone_at - answered_at >= 4
    assert await berth.until(PODS, lambda pods: True if not any("smollm2" in name for name in pods) else None)


async def test_a_request_prolongs_it(berth: Release) -> None:
    await berth.post("/v1/chat/completions", ask(ttl=60))
    [first] = await berth.deployments()
    before = expires_at(first)
    assert before is not None
    await berth.post("/v1/chat/completions", ask(ttl=600))
    later = await berth.until_deployment(lambda each: (expires_at(each) or before) > before)
    assert later.uid == first.uid
    assert later.status.activity


async def test_a_stream_that_outlasts_the_ttl_runs_to_its_end(berth: Release) -> None:
    await berth.post("/v1/chat/completions", ask(ttl=1))
    client = berth.openai(max_retries=0)
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        max_tokens=600,
        temperature=0,
        stream=True,
        extra_body={"ttl": 1, "ignore_eos": True},
    )
    started_at = time.time()
    finish = None
    async for chunk in stream:
        finish = chunk.choices[0].finish_reason if chunk.choices else finish
    assert time.time() - started_at > 2, "the answer was too short to show anything"
    assert finish == "length"
    await berth.until(MODEL_DEPLOYMENTS, lambda objects: None if objects else True)


async def test_a_persons_deployment_sleeps_and_wakes(berth: Release) -> None:
    manifest = {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "mine"},
        "spec": {
            "model": MODEL,
            "backend": "llamacpp",
            "device": "cpu",
            "idle": {"ttlSeconds": 2, "startAsleep": True},
        },
    }
    berth.kubectl.apply(manifest)
    berth.kubectl.run("wait", "md/mine", "--for=condition=Ready", "--timeout=60s")
    assert not await berth.engine_pods()
    asleep = await berth.until_phase("Sleeping")
    for _ in range(2):
        status, answer, _ = await berth.post(
            "/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 2}
        )
        assert status == 200, answer
        [awake] = await berth.deployments()
        assert (awake.name, awake.uid) == ("mine", asleep.uid)
        await berth.until_phase("Sleeping")
        await berth.until(PODS, lambda pods: True if not any(name.startswith("mine-") for name in pods) else None)
