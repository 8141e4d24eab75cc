"""What someone who has never seen Berth sees with kubectl."""

import re
import subprocess

from tests.e2e.release import MODEL, RELEASE, ROOT, Release, user

QUESTION = user("Hello")
EXAMPLE = "examples/modeldeployment.yaml"


async def test_the_example_serves_under_its_path(berth: Release) -> None:
    berth.kubectl.run("apply", "-f", str(ROOT / EXAMPLE))
    ready = await berth.until_phase("Ready")
    status, answer, _ = await berth.post(
        "/v1/chat/completions", {"model": ready.spec.model, "messages": QUESTION, "max_tokens": 2}
    )
    assert status == 200, answer
    assert [each.name for each in await berth.deployments()] == [ready.name]
    row = berth.kubectl.run("get", "md", "--no-headers")
    assert re.search(rf"{ready.name}\s+{MODEL}\s+llamacpp\s+cpu\s+Ready\s+True\s+\d+\s+20\d\d-\S+Z\s+\d+", row), row
    written = berth.kubectl.json("get", "md", ready.name, "--show-managed-fields")["metadata"]["managedFields"]
    assert {"berth-operator", "berth-router"} <= {each["manager"] for each in written}
    told = berth.kubectl.run("describe", "md", ready.name)
    steps = ("PodCreated", "PodScheduled", "EngineStarted", "EngineReady")
    for line in ("Normal  Starting", "Normal  EngineReady", "the engine answers", "Phase:", *steps):
        assert line in told


def test_helm_test_asks_the_release(release: Release) -> None:
    command = ["helm", "test", RELEASE, "--namespace", release.kubectl.namespace, "--logs", "--timeout", "3m"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert MODEL.removeprefix("/models/") in done.stdout


def test_nothing_of_it_offends_the_restricted_pod_security_standard(release: Release) -> None:
    assert "Warning" not in release.printed


async def test_a_node_is_drained_without_more_flags(berth: Release) -> None:
    await berth.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 1})
    [engine] = await berth.engine_pods()
    drain = ("drain", engine["spec"]["nodeName"], "--dry-run=server", "--pod-selector=app.kubernetes.io/part-of=berth")
    told = berth.kubectl.run(*drain)
    for pod in [engine, *berth.pods_of("operator"), *berth.pods_of("router")]:
        assert f"evicting pod {berth.kubectl.namespace}/{pod['metadata']['name']}" in told


async def test_an_engine_has_no_credentials_and_no_rights(berth: Release) -> None:
    await berth.post("/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 1})
    [pod] = await berth.engine_pods()
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert not any("projected" in volume for volume in spec["volumes"])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "ModelDeployment"
    name = pod["metadata"]["name"]
    assert "uid=65532" in berth.kubectl.run("exec", name, "--", "id")
    processes = berth.kubectl.run("exec", name, "--", "sh", "-c", "cat /proc/1/comm; cat /proc/[0-9]*/comm")
    assert processes.split()[0] == "tini"
    assert "llama-server" in processes
