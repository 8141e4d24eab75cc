"""What wakes the reconciler: everything but the renewal of a lease of a deployment that is ready."""

import copy
from typing import Any

import pytest

from berth_cluster.cluster import Object
from berth_operator.deployments.changes import ChangeFilter
from tests.unit.operator.building import at, lease, loaded


def seen(**status: Any) -> Object:
    return {
        "metadata": {"name": "smol", "uid": "u", "resourceVersion": "1", "generation": 1, "managedFields": []},
        "spec": {"model": "/models/SmolLM2", "idle": {"ttlSeconds": 60}},
        "status": {
            **loaded(100),
            "expiresAt": at(60),
            "activity": {"router-1": {**lease(60), "leaseUntil": at(20)}},
            **status,
        },
    }


def with_change(before: Object, path: str, value: Any) -> Object:
    """The object after a write to the field at this path, which brings another version."""
    after = copy.deepcopy(before)
    after["metadata"] |= {"resourceVersion": "2", "managedFields": [{"manager": "router"}]}
    *parents, field = path.split(".")
    inner = after
    for parent in parents:
        inner = inner[parent]
    inner[field] = value
    return after


ENTRY = "status.activity.router-1"
RENEWED = {"lastActivity": at(0), "keepUntil": at(90), "leaseUntil": at(30), "inFlight": 3}


@pytest.mark.parametrize(
    ("path", "value", "due"),
    [
        (ENTRY, RENEWED, False),
        (ENTRY, {**RENEWED, "leaseUntil": at(10)}, True),
        (ENTRY, {**RENEWED, "leaseUntil": None}, True),
        (ENTRY, {**RENEWED, "keepUntil": at(59)}, True),
        ("status.activity", {}, True),
        (ENTRY, "nonsense", True),
        (f"{ENTRY}.keepUntil", "soon", True),
        ("status.expiresAt", at(90), False),
        ("status.lastActivity", at(0), False),
        ("status.activity.router-2", lease(60), True),
        (f"{ENTRY}.unloadAt", at(0), True),
        (f"{ENTRY}.closedUntil", at(30), True),
        ("status.phase", "Sleeping", True),
        ("status.podName", "smol-2", True),
        ("spec.idle.ttlSeconds", 5, True),
        ("metadata.deletionTimestamp", at(0), True),
    ],
)
def test_of_one_that_is_ready_each_change_but_a_renewed_lease_is_reconciled(path: str, value: Any, due: bool) -> None:
    changes = ChangeFilter()
    assert changes.must_reconcile(seen()), "the first time that it is seen"
    assert changes.must_reconcile(with_change(seen(), path, value)) is due


@pytest.mark.parametrize("phase", [None, "Pending", "Starting", "Sleeping", "Stalled"])
def test_of_one_that_is_not_ready_a_lease_may_be_what_it_waits_for(phase: str | None) -> None:
    changes = ChangeFilter()
    changes.must_reconcile(seen(phase=phase))
    assert changes.must_reconcile(with_change(seen(phase=phase), ENTRY, RENEWED))


def test_one_that_is_made_anew_is_reconciled() -> None:
    changes = ChangeFilter()
    changes.must_reconcile(seen())
    assert changes.must_reconcile(seen(), gone=True)
    assert changes.must_reconcile(seen())
