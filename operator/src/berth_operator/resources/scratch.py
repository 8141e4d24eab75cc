"""Where an engine's pod writes what nobody needs after it.

Not into volumes of its own, as far as possible: a pod with one is not taken from its node by `kubectl drain`, nor by a
cluster's autoscaler, before somebody has said that its data may go. An engine that writes does so in the layer of its
container, which ends with it too, and only where its user may: in /tmp. One that writes nothing can write nowhere.
"""

from typing import Any

from berth_cluster.cluster import Object
from berth_operator.engines import EngineProcess

_TMP, _SHM = "tmp", "shm"

DEFAULT_TMP_LIMIT, DEFAULT_SHM_LIMIT = "20Gi", "16Gi"
"""What an engine writes at most, where nobody states it. Far above what any engine was seen to write: they keep one
that runs wild from filling its node.
"""

_STORAGE = "ephemeral-storage"


def settle_scratch(pod: Object, process: EngineProcess) -> None:
    """Takes the volumes /tmp and /dev/shm from a pod that can do without, and limits what it writes.

    Not part of what the pod was made from: pods of earlier versions, which have both, stay as long as they are needed.
    """
    volumes: list[dict[str, Any]] = pod["spec"]["volumes"]
    shm = _empty_dir(volumes, _SHM)
    if process.shares_memory or "sizeLimit" in shm:
        shm.setdefault("sizeLimit", DEFAULT_SHM_LIMIT)
    else:
        _remove(pod, _SHM)
    stated = _empty_dir(volumes, _TMP).get("sizeLimit")
    _remove(pod, _TMP)
    if process.writes or stated:
        _write_in_layer(pod, stated or DEFAULT_TMP_LIMIT)


def _write_in_layer(pod: Object, limit: str) -> None:
    """Lets the engine write in its container's layer. It is not root, so the image's own files stay as they are."""
    [container] = pod["spec"]["containers"]
    container["securityContext"] = {**container["securityContext"], "readOnlyRootFilesystem": False}
    resources = container.get("resources", {})
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    if _STORAGE in limits:
        return
    # Without a request of its own the limit would be one, and a node would need so much free for each engine.
    container["resources"] = {
        **resources,
        "requests": {_STORAGE: "0", **requests},
        "limits": {**limits, _STORAGE: limit},
    }


def _empty_dir(volumes: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Berth's own volume of this name."""
    return next(each["emptyDir"] for each in volumes if each["name"] == name)


def _remove(pod: Object, name: str) -> None:
    """Removes Berth's own volume of this name, and its mount."""
    spec = pod["spec"]
    [container] = spec["containers"]
    for holder, field in ((spec, "volumes"), (container, "volumeMounts")):
        at = next(index for index, each in enumerate(holder[field]) if each["name"] == name)
        holder[field] = [*holder[field][:at], *holder[field][at + 1 :]]
