"""The operator's download reconciler against a real API server and Job controller, killed at every write it makes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from berth_api.model_download import ModelDownload
from berth_cluster.cluster import JOBS, LABEL_DOWNLOAD, MODEL_DOWNLOADS, PODS, Kind, Object, WatchEvent
from berth_cluster.following import Snapshot, follow
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_operator.downloads import DownloadReconciler, ProgressReader
from berth_operator.settings import OperatorSettings
from tests.integration.test_download_resource import manifest
from tests.integration.test_reconciler import DyingCluster

# No node has this label: pods are made and judged, but nothing runs, and the tests say how they end.
SETTINGS = OperatorSettings.model_validate(
    {
        "downloads": {
            "image": "localhost/nothing:1",
            "nodeSelector": {"berth.dev/no-such-node": "true"},
            "backoffLimit": 1,
        },
        "timing": {"unschedulableGrace": 0, "resync": 0.5},
    }
)


class Operator:
    """A download reconciler that looks again twice a second."""

    def __init__(self, cluster: KubernetesCluster, writes: int | None = None, *names: str) -> None:
        self.dying = DyingCluster(cluster, -1 if writes is None else writes)
        self._names = names or ("smol",)
        self._reader = ProgressReader()
        self._reconciler: DownloadReconciler | None = None

    async def __aenter__(self) -> "Operator":
        await self._reader.__aenter__()
        self._reconciler = DownloadReconciler(self.dying, self._reader, SETTINGS)
        for name in self._names:
            self._reconciler.wake(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reconciler
        await self._reconciler.close()
        await self._reader.__aexit__()


async def when(cluster: KubernetesCluster, kind: Kind, holds: Callable[[list[Object]], object]) -> list[Object]:
    """All objects of the kind, as soon as that holds of them."""
    items: dict[str, Object] = {}
    async with asyncio.timeout(60):
        async for change in follow(cluster, kind):
            match change:
                case Snapshot(found):
                    items = {item["metadata"]["name"]: item for item in found}
                case WatchEvent("DELETED", item):
                    items.pop(item["metadata"]["name"], None)
                case WatchEvent(_, item):
                    items[item["metadata"]["name"]] = item
            if holds(list(items.values())):
                return list(items.values())
    raise AssertionError("following ends never")


async def until(
    cluster: KubernetesCluster, wanted: Callable[[ModelDownload], bool], name: str = "smol"
) -> ModelDownload:
    """The download once it is as wanted."""

    def matching(items: list[Object]) -> list[ModelDownload]:
        return [
            found for item in items if item["metadata"]["name"] == name and wanted(found := ModelDownload.parse(item))
        ]

    return matching(await when(cluster, MODEL_DOWNLOADS, matching))[0]


async def unschedulable(cluster: KubernetesCluster, name: str = "smol") -> ModelDownload:
    return await until(cluster, lambda download: download.status.reason == "Unschedulable", name)


async def pod_ends(cluster: KubernetesCluster, code: int, **said: Any) -> Object:
    """Writes what a kubelet would write of a container that ended with this code and these last words."""
    [pod] = [pod for pod in (await cluster.list(PODS)).items if pod["status"]["phase"] == "Pending"]
    moment = pod["metadata"]["creationTimestamp"]
    terminated = {
        "exitCode": code,
        "message": json.dumps(said) if said else "",
        "startedAt": moment,
        "finishedAt": moment,
        "reason": "Error",
    }
    container = {
        "name": "download",
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}
    await cluster.patch_status(PODS, pod["metadata"]["name"], status)
    return pod


@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4])
async def test_killed_at_any_write_the_next_one_ends_where_it_would_have(
    cluster: KubernetesCluster, writes: int
) -> None:
    await cluster.create(MODEL_DOWNLOADS, manifest())
    async with Operator(cluster, writes) as first, asyncio.timeout(30):
        await first.dying.died.wait()
    async with Operator(cluster):
        download = await unschedulable(cluster)
    [job] = (await cluster.list(JOBS)).items
    assert job["metadata"]["ownerReferences"][0]["uid"] == download.uid
    assert job["metadata"]["labels"][LABEL_DOWNLOAD] == "smol"
    assert (download.status.phase, download.status.job_name) == ("Pending", job["metadata"]["name"])


async def test_once_settled_nothing_more_is_written(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DOWNLOADS, manifest())
    async with Operator(cluster):
        before = await unschedulable(cluster)
    async with Operator(cluster, 0) as watched:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await watched.dying.died.wait()
    assert (await unschedulable(cluster)).resource_version == before.resource_version


async def test_the_last_word_of_a_pod_is_the_end_of_its_download(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DOWNLOADS, manifest())
    async with Operator(cluster):
        await unschedulable(cluster)
        await pod_ends(
            cluster, 0, phase="Succeeded", commit="c0ffee", bytesDone=10, bytesTotal=10, filesDone=2, filesTotal=2
        )
        download = await until(cluster, lambda download: download.status.phase == "Succeeded")
    assert (download.status.progress, download.status.commit, download.status.files_done) == ("100%", "c0ffee", 2)


async def test_exit_code_3_is_final_and_the_job_makes_no_other_pod(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DOWNLOADS, manifest())
    async with Operator(cluster):
        await unschedulable(cluster)
        await pod_ends(cluster, 3, phase="Failed", reason="RepositoryGated", message="ask for access")
        download = await until(cluster, lambda download: download.status.phase == "Failed")
    assert (download.status.reason, download.status.message) == ("RepositoryGated", "ask for access")
    [job] = await when(cluster, JOBS, lambda jobs: jobs[0]["status"].get("conditions"))
    assert job["status"]["conditions"][0]["reason"] == "PodFailurePolicy"


async def test_any_other_end_is_tried_again_until_the_tries_are_used_up(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DOWNLOADS, manifest())
    async with Operator(cluster):
        await unschedulable(cluster)
        first = await pod_ends(cluster, 137)
        download = await until(cluster, lambda download: download.status.reason == "DownloadKilled")
        assert "it is tried again" in (download.status.message or "")
        await unschedulable(cluster)
        second = await pod_ends(cluster, 1, phase="Failed", reason="HubUnavailable", message="no answer")
        download = await until(cluster, lambda download: download.status.phase == "Failed")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert (download.status.reason, download.status.message) == (
        "HubUnavailable",
        "given up after 2 tries; the last: no answer",
    )


async def test_a_deleted_download_takes_its_job_with_it_and_then_its_partial_files(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DOWNLOADS, manifest())
    async with Operator(cluster):
        await unschedulable(cluster)
        await cluster.delete(MODEL_DOWNLOADS, "smol")
        await when(cluster, JOBS, lambda jobs: [job["metadata"]["name"] for job in jobs] == ["smol-cleanup"])
        [pod] = await when(cluster, PODS, len)
        assert pod["spec"]["containers"][0]["args"][:2] == ["--remove-staging", "smol"]
        await pod_ends(cluster, 0)
        await when(cluster, JOBS, lambda jobs: not jobs)


async def test_the_second_download_to_one_place_begins_when_the_first_has_ended(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DOWNLOADS, manifest("first", destination="same"))
    await cluster.create(MODEL_DOWNLOADS, manifest("second", destination="same", revision="v2"))
    async with Operator(cluster, None, "first", "second"):
        await unschedulable(cluster, "first")
        waiting = await until(cluster, lambda download: download.status.reason == "WaitingForOther", "second")
        assert "first" in (waiting.status.message or "")
        await pod_ends(cluster, 0)
        await unschedulable(cluster, "second")
