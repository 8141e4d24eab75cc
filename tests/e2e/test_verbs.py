"""What a release may do is what it does: its Roles, beside what the API server wrote down of its requests.

The log has all releases of this run of the cluster: what other tests had them do counts too.
"""

import json
import os
from pathlib import Path
from typing import Any

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from tests.conftest import missing
from tests.e2e.release import MODEL, Release, user
from tests.waiting import until

Grant = tuple[str, str]
"""A resource, with its subresource, and a verb."""

OPERATOR, ROUTER = "berth-operator", "berth-router"
OF_DOWNLOADS = {"modeldownloads", "modeldownloads/status", "jobs"}
"""Resources that only the tests of downloads make use of."""

SELDOM: dict[str, dict[Grant, str]] = {
    OPERATOR: {
        ("modeldeployments", "get"): "one that was changed between its reading and a write is read again",
        ("pods", "get"): "one that was changed meanwhile, or whose name somebody has taken",
        ("pods", "delete"): "an engine that sleeps, failed or is replaced; what an idle one leaves goes with its owner",
        ("jobs", "get"): "one that an operator made which was killed before it knew",
        ("events", "get"): "one that an earlier operator wrote is counted up",
        ("modeldownloads", "delete"): "the record of a download that is long over",
    },
    ROUTER: {
        ("modeldeployments", "get"): "one that another router made or changed at the same moment",
        ("modeldownloads", "delete"): "a download that a client cancels",
    },
}
"""What a run need not have used, and what it is for."""


def granted(berth: Release, account: str) -> set[Grant]:
    """What the Role says."""
    rules = berth.kubectl.json("get", "role", account)["rules"]
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def used(log: Path) -> dict[str, set[Grant]]:
    """By service account: what it asked for and was not refused."""
    found: dict[str, set[Grant]] = {OPERATOR: set(), ROUTER: set()}
    for line in log.read_text().splitlines():
        if not line.endswith("}"):
            continue  # it is being written
        event: dict[str, Any] = json.loads(line)
        account = event["user"]["username"].rsplit(":", 1)[-1]
        target: dict[str, str] = event.get("objectRef") or {}
        if account not in found or "resource" not in target or event.get("responseStatus", {}).get("code") == 403:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        found[account].add((resource, event["verb"]))
    return found


async def test_nothing_is_granted_that_is_not_used(berth: Release) -> None:
    path = os.environ.get("BERTH_TEST_AUDIT_LOG", "")
    if not path:
        missing("the API server's audit log", "the cluster of scripts/cluster has one")
    # A model starts for a request and goes when it is idle; another one goes when a client says so.
    body = {"model": MODEL, "messages": user("Hello"), "max_tokens": 1}
    status, answer, _ = await berth.post("/v1/chat/completions", {**body, "ttl": 1})
    assert status == 200, answer
    await berth.until(MODEL_DEPLOYMENTS, lambda objects: None if objects else True)
    await berth.post("/v1/chat/completions", body)
    status, answer, _ = await berth.post("/v1/models/unload", {"model": MODEL})
    assert status == 200, answer

    def unused() -> dict[str, set[Grant]]:
        log = used(Path(path))
        downloads = set[str]() if ("modeldownloads", "create") in log[ROUTER] else OF_DOWNLOADS
        left = {
            account: {
                grant
                for grant in granted(berth, account) - log[account] - SELDOM[account].keys()
                if grant[0] not in downloads
            }
            for account in log
        }
        return {account: grants for account, grants in left.items() if grants}

    seen = unused()

    def all_used() -> bool:
        nonlocal seen
        seen = unused()
        return not seen

    try:
        await until(all_used)
    except TimeoutError as late:
        raise AssertionError(f"granted, and never used: {seen}") from late
