"""Models come from a hub: over the API and with kubectl, through kills, gates and refusals.

The hub is the stand-in, on this machine.
"""

import asyncio
import hashlib
import os
import random
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import aiohttp
import pytest

from berth_api.model_download import DownloadPhase, ModelDownload
from berth_cluster.cluster import JOBS, LABEL_DOWNLOAD, MODEL_DOWNLOADS, PODS, Object
from tests.conftest import make_namespace, missing
from tests.e2e.release import ROOT, Release, install, user
from tests.hub.faults import Fault
from tests.hub.server import HubServer
from tests.kubectl import Kubectl

SAMPLE = "SmolLM2-135M-Instruct"
REPOSITORY = f"acme/{SAMPLE}-GGUF"
TOKEN = "hf_the_token_of_the_tests"
UNIQUE = secrets.token_hex(3)
"""Ends the destinations of this run: stores of several namespaces may be one folder."""
KILLS = 10
FETCHED_TWICE = 1 << 20
"""Bytes that a kill may cost."""


@pytest.fixture(scope="module")
def hub(test_cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub that pods reach, with the sample model in two quantizations, of which one is real."""
    folder = tmp_path_factory.mktemp("sample")
    subprocess.run([ROOT / "scripts/sample-model", folder], check=True, timeout=300)
    [gguf] = (folder / SAMPLE).glob("*.gguf")
    addresses = test_cluster.json("get", "nodes")["items"][0]["status"]["addresses"]
    try:
        server = HubServer(next(address["address"] for address in addresses if address["type"] == "InternalIP"))
    except OSError:
        missing("a node that is this machine", "use the cluster of scripts/cluster")
        raise
    with server as running:
        files = {
            f"{SAMPLE}-Q4_1.gguf": gguf,
            f"{SAMPLE}-Q4_1_K.gguf": os.urandom(5000),
            "config.json": b"{}",
            "README.md": b"# Sample",
        }
        running.repository(REPOSITORY).commit(files)
        yield running


def digests(image: str) -> list[str]:
    """The image's digest, where it is in the registry of scripts/cluster."""
    registry, _, named = image.partition("/")
    if not registry.startswith("localhost:"):
        return []
    repository, _, tag = named.rpartition(":")
    types = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    request = Request(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"accept": types}, method="HEAD")
    with urlopen(request, timeout=10) as answer:
        return [answer.headers["docker-content-digest"]]


@pytest.fixture(scope="module")
def release(test_cluster: Kubectl, crds: None, images: dict[str, str], hub: HubServer) -> Iterator[Release]:
    """A release whose hub is the stand-in."""
    kubectl = make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}")
    kubectl.run("create", "secret", "generic", "hub-token", f"--from-literal=token={TOKEN}")
    values = (
        f"downloads.hubEndpoint={hub.url}",
        "downloads.minFreeBytes=0",
        f"networkPolicy.hub.ports={{{urlsplit(hub.cdn_url).port}}}",
        "downloads.tokenSecret.name=hub-token",
        "router.replicas=1",
        *(f"router.image.digest={digest}" for digest in digests(images["router"])),
    )
    installed = install(kubectl, images, *values)
    yield installed
    installed.uninstall()


@pytest.fixture
async def store(berth: Release) -> AsyncIterator[Release]:
    """The release; what its store got is deleted at the end."""
    yield berth
    await berth.clear()
    for download in await downloads(berth):
        await berth.cluster.delete(MODEL_DOWNLOADS, download.name)
    for model in (await berth.get("/v1/models/inventory"))["models"]:
        if UNIQUE in model["path"]:
            status, answer = await request(
                berth, "DELETE", f"/v1/models/inventory/{model['path'].removeprefix('/models/')}"
            )
            assert status == 200, answer


def test_an_image_is_pulled_by_its_digest(release: Release, images: dict[str, str]) -> None:
    [digest] = digests(images["router"]) or [None]
    if digest is None:
        missing("the images' digests", "the registry of scripts/cluster tells them")
    [router] = release.pods_of("router")
    [container] = router["spec"]["containers"]
    assert container["image"].endswith(f"/router@{digest}")


async def test_download_inventory_chat_by_the_api(store: Release) -> None:
    destination = f"by-api-{UNIQUE}"
    asked = {"url": REPOSITORY, "destination": destination, "quantization": "q4_1"}
    status, verified, _ = await store.post("/v1/models/verify-repo", asked)
    assert status == 200, verified
    assert [file["name"] for file in verified["files"]] == ["README.md", f"{SAMPLE}-Q4_1.gguf", "config.json"]
    first, second = await asyncio.gather(*(store.post("/v1/models/download", asked) for _ in range(2)))
    assert first[0] in (200, 202), first
    assert second[1]["job_id"] == first[1]["job_id"], "two requests for the same thing are one download"
    done = await ended(store, first[1]["job_id"])
    assert done.status.phase == DownloadPhase.SUCCEEDED, done.status.message
    shown = await store.get(f"/v1/models/download/{done.name}")
    assert (shown["phase"], shown["bytes_done"], shown["bytes_fetched"]) == (
        "Succeeded",
        verified["total_bytes"],
        verified["total_bytes"],
    )
    await serves(store, f"/models/{destination}")


async def test_download_inventory_chat_with_kubectl(store: Release) -> None:
    name = f"by-kubectl-{UNIQUE}"
    store.kubectl.apply(manifest(name, REPOSITORY, quantization="Q4_1"))
    store.kubectl.run("wait", f"mdl/{name}", "--for=condition=Ready", "--timeout=120s")
    row = store.kubectl.run("get", "mdl", name, "--no-headers")
    assert REPOSITORY in row
    assert "Succeeded" in row
    await serves(store, f"/models/{name}")


async def test_several_quantizations_and_none_named(store: Release) -> None:
    failed = await applied(store, manifest(f"unnamed-{UNIQUE}", REPOSITORY))
    assert (failed.status.phase, failed.status.reason) == (DownloadPhase.FAILED, "QuantizationRequired")
    assert "Q4_1 (" in (failed.status.message or "")
    assert "Q4_1_K (5 kB)" in (failed.status.message or "")
    assert absent(store, failed.destination)


async def test_a_gated_repository(store: Release, hub: HubServer) -> None:
    hub.repository("acme/gated", gated=True).commit({"model.safetensors": os.urandom(50_000), "config.json": b"{}"})
    wanted = manifest(f"gated-{UNIQUE}", "acme/gated")
    failed = await applied(store, wanted)
    assert (failed.status.phase, failed.status.reason) == (DownloadPhase.FAILED, "RepositoryGated")
    assert f"ask for it at {hub.url}/acme/gated" in (failed.status.message or "")
    assert len(await pods_of(store, failed.name)) == 1, "there is no use in another try"
    assert absent(store, failed.destination)
    assert TOKEN not in store.kubectl.run("get", "mdl,jobs,pods,events", "-o", "yaml")
    assert TOKEN not in store.kubectl.run("logs", "-l", f"{LABEL_DOWNLOAD}={failed.name}")
    await store.cluster.delete(MODEL_DOWNLOADS, failed.name)
    await store.until(MODEL_DOWNLOADS, lambda objects: True if failed.name not in objects else None)
    hub.tokens.add(TOKEN)
    done = await applied(store, wanted)
    assert done.status.phase == DownloadPhase.SUCCEEDED, done.status.message


async def test_a_hub_that_does_everything_wrong_once(store: Release, hub: HubServer) -> None:
    faults = {
        "cut": Fault("", cut_after=100_000),
        "wrong-byte": Fault("", flip=100_000),
        "too-many": Fault("", status=429, headers={"Retry-After": "1"}),
        "broken": Fault("", status=500),
        "stall": Fault("", stall_after=100_000),
    }
    files = {f"model-{name}.safetensors": os.urandom(300_000) for name in faults}
    hub.repository("acme/faulty").commit(files)
    hub.faults += [replace(fault, path=f"model-{name}.safetensors") for name, fault in faults.items()]
    done = await applied(store, manifest(f"faulty-{UNIQUE}", "acme/faulty"))
    assert done.status.phase == DownloadPhase.SUCCEEDED, done.status.message
    assert checksums(store, done.destination) == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    assert len(await pods_of(store, done.name)) == 1, "none of that is worth another pod"
    assert done.status.bytes_fetched == (done.status.bytes_total or 0) + 300_000, "only the wrong file came twice"


async def test_a_hub_that_serves_a_wrong_byte(store: Release, hub: HubServer) -> None:
    hub.repository("acme/wrong").commit({"wrong.safetensors": os.urandom(300_000)})
    hub.faults.append(Fault("wrong.safetensors", flip=7, times=9))
    failed = await applied(store, manifest(f"wrong-{UNIQUE}", "acme/wrong"))
    assert (failed.status.phase, failed.status.reason) == (DownloadPhase.FAILED, "ContentMismatch")
    assert "fix or bypass it" in (failed.status.message or "")
    assert absent(store, failed.destination)


async def test_a_model_that_does_not_fit(store: Release, hub: HubServer) -> None:
    repository = hub.repository("acme/huge")
    files = repository.commits[repository.commit({"huge.safetensors": os.urandom(5000)})]
    files["huge.safetensors"] = replace(files["huge.safetensors"], size=1 << 50)
    failed = await applied(store, manifest(f"huge-{UNIQUE}", "acme/huge"))
    assert (failed.status.phase, failed.status.reason) == (DownloadPhase.FAILED, "InsufficientStorage")
    assert "needs 1.1 PB, but the model store has" in (failed.status.message or "")
    assert "huge.safetensors" not in hub.sent, "refused before the first byte"
    assert absent(store, failed.destination)


async def test_what_is_there_is_not_overwritten(store: Release, hub: HubServer) -> None:
    for name in ("acme/one", "acme/two"):
        hub.repository(name).commit({"model.safetensors": os.urandom(50_000)})
    done = await applied(store, manifest(f"one-{UNIQUE}", "acme/one", destination=f"place-{UNIQUE}"))
    assert done.status.phase == DownloadPhase.SUCCEEDED, done.status.message
    before = checksums(store, f"place-{UNIQUE}")
    failed = await applied(store, manifest(f"two-{UNIQUE}", "acme/two", destination=f"place-{UNIQUE}"))
    assert failed.status.phase == DownloadPhase.FAILED
    assert "acme/one" in (failed.status.message or "")
    assert checksums(store, f"place-{UNIQUE}") == before
    sent = dict(hub.sent)
    again = await applied(store, manifest(f"one-again-{UNIQUE}", "acme/one", destination=f"place-{UNIQUE}"))
    assert again.status.phase == DownloadPhase.SUCCEEDED
    assert hub.sent == sent, "the same content is there already"


async def test_a_cancelled_download_leaves_nothing(store: Release, hub: HubServer) -> None:
    hub.repository("acme/cancelled").commit({"cancelled.safetensors": os.urandom(20_000_000)})
    hub.slow["cancelled.safetensors"] = 500_000
    _, begun, _ = await store.post(
        "/v1/models/download", {"url": "acme/cancelled", "destination": f"cancelled-{UNIQUE}"}
    )
    await asyncio.to_thread(hub.until_sent, 1_000_000, "cancelled.safetensors")
    status, answer = await request(store, "DELETE", f"/v1/models/download/{begun['job_id']}")
    assert status == 200, answer
    cleanup = f"{begun['job_id']}-cleanup"
    await store.until(JOBS, lambda jobs: True if cleanup in jobs and is_complete(jobs[cleanup]) else None)
    assert absent(store, f"cancelled-{UNIQUE}")
    assert begun["job_id"] not in store.kubectl.run("exec", "deploy/berth-router", "--", "ls", "/models/.downloads")


async def test_kill_9_at_ten_random_points(store: Release, hub: HubServer) -> None:
    """Ten downloads at once, each killed once, somewhere:
    each resumes, fetches next to nothing twice, and ends right.
    """
    size = 10_000_000
    contents = {f"killed-{number}-{UNIQUE}": os.urandom(size) for number in range(KILLS)}
    for name, content in contents.items():
        hub.slow[f"{name}.safetensors"] = 500_000
        hub.repository(f"acme/{name}").commit({f"{name}.safetensors": content, "config.json": b"{}"})
    store.kubectl.apply(*(manifest(name, f"acme/{name}") for name in contents))

    async def kill(name: str, waiters: ThreadPoolExecutor) -> int:
        point = random.Random().randrange(100_000, size * 6 // 10)  # noqa: S311 (no secret)
        await asyncio.get_running_loop().run_in_executor(waiters, hub.until_sent, point, f"{name}.safetensors")
        [pod] = await pods_of(store, name)
        store.kill_9(pod, "berth-download")
        del hub.slow[f"{name}.safetensors"]
        return point

    with ThreadPoolExecutor(KILLS) as waiters:
        points = await asyncio.gather(*(kill(name, waiters) for name in contents))
    twice = 0
    for name, content in contents.items():
        done = await ended(store, name)
        assert done.status.phase == DownloadPhase.SUCCEEDED, done.status.message
        assert len(await pods_of(store, name)) == 2
        assert checksums(store, name)[f"{name}.safetensors"] == hashlib.sha256(content).hexdigest()
        assert done.status.bytes_fetched is not None
        twice += done.status.bytes_fetched - size - 2
        assert 0 <= done.status.bytes_fetched - size - 2 <= FETCHED_TWICE
        assert hub.sent[f"{name}.safetensors"] <= size + FETCHED_TWICE
    sent = sum(hub.sent[f"{name}.safetensors"] for name in contents)
    print(
        f"killed at {sorted(points)}: {twice} bytes fetched twice, {sent - KILLS * size} sent twice, of {KILLS * size}"
    )


def manifest(name: str, repository: str, **spec: Any) -> Object:
    return {
        "apiVersion": MODEL_DOWNLOADS.api_version,
        "kind": MODEL_DOWNLOADS.kind,
        "metadata": {"name": name},
        "spec": {"repository": repository, "destination": name, **spec},
    }


async def applied(release: Release, wanted: Object) -> ModelDownload:
    """Applies it and waits for its end."""
    release.kubectl.apply(wanted)
    return await ended(release, name_of(wanted))


async def ended(release: Release, name: str) -> ModelDownload:
    """The download, as soon as it has succeeded or failed."""

    def finished(objects: dict[str, Object]) -> ModelDownload | None:
        download = ModelDownload.parse(objects[name]) if name in objects else None
        return download if download and download.status.phase and download.status.phase.finished else None

    return await release.until(MODEL_DOWNLOADS, finished)


async def downloads(release: Release) -> list[ModelDownload]:
    return [ModelDownload.parse(item) for item in (await release.cluster.list(MODEL_DOWNLOADS)).items]


async def pods_of(release: Release, download: str) -> list[Object]:
    return list((await release.cluster.list(PODS, {LABEL_DOWNLOAD: download})).items)


async def serves(release: Release, model: str) -> None:
    """The inventory knows it, and it answers."""
    [found] = [each for each in (await release.get("/v1/models/inventory"))["models"] if each["path"] == model]
    assert found["quantization"] == "Q4_1"
    asked = {"model": model, "messages": user("What is the capital of France?"), "max_tokens": 8}
    status, answer, _ = await release.post("/v1/chat/completions", asked)
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"]


async def request(release: Release, method: str, path: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {release.api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{release.url}{path}") as response,
    ):
        return response.status, await response.json()


def absent(release: Release, destination: str) -> bool:
    """Whether the store has no such directory."""
    return destination not in release.kubectl.run("exec", "deploy/berth-router", "--", "ls", "/models").split()


def checksums(release: Release, destination: str) -> dict[str, str]:
    """SHA-256 of the files of a model, as they are in the store."""
    lines = release.kubectl.run(
        "exec", "deploy/berth-router", "--", "sh", "-c", f"cd /models/{destination} && sha256sum *"
    ).splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines if "  " in line)}


def is_complete(job: Object) -> bool:
    conditions: list[Any] = job.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Complete" and condition["status"] == "True" for condition in conditions)


def name_of(item: Object) -> str:
    return item["metadata"]["name"]
