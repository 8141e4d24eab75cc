"""Downloads over the API: one for each content, and nothing that is there is overwritten.

The operator is played by the test.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from berth_api.model_download import ModelDownloadSpec, download_name
from berth_api.repository import DEFAULT_HUB
from berth_cluster.cluster import MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, Kind, Object, UnavailableError
from berth_router.settings import RouterSettings
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.router.conftest import MODEL, Serving, served
from tests.unit.router.engine import Engine
from tests.unit.router.management import call


async def request(serving: Serving, url: str = "acme/tiny", **fields: Any) -> tuple[int, Any]:
    return await call(serving, "POST", "/v1/models/download", url=url, **fields)


async def downloads(serving: Serving) -> list[Object]:
    return list((await serving.cluster.list(MODEL_DOWNLOADS)).items)


async def set_status(serving: Serving, name: str, **status: Any) -> None:
    await serving.cluster.patch_status(MODEL_DOWNLOADS, name, status)


def publish(settings: RouterSettings, destination: str, repository: str = "acme/tiny") -> None:
    """What a finished download leaves."""
    place = Path(settings.model_store) / destination
    place.mkdir(parents=True)
    manifest: dict[str, Any] = {"repository": repository, "revision": "main", "commit": "0123456789abcdef", "files": []}
    (place / ".berth-manifest.json").write_text(json.dumps(manifest))


@pytest.mark.covers(
    "POST /v1/models/download: url (request)",
    "POST /v1/models/download: include (request)",
    "POST /v1/models/download: exclude (request)",
    "POST /v1/models/download: destination",
)
async def test_a_request_makes_a_modeldownload(serving: Serving) -> None:
    status, answer = await request(
        serving,
        f"{DEFAULT_HUB}/acme/tiny/tree/v1.0",
        quantization="q4_k_m",
        include=["*.gguf"],
        exclude=["x/*"],
        destination="org/mine",
    )
    [made] = await downloads(serving)
    assert (status, answer["status"], answer["destination"]) == (200, "Pending", "/models/org/mine")
    assert answer["job_id"] == made["metadata"]["name"]
    assert answer["job_id"] in answer["message"]
    assert made["spec"] == {
        "repository": "acme/tiny",
        "revision": "v1.0",
        "destination": "org/mine",
        "quantization": "q4_k_m",
        "include": ["*.gguf"],
        "exclude": ["x/*"],
    }


@pytest.mark.covers(
    "POST /v1/models/download: quantization (request)", "POST /v1/models/download: destination (request)"
)
async def test_the_destination_is_the_repositorys_name_and_the_quantization(serving: Serving) -> None:
    _, answer = await request(serving, "acme/other")
    assert answer["destination"] == "/models/other"
    _, answer = await request(serving, "acme/other@v2", quantization="Q8_0")
    assert answer["destination"] == "/models/other-Q8_0"


@pytest.mark.covers("POST /v1/models/download: job_id")
async def test_the_same_content_is_one_download(serving: Serving) -> None:
    answers = await asyncio.gather(*(request(serving, "acme/other") for _ in range(5)))
    assert {answer["job_id"] for _, answer in answers} == {(await downloads(serving))[0]["metadata"]["name"]}
    assert len(await downloads(serving)) == 1


@pytest.mark.covers("409 destination_taken")
async def test_another_content_for_a_place_that_is_being_filled_is_refused(serving: Serving) -> None:
    _, first = await request(serving, "acme/other")
    for fields in (
        {"url": "acme/other@v2"},
        {"url": "elsewhere/other"},
        {"url": "acme/x", "destination": "other/inner"},
    ):
        status, answer = await request(serving, **fields)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (409, "destination_taken", "destination")
        assert first["job_id"] in answer["error"]["message"]
        assert "acme/other@main" in answer["error"]["message"]
    await set_status(serving, first["job_id"], phase="Failed", message="The repository is gone.")
    assert (await request(serving, "acme/other@v2"))[0] == 200


@pytest.mark.covers("404 download_not_found, never")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("job_id", ["x%3Fwatch=true", "..", "%2e%2e", "x%23y", "a%20b", "X", "x" * 300, "%00"])
async def test_what_cannot_be_a_downloads_name_is_not_found_at_once(serving: Serving, method: str, job_id: str) -> None:
    serving.cluster.calls.clear()
    status, answer = await call(serving, method, f"/v1/models/download/{job_id}")
    assert (status, answer["error"]["code"]) == (404, "download_not_found")
    assert (serving.cluster.calls["get"], serving.cluster.calls["delete"]) == (0, 0)


@pytest.mark.covers("409 destination_taken by a model")
async def test_what_is_in_the_store_is_not_overwritten(serving: Serving, settings: RouterSettings) -> None:
    (Path(settings.model_store) / "byhand").mkdir()
    (Path(settings.model_store) / "byhand" / "model.gguf").write_bytes(b"GGUF")
    publish(settings, "published")
    for url, destination, said in (
        ("acme/tiny", "byhand", "holds something that was not downloaded"),
        ("acme/other", "published", "holds the model acme/tiny@0123456789ab"),
        ("acme/other", "published/inner", "lies inside the model /models/published"),
    ):
        status, answer = await request(serving, url, destination=destination)
        assert (status, answer["error"]["code"]) == (409, "destination_taken")
        assert said in answer["error"]["message"]
        assert "DELETE /v1/models/inventory/" in answer["error"]["message"]
    assert await downloads(serving) == []
    # The same repository: the download itself finds out whether the files are the same.
    assert (await request(serving, "acme/tiny", destination="published"))[0] == 200


@pytest.mark.covers("POST /v1/models/download: status", "POST /v1/models/download: message")
async def test_one_that_failed_is_tried_again_and_one_that_succeeded_is_told(
    serving: Serving, settings: RouterSettings
) -> None:
    _, first = await request(serving, "acme/other")
    await set_status(serving, first["job_id"], phase="Failed", message="no room")
    [failed] = await downloads(serving)
    _, second = await request(serving, "acme/other")
    [made] = await downloads(serving)
    assert (second["job_id"], second["status"]) == (first["job_id"], "Pending")
    assert made["metadata"]["uid"] != failed["metadata"]["uid"]

    await set_status(serving, first["job_id"], phase="Succeeded")
    publish(settings, "other", "acme/other")
    status, third = await request(serving, "acme/other")
    assert (status, third["status"]) == (200, "Succeeded")
    assert "/models/other is there" in third["message"]
    assert [one["metadata"]["uid"] for one in await downloads(serving)] == [made["metadata"]["uid"]]


async def test_one_whose_files_are_gone_is_made_anew(serving: Serving) -> None:
    _, first = await request(serving, "acme/other")
    await set_status(serving, first["job_id"], phase="Succeeded")
    _, second = await request(serving, "acme/other")
    assert second["status"] == "Pending"


@pytest.mark.covers(
    "downloads[].job_id",
    "downloads[].repository",
    "downloads[].revision",
    "downloads[].quantization",
    "downloads[].destination",
    "downloads[].phase",
    "downloads[].reason",
    "downloads[].message",
    "downloads[].commit",
    "downloads[].bytes_done",
    "downloads[].bytes_total",
    "downloads[].bytes_fetched",
    "downloads[].bytes_per_second",
    "downloads[].eta_seconds",
    "downloads[].files_done",
    "downloads[].files_total",
    "downloads[].started_at",
    "downloads[].finished_at",
    "GET /v1/models/download: total_count",
    "GET /v1/models/download/{job_id}: job_id",
    "GET /v1/models/download/{job_id}: repository",
    "GET /v1/models/download/{job_id}: revision",
    "quantization",
    "GET /v1/models/download/{job_id}: destination",
    "phase",
    "reason",
    "GET /v1/models/download/{job_id}: message",
    "GET /v1/models/download/{job_id}: commit",
    "bytes_done",
    "bytes_total",
    "bytes_fetched",
    "bytes_per_second",
    "eta_seconds",
    "files_done",
    "files_total",
    "started_at",
    "finished_at",
)
async def test_a_download_tells_how_far_it_is(serving: Serving) -> None:
    _, made = await request(serving, "acme/other@v2", quantization="Q8_0")
    progress = {
        "bytesDone": 50,
        "bytesTotal": 100,
        "bytesFetched": 60,
        "bytesPerSecond": 10,
        "etaSeconds": 5,
        "filesDone": 1,
        "filesTotal": 2,
    }
    times = {"startedAt": "2026-01-01T00:00:00Z"}
    running = {"phase": "Running", "reason": "Downloading", "message": "1 of 2 files", "commit": "c" * 40}
    await set_status(serving, made["job_id"], **running, **progress, **times)
    status, download = await call(serving, "GET", f"/v1/models/download/{made['job_id']}")
    assert status == 200
    assert download == {
        "job_id": made["job_id"],
        "repository": "acme/other",
        "revision": "v2",
        "quantization": "Q8_0",
        "destination": "/models/other-Q8_0",
        "phase": "Running",
        "reason": "Downloading",
        "message": "1 of 2 files",
        "commit": "c" * 40,
        "bytes_done": 50,
        "bytes_total": 100,
        "bytes_fetched": 60,
        "bytes_per_second": 10,
        "eta_seconds": 5,
        "files_done": 1,
        "files_total": 2,
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": None,
    }
    assert await call(serving, "GET", "/v1/models/download") == (200, {"downloads": [download], "total_count": 1})


@pytest.mark.covers(
    "404 download_not_found",
    "DELETE /v1/models/download/{job_id}: job_id",
    "DELETE /v1/models/download/{job_id}: message",
)
async def test_cancelling_deletes_it(serving: Serving) -> None:
    _, made = await request(serving, "acme/other")
    status, cancelled = await call(serving, "DELETE", f"/v1/models/download/{made['job_id']}")
    assert (status, cancelled["job_id"]) == (200, made["job_id"])
    assert await downloads(serving) == []
    for method in ("GET", "DELETE"):
        status, answer = await call(serving, method, f"/v1/models/download/{made['job_id']}")
        assert (status, answer["error"]["code"]) == (404, "download_not_found")


@pytest.mark.covers("400")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"url": "https://evil.example/acme/tiny"}, "url"),
        ({"url": "ftp://huggingface.co/acme/tiny"}, "url"),
        ({"url": "https://user:secret@huggingface.co/acme/tiny"}, "url"),
        ({"url": "acme"}, "url"),
        ({"url": "../../etc"}, "url"),
        ({"url": "acme/tiny@../x"}, "url"),
        ({"url": "acme/tiny", "destination": "../outside"}, "destination"),
        ({"url": "acme/tiny", "destination": "/models/x"}, "destination"),
        ({"url": "acme/tiny", "destination": ".hidden"}, "destination"),
        ({"url": "acme/tiny", "quantization": "Q4 K"}, "quantization"),
        ({"url": "acme/tiny", "include": ["$(TOKEN)"]}, "include"),
        ({"url": "acme/tiny", "exclude": ["-x"]}, "exclude"),
    ],
)
async def test_what_is_wrong_is_named(serving: Serving, fields: dict[str, Any], param: str) -> None:
    status, answer = await request(serving, **fields)
    assert (status, answer["error"]["param"]) == (400, param)
    assert "secret" not in answer["error"]["message"]
    assert await downloads(serving) == []


@pytest.mark.in_memory("a cluster that fails on demand")
async def test_a_cluster_that_is_away_is_503(serving: Serving) -> None:
    serving.cluster.fail_next("get", UnavailableError("no answer"))
    status, answer = await request(serving)
    assert (status, answer["error"]["code"]) == (503, "cluster_unavailable")


class OfAnotherVersion(MemoryCluster):
    """A cluster that has stored what this version's schema does not let in."""

    def __init__(self) -> None:
        super().__init__()
        self._admission = {}

    async def store(self, kind: Kind, name: str, spec: Any) -> None:
        manifest: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}
        await self.create(kind, manifest if spec is None else {**manifest, "spec": spec})


POISON: list[Any] = [None, {}, {"repository": "a--b/c"}, {"repository": 7}, {"source": {"ollama": "x"}}, [], "x"]


@pytest.mark.covers("500 download_not_understood")
@pytest.mark.in_memory("a real API server refuses such an object, unless it is of another version")
@pytest.mark.parametrize("spec", POISON)
async def test_a_download_that_cannot_be_read_is_told_deleted_and_in_nobodys_way(
    engine: Engine,
    settings: RouterSettings,
    spec: Any,
) -> None:
    cluster = OfAnotherVersion()
    await cluster.store(MODEL_DOWNLOADS, "poison", spec)
    async with served(cluster, engine, settings.model_copy(update={"store_writable": True})) as serving:
        await serving.until_ready()
        assert (await request(serving, "acme/other"))[0] == 200
        status, listed = await call(serving, "GET", "/v1/models/download")
        assert (status, [one["repository"] for one in listed["downloads"]]) == (200, ["acme/other"])
        assert (await call(serving, "DELETE", "/v1/models/inventory/tiny"))[0] == 200
        status, answer = await call(serving, "GET", "/v1/models/download/poison")
        assert (status, answer["error"]["code"]) == (500, "download_not_understood")
        assert "DELETE /v1/models/download/poison" in answer["error"]["message"]
        assert (await call(serving, "DELETE", "/v1/models/download/poison"))[0] == 200
        assert (await call(serving, "GET", "/v1/models/download/poison"))[0] == 404


@pytest.mark.in_memory("a real API server refuses such an object, unless it is of another version")
async def test_one_of_the_same_name_that_cannot_be_read_is_told(engine: Engine, settings: RouterSettings) -> None:
    cluster = OfAnotherVersion()
    name = download_name(ModelDownloadSpec(repository="acme/other"))
    await cluster.store(MODEL_DOWNLOADS, name, {"repository": "a--b/c"})
    async with served(cluster, engine, settings) as serving:
        await serving.until_ready()
        status, answer = await request(serving, "acme/other")
        assert (status, answer["error"]["code"]) == (500, "download_not_understood")
        assert (await call(serving, "DELETE", f"/v1/models/download/{name}"))[0] == 200
        assert (await request(serving, "acme/other"))[0] == 200


@pytest.mark.in_memory("a real API server refuses such an object, unless it is of another version")
@pytest.mark.parametrize(
    ("spec", "deletes"),
    [(None, 200), ({}, 200), ({"model": 7}, 200), ({"model": MODEL, "backend": "new"}, 409)],
)
async def test_a_deployment_that_cannot_be_read_ends_no_router(
    engine: Engine,
    settings: RouterSettings,
    spec: Any,
    deletes: int,
) -> None:
    cluster = OfAnotherVersion()
    await cluster.store(MODEL_DEPLOYMENTS, "poison", spec)
    async with served(cluster, engine, settings.model_copy(update={"store_writable": True})) as serving:
        await serving.until_ready()
        await cluster.store(MODEL_DEPLOYMENTS, "poison-later", spec)
        assert (await call(serving, "GET", "/v1/models/loaded"))[1]["total_count"] == 0
        assert (await call(serving, "DELETE", "/v1/models/inventory/tiny"))[0] == deletes
        assert (await call(serving, "GET", "/healthz"))[0] == 200


@pytest.mark.parametrize("settings", [{"engine_first_byte_seconds": 0.2}], indirect=True)
async def test_a_pull_without_a_stream_is_answered_at_its_end_however_long_that_takes(serving: Serving) -> None:
    since = (await serving.cluster.list(MODEL_DOWNLOADS)).resource_version
    pulling = asyncio.create_task(call(serving, "POST", "/api/pull", model="acme/tiny", stream=False))
    created = await anext(serving.cluster.watch(MODEL_DOWNLOADS, since))
    await asyncio.sleep(0.5)  # longer than an engine may be silent
    await set_status(serving, created.object["metadata"]["name"], phase="Succeeded")
    assert await pulling == (200, {"status": "success"})
