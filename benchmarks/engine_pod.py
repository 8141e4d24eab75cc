"""Engine pods: the one that Berth made, and its copy made by hand. Pure."""

import copy

from benchmarks.steps import pod_address
from berth_cluster.cluster import LABEL_DEPLOYMENT, Object

BY_HAND = "engine-by-hand"
"""The name of the copy."""


def is_berths(pod: Object) -> bool:
    """Whether Berth made the pod for a deployment."""
    return LABEL_DEPLOYMENT in pod["metadata"].get("labels", {})


def is_by_hand(pod: Object) -> bool:
    """Whether the pod is the copy."""
    return pod["metadata"]["name"] == BY_HAND


def copy_without_berth(pod: Object) -> Object:
    """A manifest of the same pod without anything of Berth: no label and no owner, and without a node."""
    spec = copy.deepcopy(pod["spec"])
    spec.pop("nodeName", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": BY_HAND}, "spec": spec}


def engine_url(pod: Object) -> str:
    """Base URL of the pod's engine. Only for a pod that has an address."""
    address = pod_address(pod) or ""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{pod['spec']['containers'][0]['ports'][0]['containerPort']}"


def health_url(pod: Object) -> str:
    """The URL at which the engine says whether it serves, and which the kubelet asks too."""
    return engine_url(pod) + pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"]
