"""The download reconciler with a download that really answers, on the cluster in memory."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from berth_api.cluster import JOBS, MODEL_DOWNLOADS, PODS, ForbiddenError
from berth_api.model_download import ModelDownload
from berth_operator.downloads import DownloadReconciler, ProgressReader
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.operator.downloads.building import SETTINGS, last_word

MANIFEST: dict[str, Any] = {
    "apiVersion": "berth.dev/v1alpha1",
    "kind": "ModelDownload",
    "metadata": {"name": "smol"},
    "spec": {"repository": "org/SmolLM2"},
}


async def changes(cluster: MemoryCluster, since: str = "0") -> AsyncIterator[ModelDownload]:
    """The download after each change of it."""
    async for event in cluster.watch(MODEL_DOWNLOADS, since):
        yield ModelDownload.parse(event.object)


async def first(cluster: MemoryCluster, reason: str) -> ModelDownload:
    async with asyncio.timeout(10):
        async for download in changes(cluster):
            if download.status.reason == reason:
                return download
    raise AssertionError("watching ends never")


async def start_pod(cluster: MemoryCluster, port: int) -> None:
    """What the Job controller and the kubelet would do."""
    job = await cluster.get(JOBS, "smol")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "smol", "uid": job["metadata"]["uid"], "controller": True}
    template = job["spec"]["template"]
    template["spec"]["containers"][0]["ports"][0]["containerPort"] = port
    metadata = {"name": "smol-x", "labels": template["metadata"]["labels"], "ownerReferences": [owner]}
    await cluster.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], "nodeName": "n"}})
    running = {"name": "download", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    await cluster.patch_status(PODS, "smol-x", {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [running]})


async def test_progress_is_written_as_it_is_told_and_at_most_once_a_second() -> None:
    figures = itertools.count(100, 100)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=last_word("Downloading", bytesDone=next(figures), bytesFetched=900))

    application = web.Application()
    application.router.add_get("/progress", answer)
    cluster = MemoryCluster()
    await cluster.create(MODEL_DOWNLOADS, MANIFEST)
    async with TestServer(application, host="127.0.0.1") as server, ProgressReader() as reader:
        reconciler = DownloadReconciler(cluster, reader, SETTINGS)
        reconciler.wake("smol")
        await first(cluster, "WaitingForPod")
        await start_pod(cluster, server.make_url("/").port or 0)
        reconciler.wake("smol")
        told: list[tuple[float, str | None]] = []
        async with asyncio.timeout(10):
            async for download in changes(cluster):
                if download.status.bytes_done:
                    told.append((time.monotonic(), download.status.progress))
                if len(told) == 3:
                    break
        await reconciler.close()
    assert [progress for _, progress in told] == ["10%", "20%", "30%"]
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(told)]
    assert all(gap > 0.9 for gap in gaps), gaps


async def test_a_job_that_is_not_allowed_is_told_as_the_reason() -> None:
    cluster = MemoryCluster()
    await cluster.create(MODEL_DOWNLOADS, MANIFEST)
    cluster.fail_next("create", ForbiddenError("exceeded quota: jobs"))
    async with ProgressReader() as reader:
        reconciler = DownloadReconciler(cluster, reader, SETTINGS)
        reconciler.wake("smol")
        refused = await first(cluster, "JobRefused")
        assert refused.status.message == "the Job was refused: exceeded quota: jobs"
        reconciler.wake("smol")
        await first(cluster, "WaitingForPod")
        await reconciler.close()
