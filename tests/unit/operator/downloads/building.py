"""Downloads, Jobs and pods in every state, for the tables."""

import json
from typing import Any

from berth_api.download_report import DownloadReport
from berth_api.model_download import ModelDownload
from berth_cluster.cluster import Object
from berth_operator.downloads.plan import CleanupPlan, CreateJob, DeleteJob, DownloadAction, DownloadPlan
from berth_operator.downloads.reported_progress import ReportedProgress
from berth_operator.reconciling.writer import DeleteResource
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import NOW, at

UID = "aaaaaaaa-2222-3333-4444-555555555555"
JOB_UID = "bbbbbbbb-2222-3333-4444-555555555555"
POD_UID = "cccccccc-2222-3333-4444-555555555555"
SETTINGS = OperatorSettings.model_validate({"downloads": {"image": "berth/download:1"}})


def download(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any
) -> ModelDownload:
    return ModelDownload.parse(
        {
            "metadata": {
                "name": "smol",
                "uid": UID,
                "resourceVersion": "7",
                "generation": 1,
                "creationTimestamp": at(-100),
                **metadata,
            },
            "spec": {"repository": "org/SmolLM2", **(spec or {})},
            "status": status or {},
        }
    )


def job(name: str = "smol-aaaaaaaa", owner: str | None = UID, condition: str | None = None, **more: Any) -> Object:
    """A Job made 2 seconds ago. `condition`: Complete, or Failed for this reason."""
    conditions = []
    if condition:
        kind = (
            {"type": "Complete"}
            if condition == "Complete"
            else {"type": "Failed", "reason": condition, "message": "the Job's words"}
        )
        conditions = [{**kind, "status": "True"}]
    metadata = {
        "name": name,
        "uid": JOB_UID,
        "creationTimestamp": at(-2),
        "ownerReferences": [{"uid": owner}] if owner else [],
    }
    return {
        "kind": "Job",
        "metadata": {**metadata, **more.pop("metadata", {})},
        "status": {"conditions": conditions, **more},
    }


def pod(
    status: dict[str, Any] | None = None, node: str | None = "node1", owner: str = JOB_UID, **metadata: Any
) -> Object:
    return {
        "kind": "Pod",
        "metadata": {
            "name": "smol-x",
            "uid": POD_UID,
            "creationTimestamp": at(-1),
            "ownerReferences": [{"uid": owner}],
            **metadata,
        },
        "spec": {
            "containers": [{"name": "download", "ports": [{"name": "progress", "containerPort": 8123}]}],
            **({"nodeName": node} if node else {}),
        },
        "status": status or {"phase": "Pending"},
    }


def running(**metadata: Any) -> Object:
    state = {"state": {"running": {"startedAt": at(-1)}}}
    return pod({"phase": "Running", "podIP": "10.0.0.5", "containerStatuses": [state]}, **metadata)


def ended(code: int, message: str = "", **terminated: Any) -> Object:
    state = {"state": {"terminated": {"exitCode": code, "message": message, **terminated}}}
    return pod({"phase": "Failed" if code else "Succeeded", "containerStatuses": [state]})


def report(phase: str = "Downloading", **more: Any) -> dict[str, Any]:
    return {
        "phase": phase,
        "commit": "c0ffee",
        "bytesDone": 420,
        "bytesTotal": 1000,
        "bytesFetched": 500,
        "filesDone": 1,
        "filesTotal": 3,
        **more,
    }


def last_word(phase: str, **more: Any) -> str:
    return json.dumps(report(phase, **more))


def progress(uid: str = POD_UID, speed: int | None = 58, **more: Any) -> ReportedProgress:
    return ReportedProgress(uid, DownloadReport.model_validate(report(**more)), speed)


def actions(done: list[DownloadAction] | list[CreateJob | DeleteJob]) -> list[str]:
    """The actions in short, as the tables state them."""
    names: list[str] = []
    for action in done:
        match action:
            case CreateJob(manifest):
                names.append(f"create {manifest['metadata']['name']}")
            case DeleteJob(name, _):
                names.append(f"delete {name}")
            case DeleteResource():
                names.append("delete download")
            case _:
                names.append("status")
    return names


def wake_in(plan: DownloadPlan | CleanupPlan) -> float | None:
    return (plan.wake_at - NOW).total_seconds() if plan.wake_at else None
