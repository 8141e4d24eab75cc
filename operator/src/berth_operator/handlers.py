"""Kopf's part: it watches, and wakes the reconcilers. It decides nothing, and stores nothing on the objects."""

import dataclasses
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol, cast

import kopf

from berth_cluster.cluster import (
    GROUP,
    JOBS,
    LABEL_DEPLOYMENT,
    LABEL_DOWNLOAD,
    MODEL_DEPLOYMENTS,
    MODEL_DOWNLOADS,
    PODS,
    VERSION,
    Kind,
    Object,
)
from berth_operator.deployments.changes import ChangeFilter

Wake = Callable[[str, Object], None]
"""Takes the name of a resource to reconcile, and the object whose change was seen."""


class MustReconcile(Protocol):
    """Decides whether a change is reconciled now."""

    def __call__(self, resource: Object, /, *, gone: bool) -> bool:
        """Whether a resource that was seen like this, or was seen to be gone, must be reconciled now."""
        ...


async def run_kopf(wake_deployment: Wake, wake_download: Wake, namespace: str, health_port: int) -> None:
    """Watches the deployments and downloads of the namespace, and their pods and Jobs, until the program is to end.

    It calls `wake_...` for each deployment or download at the start, and at each change of it or of an object of it.
    """
    await kopf.operator(
        registry=_registry(wake_deployment, wake_download),
        settings=_settings(),
        namespaces=[namespace],
        standalone=True,
        # Kopf would ask the system for the user's name, and a container's user has none.
        identity=cast("Any", socket.gethostname()),
        liveness_endpoint=f"http://0.0.0.0:{health_port}/healthz",
    )


def _registry(wake_deployment: Wake, wake_download: Wake) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    _watch(registry, wake_deployment, MODEL_DEPLOYMENTS, LABEL_DEPLOYMENT, [PODS], ChangeFilter().must_reconcile)
    _watch(registry, wake_download, MODEL_DOWNLOADS, LABEL_DOWNLOAD, [JOBS, PODS])
    return registry


def _login(**kwargs: Any) -> Any:
    # Kopf's own choice would import the synchronous client, which takes as much memory as all of Berth.
    in_cluster = kopf.login_with_service_account(**kwargs)
    if in_cluster is None or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return in_cluster or kopf.login_with_kubeconfig(**kwargs)
    # By the address that every pod is given: a cluster's DNS may be late or absent.
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    address = f"[{host}]" if ":" in host else host
    return dataclasses.replace(in_cluster, server=f"https://{address}:{os.environ['KUBERNETES_SERVICE_PORT']}")


def _always(_: Object, /, *, gone: bool) -> bool:
    return True


def _watch(
    registry: kopf.OperatorRegistry,
    wake: Wake,
    kind: Kind,
    label: str,
    children: list[Kind],
    must_reconcile: MustReconcile = _always,
) -> None:
    """Calls `wake` at each change of a resource that must be reconciled, and at each change of its objects.

    An object belongs to the resource whose name it has in `label`.
    """

    async def changed(name: str | None, event: kopf.RawEvent, **_: Any) -> None:
        seen = cast("Object", event["object"])
        if name and must_reconcile(seen, gone=event["type"] == "DELETED"):
            wake(name, seen)

    async def child_changed(labels: kopf.Labels, event: kopf.RawEvent, **_: Any) -> None:
        wake(labels[label], cast("Object", event["object"]))

    kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(changed)
    for child in children:
        kopf.on.event(child.api_version, child.plural, labels={label: kopf.PRESENT}, registry=registry)(child_changed)


def _settings() -> kopf.OperatorSettings:
    """Kopf without what Berth does not use: no events of kopf's own, no watch of every CRD."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    return settings
