"""Leases: how long a deployment is kept, when that is written, and when a request must wait for the write."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from berth_api.activity import NEVER
from berth_api.cluster import MODEL_DEPLOYMENTS, Object, UnavailableError
from berth_api.model_deployment import ModelDeployment
from berth_router.lifecycle.activity import Activity, DeploymentGoneError, Use, lease_end, lease_length, next_write_at, protected_until
from berth_router.lifecycle.deployments import Deployments
from tests.instruments import InstrumentedCluster

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def use(**fields: Any) -> Use:
    return replace(Use("a", "1", since=NOW, last_activity=NOW, keep_until=NOW), **fields)


def manifest(loaded_at: float | None = 0, ttl: int = 300, leases: dict[str, float] | None = None) -> Object:
    activity = {
        name: {"lastActivity": at(0).isoformat(), "keepUntil": at(end).isoformat(), "inFlight": 0} for name, end in (leases or {}).items()
    }
    status: Object = {"phase": "Ready", "endpoint": "http://127.0.0.1:1", "activity": activity}
    if loaded_at is not None:
        status["loadedAt"] = at(loaded_at).isoformat()
    spec = {"model": "/models/tiny", "backend": "llamacpp", "device": "cpu", "idle": {"ttlSeconds": ttl}}
    metadata = {"name": "a", "uid": "1", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": spec, "status": status}


def test_a_ttl_of_zero_keeps_for_ever() -> None:
    assert lease_end(NOW, 0) == NEVER
    assert lease_end(NOW, 60) == at(60)


@pytest.mark.parametrize(("ttl", "seconds"), [(0, 30), (300, 30), (10, 10), (1, 4)])
def test_a_lease_outlasts_the_ttl_only_where_the_ttl_is_tiny(ttl: int, seconds: int) -> None:
    assert lease_length(ttl) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("acknowledged", "deployment", "until"),
    [
        (None, manifest(), at(300)),
        (at(400), manifest(), at(400)),
        (at(200), manifest(), at(300)),
        (None, manifest(leases={"router-2": 500}), at(500)),
        (None, manifest(ttl=0), NEVER),
        (NEVER, manifest(), NEVER),
    ],
)
def test_protection_is_the_longest_that_is_known_to_be_written(acknowledged: datetime | None, deployment: Object, until: datetime) -> None:
    assert protected_until(use(acknowledged_until=acknowledged), ModelDeployment.parse(deployment)) == until


def test_a_deployment_of_which_nothing_is_known_is_not_protected() -> None:
    assert protected_until(use(), ModelDeployment.parse(manifest(loaded_at=None))) <= NOW


@pytest.mark.parametrize(
    ("case", "fields", "due"),
    [
        ("nothing to tell", {"unwritten": False}, None),
        ("first request begun, of which no lease is known: soon", {"in_flight": 1}, 0.3),
        ("first request begun under a long lease: not pressing", {"in_flight": 1, "leased_until": at(300)}, 10),
        ("first request begun under a short lease: before that ends", {"in_flight": 1, "leased_until": at(8)}, 3),
        ("first request begun after a lease: soon", {"in_flight": 1, "leased_until": at(-8)}, 0.3),
        ("first request over: once settled", {"last_activity": at(2)}, 2.3),
        ("over again: at most one write a second", {"last_activity": at(5), "written_at": at(4.9)}, 5.9),
        ("over for a while: once settled", {"last_activity": at(5), "written_at": at(0)}, 5.3),
        ("busy with news: not pressing", {"in_flight": 2, "written_at": at(0), "acknowledged_until": at(300)}, 10),
        ("busy, and somebody unloads: at once", {"in_flight": 1, "written_at": at(0), "acknowledged_until": at(300), "asked": True}, 0),
        (
            "busy, as was told, and somebody unloads: not pressing",
            {"in_flight": 2, "told_in_flight": 1, "written_at": at(0), "acknowledged_until": at(300), "asked": True},
            10,
        ),
        ("busy, lease half over", {"in_flight": 2, "written_at": at(0), "acknowledged_until": at(16)}, 1),
        (
            "busy, nothing new: half-way through the lease",
            {"in_flight": 1, "written_at": at(0), "acknowledged_until": at(30), "unwritten": False},
            15,
        ),
    ],
)
def test_when_the_next_write_is_due(case: str, fields: dict[str, Any], due: float | None) -> None:
    assert next_write_at(use(**fields)) == (None if due is None else at(due)), case


class Leases:
    """An Activity with a clock that stands."""

    def __init__(self, cluster: InstrumentedCluster) -> None:
        self.cluster = cluster
        self.now = NOW
        self.deployments = Deployments(self.cluster)
        self.activity = Activity(self.cluster, self.deployments, "router-1", lambda: self.now)

    async def deployment(self, **fields: Any) -> ModelDeployment:
        source = manifest(**fields)
        identity = {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind, "metadata": {"name": "a"}}
        created = await self.cluster.create(MODEL_DEPLOYMENTS, {**identity, "spec": source["spec"]})
        written = await self.cluster.patch_status(MODEL_DEPLOYMENTS, "a", source["status"])
        self.deployments.put(written)
        assert written["metadata"]["uid"] == created["metadata"]["uid"]
        return ModelDeployment.parse(written)

    async def entry(self) -> Object:
        return (await self.cluster.get(MODEL_DEPLOYMENTS, "a"))["status"]["activity"]["router-1"]


@pytest.fixture
def leases(cluster: InstrumentedCluster) -> Leases:
    return Leases(cluster)


async def test_a_deployment_far_from_its_expiry_costs_no_write(leases: Leases) -> None:
    deployment = await leases.deployment(loaded_at=-200)
    writes = leases.cluster.calls["patch_status"]
    taken = leases.activity.begin(deployment, 300)
    await leases.activity.protect(taken, deployment)
    assert leases.cluster.calls["patch_status"] == writes
    await leases.activity.close()


async def test_a_deployment_near_its_expiry_is_kept_before_protect_returns(leases: Leases) -> None:
    deployment = await leases.deployment(loaded_at=-296)
    taken = leases.activity.begin(deployment, 300)
    await leases.activity.protect(taken, deployment)
    assert await leases.entry() == {"lastActivity": "2026-01-02T12:00:00.000Z", "keepUntil": "2026-01-02T12:05:00.000Z", "inFlight": 1}
    await leases.activity.close()


async def test_a_long_answer_under_a_short_ttl_is_kept_to_its_end(leases: Leases) -> None:
    deployment = await leases.deployment(ttl=10)
    taken = leases.activity.begin(deployment, 10)
    for second in range(0, 60, 5):
        leases.now = at(second)
        await leases.activity.write_now(taken)
        assert datetime.fromisoformat((await leases.entry())["keepUntil"]) >= at(second + 10)
    leases.activity.end(taken, 10)
    await leases.activity.close()
    assert await leases.entry() == {"lastActivity": "2026-01-02T12:00:55.000Z", "keepUntil": "2026-01-02T12:01:05.000Z", "inFlight": 0}


async def test_the_lease_never_shrinks(leases: Leases) -> None:
    deployment = await leases.deployment()
    for ttl in (0, 5):
        taken = leases.activity.begin(deployment, ttl)
        leases.activity.end(taken, ttl)
    await leases.activity.close()
    assert (await leases.entry())["keepUntil"] == "9999-12-31T00:00:00.000Z"


async def test_a_lease_on_a_successor_of_the_same_name_is_not_taken(leases: Leases) -> None:
    deployment = await leases.deployment(loaded_at=-300)
    await leases.cluster.delete(MODEL_DEPLOYMENTS, "a")
    await leases.deployment(loaded_at=-300)
    taken = leases.activity.begin(deployment, 300)
    with pytest.raises(DeploymentGoneError):
        await leases.activity.protect(taken, deployment)
    leases.activity.end(taken, 300)
    await leases.activity.close()


@pytest.mark.in_memory("an API server takes no uid with a patch: the lease may be written, and is then found not to hold")
async def test_a_successor_of_the_same_name_gets_no_lease_of_its_predecessor(leases: Leases) -> None:
    deployment = await leases.deployment(loaded_at=-300)
    await leases.cluster.delete(MODEL_DEPLOYMENTS, "a")
    await leases.deployment(loaded_at=-300)
    taken = leases.activity.begin(deployment, 300)
    with pytest.raises(DeploymentGoneError):
        await leases.activity.protect(taken, deployment)
    leases.activity.end(taken, 300)
    assert (await leases.cluster.get(MODEL_DEPLOYMENTS, "a"))["status"]["activity"] == {}
    await leases.activity.close()


async def test_a_lease_that_cannot_be_written_protects_nothing(leases: Leases) -> None:
    deployment = await leases.deployment(loaded_at=-300)
    leases.cluster.fail_next("patch_status", UnavailableError("gone fishing"))
    taken = leases.activity.begin(deployment, 300)
    with pytest.raises(UnavailableError):
        await leases.activity.protect(taken, deployment)
    await leases.activity.protect(taken, deployment)
    assert (await leases.entry())["inFlight"] == 1
    await leases.activity.close()


async def test_at_a_shutdown_the_router_lets_go_of_everything(leases: Leases) -> None:
    deployment = await leases.deployment()
    taken = leases.activity.begin(deployment, 300)
    await leases.activity.write_now(taken)
    await leases.activity.close()
    assert (await leases.entry())["inFlight"] == 0
