"""What is planned, stored as the API server does, read and planned again comes to rest: every row of both tables."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from berth_api.model_deployment import ModelDeployment
from berth_api.model_download import ModelDownload
from berth_cluster.cluster import Object
from berth_local.node.cluster import merged
from berth_operator.deployments.actions import CreatePod, DeletePod, ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.downloads import plan as downloads
from berth_operator.reconciling.writer import DeleteResource, WriteStatus, status_patch
from tests.unit.operator import test_idle, test_plan, test_replacing, test_serving
from tests.unit.operator.building import NOW, SETTINGS, at
from tests.unit.operator.cases import Case
from tests.unit.operator.downloads import test_plan as downloads_test_plan
from tests.unit.operator.downloads import test_waiting
from tests.unit.operator.downloads.cases import Case as DownloadCase

CASES = [*test_plan.CASES, *test_idle.CASES, *test_serving.CASES, *test_replacing.CASES]
DOWNLOAD_CASES = [*downloads_test_plan.CASES, *test_waiting.CASES]

ROUNDS = 3
"""After so many nothing more is done."""

TICK = timedelta(seconds=0.15)
"""What passes between two rounds: less than a second in all, which is the least that any row leaves to what is due."""


def stored(manifest: Object, patch: Object) -> Object:
    """The object after its status was written, with the merge of a JSON merge patch."""
    metadata = {**manifest["metadata"], "resourceVersion": str(int(manifest["metadata"]["resourceVersion"]) + 1)}
    return {**manifest, "metadata": metadata, "status": merged(manifest["status"], patch)}


def as_stored(subject: ModelDeployment | ModelDownload) -> Object:
    metadata = {
        "name": subject.name,
        "uid": subject.uid,
        "resourceVersion": subject.resource_version,
        "generation": subject.generation,
        "creationTimestamp": subject.created_at.isoformat(),
        **({"deletionTimestamp": at(-1)} if subject.deleting else {}),
    }
    return {"metadata": metadata, "spec": subject.spec.manifest(), "status": subject.status.manifest()}


@dataclass
class Made:
    """What is created gets what the API server gives it."""

    count: int = 0

    def __call__(self, manifest: Object) -> Object:
        self.count += 1
        metadata = {**manifest["metadata"], "uid": f"made-{self.count}", "creationTimestamp": at(0)}
        return {**manifest, "metadata": metadata, "status": {}}


def is_not(name: str) -> Callable[[Object], bool]:
    return lambda item: item["metadata"]["name"] != name


@dataclass
class Rounds:
    """What some rounds did, and when each wanted to look again."""

    done: list[list[str]]
    looks: list[datetime | None]


def deployment_rounds(case: Case, tick: timedelta = TICK) -> Rounds:
    """Some rounds, with so much time between them."""
    manifest, pods, now, make = as_stored(case.deployment), list(case.pods), NOW, Made()
    rounds = Rounds([], [])
    for _ in range(ROUNDS + 3):
        deployment = ModelDeployment.parse(manifest)
        plan = make_plan(ObservedDeployment(deployment, pods, case.probes), case.settings, now)
        done: list[str] = []
        for action in plan.actions:
            match action:
                case CreatePod(pod) if all(map(is_not(pod["metadata"]["name"]), pods)):
                    done.append(f"creates {pod['metadata']['name']}")
                    pods.append(make(pod))
                case CreatePod():
                    pass  # it is there
                case DeletePod(name, _):
                    done.append(f"deletes {name}")
                    pods = list(filter(is_not(name), pods))
                case WriteStatus():
                    if patch := status_patch(deployment.status, plan.status, plan.forget):
                        done.append(f"writes {sorted(patch)}")
                        manifest = stored(manifest, patch)
                case DeleteResource():
                    rounds.done.append(["deletes the deployment"])
                    return rounds
        rounds.done.append(done)
        rounds.looks.append(plan.wake_at)
        now += tick
    return rounds


def download_rounds(case: DownloadCase, tick: timedelta = TICK) -> Rounds:
    """Some rounds, with so much time between them."""
    manifest, jobs, now, make = as_stored(case.download), list(case.jobs), NOW, Made()
    rounds = Rounds([], [])
    for _ in range(ROUNDS + 3):
        download = ModelDownload.parse(manifest)
        observed = downloads.ObservedDownload(download, jobs, case.pods, case.progress, [download, *case.others])
        plan = downloads.make_plan(observed, case.settings, now)
        done: list[str] = []
        for action in plan.actions:
            match action:
                case downloads.CreateJob(job) if all(map(is_not(job["metadata"]["name"]), jobs)):
                    done.append(f"creates {job['metadata']['name']}")
                    jobs.append(make(job))
                case downloads.CreateJob():
                    pass  # it is there
                case downloads.DeleteJob(name, _):
                    done.append(f"deletes {name}")
                    jobs = list(filter(is_not(name), jobs))
                case WriteStatus():
                    if patch := status_patch(download.status, plan.status):
                        done.append(f"writes {sorted(patch)}")
                        manifest = stored(manifest, patch)
                case DeleteResource():
                    rounds.done.append(["deletes the download"])
                    return rounds
        rounds.done.append(done)
        rounds.looks.append(plan.wake_at)
        now += tick
    return rounds


def check(rounds: Rounds) -> None:
    assert [done for done in rounds.done[ROUNDS:] if done] == [], rounds.done


def check_looks(rounds: Rounds) -> None:
    """Nobody is woken by what he wrote himself: he must look again by himself, as soon as whoever reads that would."""
    resync = NOW + timedelta(seconds=SETTINGS.timing.resync)
    looks = [min(look or resync, resync) for look in rounds.looks]
    assert all(looks[0] <= look for look in looks), rounds.looks


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_state_of_a_deployment_comes_to_rest(case: Case) -> None:
    check(deployment_rounds(case))


@pytest.mark.parametrize("case", DOWNLOAD_CASES, ids=lambda case: case.name)
def test_every_state_of_a_download_comes_to_rest(case: DownloadCase) -> None:
    check(download_rounds(case))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_deployments_plan_waits_for_no_report_of_its_own_writes(case: Case) -> None:
    check_looks(deployment_rounds(case, timedelta(0)))


@pytest.mark.parametrize("case", DOWNLOAD_CASES, ids=lambda case: case.name)
def test_a_downloads_plan_waits_for_no_report_of_its_own_writes(case: DownloadCase) -> None:
    rounds = download_rounds(case, timedelta(0))
    if not any("deletes" in done for done in rounds.done[0]):  # the end of a Job is a change
        check_looks(rounds)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_deployment_writes_only_what_its_reader_knows(case: Case) -> None:
    """What is stored is read as it was planned: no field is lost on the way there and back."""
    plan = case.plan()
    manifest: dict[str, Any] = stored(as_stored(case.deployment), status_patch(case.deployment.status, plan.status))
    read = ModelDeployment.parse(manifest).status
    assert (
        read.model_copy(update={"activity": {}}).manifest()
        == plan.status.model_copy(update={"activity": {}}).manifest()
    )
