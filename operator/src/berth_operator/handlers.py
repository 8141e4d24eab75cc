"""Kopf's part: it watches downloads, and wakes their reconciler. It decides nothing, and stores nothing on the objects.

Kopf keeps a queue, a task and whole objects for each object that it watches, and its lists do not say what is gone. So
deployments, of which there may be ten thousand, are followed by the view.
"""

import dataclasses
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import kopf

from berth_cluster.cluster import (
    GROUP,
    JOBS,
    LABEL_DOWNLOAD,
    MODEL_DOWNLOADS,
    PODS,
    VERSION,
    Kind,
    Object,
)
from berth_cluster.user_agent import user_agent

PROGRAM = "berth-operator"
"""Who asks, for the API server."""

_CHILDREN = (JOBS, PODS)
"""The kinds of objects that a download has."""

Wake = Callable[[str, Object], None]
"""Takes the name of a download to reconcile, and the object whose change was seen."""


async def run_kopf(wake: Wake, namespace: str) -> None:
    """Watches the downloads of the namespace, and their pods and Jobs, until the program is to end.

    It calls `wake` for each download at the start, and at each change of it or of an object of it.
    """
    await kopf.operator(
        registry=_registry(wake),
        settings=_settings(),
        namespaces=[namespace],
        standalone=True,
        # Kopf would ask the system for the user's name, and a container's user has none.
        identity=cast("Any", socket.gethostname()),
    )


def _registry(wake: Wake) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    _watch(registry, wake, MODEL_DOWNLOADS, LABEL_DOWNLOAD)
    return registry


def _login(**kwargs: Any) -> Any:
    # Kopf's own choice would import the synchronous client, which takes as much memory as all of Berth.
    in_cluster = kopf.login_with_service_account(**kwargs)
    if in_cluster is None or "KUBERNETES_SERVICE_HOST" not in os.environ:
        found = in_cluster or kopf.login_with_kubeconfig(**kwargs)
        return _connection(found) if found else None
    # By the address that every pod is given: a cluster's DNS may be late or absent.
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    address = f"[{host}]" if ":" in host else host
    server = f"https://{address}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    return _connection(dataclasses.replace(in_cluster, server=server))


class _Connection(kopf.ConnectionInfo):
    """Kopf's way to the API server, which tells who asks: kopf itself would ask as `kopf`."""

    def as_http_headers(self) -> dict[str, str]:
        """The credentials, and the program."""
        return {**super().as_http_headers(), "User-Agent": user_agent(PROGRAM)}


def _connection(found: kopf.ConnectionInfo) -> _Connection:
    fields: dict[str, Any] = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return _Connection(**fields)


def _watch(registry: kopf.OperatorRegistry, wake: Wake, kind: Kind, label: str) -> None:
    """Calls `wake` at each change of a resource, and at each change of its objects.

    An object belongs to the resource whose name it has in `label`.
    """

    async def changed(name: str | None, event: kopf.RawEvent, **_: Any) -> None:
        if name:
            wake(name, cast("Object", event["object"]))

    async def child_changed(labels: kopf.Labels, event: kopf.RawEvent, **_: Any) -> None:
        wake(labels[label], cast("Object", event["object"]))

    kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(changed)
    for child in _CHILDREN:
        kopf.on.event(child.api_version, child.plural, labels={label: kopf.PRESENT}, registry=registry)(child_changed)


def _settings() -> kopf.OperatorSettings:
    """Kopf without what Berth does not use: no events of kopf's own, no watch of every CRD."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    for child in _CHILDREN:  # engines' pods are none of kopf's business, and there may be thousands
        settings.watching.label_selectors[child.plural] = LABEL_DOWNLOAD
    return settings
