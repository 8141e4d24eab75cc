"""What a pod's manifest and status say. A part that the pod lacks is read as empty."""

from datetime import datetime
from typing import Any

from berth_cluster.cluster import Object
from berth_operator.objects.parts import changed_at, condition, status_of


def has_ended(pod: Object) -> bool:
    """Whether all its containers have ended for good."""
    return status_of(pod).get("phase") in ("Failed", "Succeeded")


def has_node(pod: Object) -> bool:
    """Whether the scheduler has found a node for it."""
    return bool(pod["spec"].get("nodeName"))


def gates_of(pod: Object) -> list[str]:
    """Its scheduling gates. The scheduler leaves it alone as long as it has one; whoever has set it takes it off."""
    gates: list[dict[str, str]] = pod["spec"].get("schedulingGates") or []
    return [gate["name"] for gate in gates]


def is_running(pod: Object) -> bool:
    """Whether its container runs."""
    return any("running" in state_of(container) for container in container_statuses(pod))


def terminated(pod: Object) -> dict[str, Any] | None:
    """How its container ended; None where it has not ended, or nobody knows."""
    states = [state_of(container) for container in container_statuses(pod)]
    return next((state["terminated"] for state in states if "terminated" in state), None)


def waiting_message(pod: Object) -> str:
    """What the node says of a container that is about to start: mostly nothing."""
    waiting: list[dict[str, Any]] = [state_of(container).get("waiting") or {} for container in container_statuses(pod)]
    return next((each["message"] for each in waiting if each.get("message")), "")


def unschedulable_since(pod: Object) -> datetime | None:
    """Since when the scheduler has found no node for the pod; None where it has not said so."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled["status"] != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    return changed_at(scheduled)


def container_statuses(pod: Object) -> list[dict[str, Any]]:
    """What the node says of the pod's containers."""
    return status_of(pod).get("containerStatuses") or []


def state_of(container: dict[str, Any]) -> dict[str, Any]:
    """The state in a container's status: running, waiting or terminated."""
    return container.get("state") or {}


def limits_of(pod: Object) -> dict[str, Any]:
    """The limits of its first container, by resource."""
    return pod["spec"]["containers"][0].get("resources", {}).get("limits", {})


def base_url(pod: Object, container: str, default_port: int | None = None) -> str | None:
    """Where the container of this name serves HTTP: at its first declared port, else at `default_port`.

    None where the pod has no address, or no port is known. Where all pods share an address, each has a port of its own.
    """
    address: str | None = status_of(pod).get("podIP")
    port = next(iter(_ports(pod, container)), default_port)
    if not address or port is None:
        return None
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def _ports(pod: Object, container: str) -> list[int]:
    containers: list[dict[str, Any]] = pod["spec"].get("containers") or []
    found = [each for each in containers if each.get("name") == container]
    ports: list[dict[str, Any]] = (found[0].get("ports") or []) if found else []
    return [port["containerPort"] for port in ports]
