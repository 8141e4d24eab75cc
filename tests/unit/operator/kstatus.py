"""kstatus' rules for resources that it has no rules of their own for.

`helm --wait` and Flux go by them. They are those of github.com/fluxcd/cli-utils v1.2.2, which Helm 4 is built with:
pkg/kstatus/status/generic.go (checkGenericProperties, checkGeneration) and status.go (Compute, checkReadyCondition).
kubernetes-sigs/cli-utils has the same.
"""

from typing import Any


def kstatus(item: dict[str, Any]) -> str:
    """Current, InProgress, Failed or Terminating."""
    metadata: dict[str, Any] = item["metadata"]
    status: dict[str, Any] = item.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    for condition in conditions:  # the first of the two in the list decides
        match condition:
            case {"type": "Reconciling", "status": "True"}:
                return "InProgress"
            case {"type": "Stalled", "status": "True"}:
                return "Failed"
            case _:
                pass
    ready = next((condition["status"] for condition in conditions if condition["type"] == "Ready"), "True")
    return "Current" if ready == "True" else "InProgress"
