"""What is loaded, and how to be rid of it."""

from berth_api.cluster import PODS
from tests.e2e.release import MODEL, ROOT, Release, user

QUESTION = user("Hello")


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
    status, answer, _ = await berth.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 1})
    assert status == 200, answer


async def test_an_unknown_path_says_where_to_look(berth: Release) -> None:
    status, answer, _ = await berth.post("/v1/chat/complete", {})
    assert status == 404
    assert "/docs" in answer["error"]["message"]
