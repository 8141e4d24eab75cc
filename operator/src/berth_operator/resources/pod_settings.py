"""What people add to an engine's pod."""

from typing import Any

from berth_api.pod_settings import PodSettings
from berth_cluster.cluster import Object

_SCHEDULING = {
    "priorityClassName": "priority_class_name",
    "schedulerName": "scheduler_name",
    "affinity": "affinity",
    "topologySpreadConstraints": "topology_spread_constraints",
}
"""Fields of a pod, and those of the settings that they come from."""


def add_pod_settings(pod: Object, settings: PodSettings) -> None:
    """Adds what is stated. Berth's own labels, annotations and volumes stay: they say whose the pod is."""
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["labels"] = {**(settings.labels or {}), **metadata["labels"]}
    metadata["annotations"] = {**(settings.annotations or {}), **metadata["annotations"]}
    for field, name in _SCHEDULING.items():
        if value := getattr(settings, name):
            spec[field] = value
    [container] = spec["containers"]
    container["env"] += settings.env or []
    container["volumeMounts"] += settings.volume_mounts or []
    spec["volumes"] += settings.volumes or []
    stated = {"tmp": settings.tmp_size_limit, "shm": settings.shm_size_limit}
    _limit(spec["volumes"], {name: limit for name, limit in stated.items() if limit})


def _limit(volumes: list[dict[str, Any]], limits: dict[str, str]) -> None:
    for volume in volumes:
        limit = limits.get(volume.get("name", ""))
        if limit and isinstance(volume.get("emptyDir"), dict):
            volume["emptyDir"].setdefault("sizeLimit", limit)
