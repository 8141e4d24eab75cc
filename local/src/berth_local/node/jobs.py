"""The job controller: it makes one pod of a Job after the other, until one succeeds or another try is pointless.

Of a Job's spec it knows what Berth's downloads use: backoffLimit, podFailurePolicy by exit codes, activeDeadlineSeconds
and ttlSecondsAfterFinished.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from berth_api.schema import format_timestamp
from berth_cluster.cluster import JOBS, PODS, AlreadyExistsError, Cluster, NotFoundError, Object, Preconditions
from berth_operator.workers import Workers
from berth_process.clock import Clock, utc_now

LABEL_JOB = "batch.kubernetes.io/job-name"
"""The label of a Job's pods: its value is the Job's name."""

_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(minutes=1)
"""The waits between two tries. A cluster begins with ten seconds; here a user sits and waits."""

_DEFAULT_BACKOFF_LIMIT = 6


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The status to write, the pod to create if any, whether to delete the Job, and when to look again."""

    status: Object
    create: Object | None = None
    delete: bool = False
    wake_at: datetime | None = None


def make_job_plan(job: Object, pods: list[Object], now: datetime) -> JobPlan:
    """Decides what to do for a Job. `pods`: the pods that the Job owns."""
    status: Object = job.get("status") or {}
    if ended := next((condition for condition in status.get("conditions", []) if condition["status"] == "True"), None):
        return _keep(job, status, datetime.fromisoformat(ended["lastTransitionTime"]), now)
    succeeded = [pod for pod in pods if _phase(pod) == "Succeeded"]
    failed = [pod for pod in pods if _phase(pod) == "Failed"]
    active = [pod for pod in pods if pod not in succeeded and pod not in failed]
    counts = {"active": len(active), "succeeded": len(succeeded), "failed": len(failed)}
    started_at: str = status.get("startTime") or format_timestamp(now)
    begun: Object = {"startTime": started_at, **counts}
    if succeeded:
        return JobPlan(
            {
                **begun,
                "completionTime": format_timestamp(now),
                "conditions": [_condition("Complete", "CompletionsReached", "", now)],
            }
        )
    if failure := _failure(job, failed, started_at, now):
        return JobPlan({**begun, "conditions": [failure]})
    if active:
        return JobPlan(begun, wake_at=_deadline(job, started_at))
    due = max((_ended_at(pod, now) for pod in failed), default=now) + _backoff(len(failed))
    if due > now:
        return JobPlan(begun, wake_at=due)
    return JobPlan({**begun, "active": 1}, create=_pod(job, len(pods) + 1))


class JobController:
    """Plans and acts for each Job that is woken."""

    def __init__(self, cluster: Cluster, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._clock = clock
        self._workers = Workers("job", self._reconcile, lambda _: None)

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Has the Job looked at, because it or one of its pods has changed. `seen`: the object that has changed."""
        self._workers.wake(name, seen)

    async def close(self) -> None:
        """Stops all work."""
        await self._workers.close()

    async def _reconcile(self, name: str) -> float | None:
        """Looks once. The seconds until the next look; None where the Job is gone."""
        try:
            job = await self._cluster.get(JOBS, name)
        except NotFoundError:
            return None
        uid: str = job["metadata"]["uid"]
        listed = await self._cluster.list(PODS, {LABEL_JOB: name})
        pods = [
            pod
            for pod in listed.items
            if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences", []))
        ]
        now = self._clock()
        plan = make_job_plan(job, pods, now)
        if plan.delete:
            await self._cluster.delete(JOBS, name, Preconditions(uid, job["metadata"]["resourceVersion"]))
            return 0.0
        if plan.create:
            with suppress(AlreadyExistsError):  # an earlier Job of this name has a pod that is still ending
                await self._workers.write(name, self._cluster.create(PODS, plan.create))
        if plan.status != job.get("status"):
            as_read = Preconditions(uid, job["metadata"]["resourceVersion"])
            await self._workers.write(name, self._cluster.patch_status(JOBS, name, plan.status, as_read))
        return (
            _LONGEST_RETRY.total_seconds() if plan.wake_at is None else max(0.0, (plan.wake_at - now).total_seconds())
        )


def _keep(job: Object, status: Object, ended_at: datetime, now: datetime) -> JobPlan:
    """The plan for a Job that has ended: it stays for its ttlSecondsAfterFinished, without one for ever."""
    kept: float | None = job["spec"].get("ttlSecondsAfterFinished")
    if kept is None:
        return JobPlan(status)
    until = ended_at + timedelta(seconds=kept)
    return JobPlan(status, delete=until <= now, wake_at=until)


def _failure(job: Object, failed: list[Object], started_at: str, now: datetime) -> Object | None:
    """The condition of a Job that has failed for good. None where another try is worth it."""
    for pod in failed:
        if code := _hopeless_exit_code(job, pod):
            return _condition(
                "Failed", "PodFailurePolicy", f"{pod['metadata']['name']} ended with exit code {code}", now
            )
    if len(failed) > job["spec"].get("backoffLimit", _DEFAULT_BACKOFF_LIMIT):
        return _condition("Failed", "BackoffLimitExceeded", f"{len(failed)} pods have failed", now)
    deadline = _deadline(job, started_at)
    if deadline and deadline <= now:
        return _condition(
            "Failed", "DeadlineExceeded", f"it took longer than {job['spec']['activeDeadlineSeconds']} s", now
        )
    return None


def _hopeless_exit_code(job: Object, pod: Object) -> int | None:
    """The exit code of this pod, if the Job's policy says that the Job fails with it."""
    policy: Object = job["spec"].get("podFailurePolicy") or {}
    terminated = _terminated(pod)
    for rule in policy.get("rules", []):
        codes: Object = rule.get("onExitCodes") or {}
        if rule["action"] == "FailJob" and terminated and terminated["exitCode"] in codes.get("values", []):
            return terminated["exitCode"]
    return None


def _deadline(job: Object, started_at: str) -> datetime | None:
    seconds: float | None = job["spec"].get("activeDeadlineSeconds")
    return None if seconds is None else datetime.fromisoformat(started_at) + timedelta(seconds=seconds)


def _backoff(failures: int) -> timedelta:
    return min(_FIRST_RETRY * 2 ** (failures - 1), _LONGEST_RETRY) if failures else timedelta(0)


def _ended_at(pod: Object, now: datetime) -> datetime:
    terminated = _terminated(pod)
    return datetime.fromisoformat(terminated["finishedAt"]) if terminated else now


def _phase(pod: Object) -> str:
    status: Object = pod.get("status") or {}
    return status.get("phase", "Pending")


def _terminated(pod: Object) -> Object | None:
    status: Object = pod.get("status") or {}
    states: list[Object] = [container["state"] for container in status.get("containerStatuses", [])]
    return next((state["terminated"] for state in states if "terminated" in state), None)


def _condition(kind: str, reason: str, message: str, now: datetime) -> Object:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": format_timestamp(now),
    }


def _pod(job: Object, number: int) -> Object:
    """The manifest of one try's pod."""
    metadata, template = job["metadata"], job["spec"]["template"]
    labels: Object = template["metadata"].get("labels") or {}
    owner = {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": {
            "name": f"{metadata['name']}-{metadata['uid'][:5]}-{number}",
            "labels": {**labels, LABEL_JOB: metadata["name"]},
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }
