"""The download reconciler with a download that really answers, on the cluster in memory."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from berth_api.conditions import ConditionType
from berth_api.model_download import ModelDownload
from berth_cluster.cluster import JOBS, MODEL_DOWNLOADS, PODS, ForbiddenError
from berth_operator.downloads import DownloadReconciler, ProgressReader
from berth_operator.objects.parts import condition, status_of
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.operator.downloads.building import SETTINGS, last_word
from tests.unit.operator.downloads.test_faults import begin, reason
from tests.unit.operator.world import World
from tests.unit.virtual_time import run_in_virtual_time

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
    [job] = (await cluster.list(JOBS)).items
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
    }
    template = job["spec"]["template"]
    template["spec"]["containers"][0]["ports"][0]["containerPort"] = port
    metadata = {"name": "smol-x", "labels": template["metadata"]["labels"], "ownerReferences": [owner]}
    await cluster.create(
        PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], "nodeName": "n"}}
    )
    running = {"name": "download", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    await cluster.patch_status(
        PODS, "smol-x", {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [running]}
    )


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


def test_one_that_cannot_be_read_stops_no_other_and_is_told() -> None:
    async def run() -> None:
        async with World(begin, MODEL_DOWNLOADS, {}) as world:  # it holds what an earlier version let in
            with capture_logs() as logs:
                await world.cluster.create(
                    MODEL_DOWNLOADS, {**MANIFEST, "metadata": {"name": "old"}, "spec": {"repository": "a--b/c"}}
                )
                await world.cluster.create(MODEL_DOWNLOADS, MANIFEST)
                await world.until(reason("WaitingForPod"))
                told = await world.until(reason("NotUnderstood"), name="old")
                await asyncio.sleep(20)
                written = world.writes()
                await asyncio.sleep(120)
            assert told
            assert "'a--b/c' is not a repository" in status_of(told)["message"]
            stalled = condition(told, ConditionType.STALLED)
            assert stalled
            assert (stalled["status"], stalled["reason"]) == ("True", "NotUnderstood")
            assert world.writes() == written, "once it is reported there is nothing more to write"
            assert [log["name"] for log in logs if log["event"] == "not_understood"] == ["old"], "logged once"

    run_in_virtual_time(run())


def test_somebody_elses_job_of_the_same_name_is_told_and_left() -> None:
    async def run() -> None:
        async with World(begin, MODEL_DOWNLOADS) as world:
            created = await world.cluster.create(MODEL_DOWNLOADS, MANIFEST)
            taken = f"smol-{created['metadata']['uid'][:8]}"
            await world.cluster.create(
                JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": taken}, "spec": {}}
            )
            found = await world.until(reason("JobNameTaken"))
            assert found
            assert found["status"]["phase"] == "Failed"
            assert [job["metadata"]["name"] for job in (await world.cluster.list(JOBS)).items] == [taken]

    run_in_virtual_time(run())
