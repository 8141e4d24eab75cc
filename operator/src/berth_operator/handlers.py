"""Kopf's part: it watches, and wakes the reconciler. Nothing is decided here, and nothing is stored on the objects."""

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
from berth_operator.news import News

Wake = Callable[[str, Object], None]
"""Takes the name of a resource that may have to be looked at, and the object whose change was seen."""


class IsNews(Protocol):
    """See News.is_news."""

    def __call__(self, deployment: Object, /, *, gone: bool) -> bool:
        """Whether a resource that was seen to be like this, or to be gone, must be looked at."""
        ...


async def run_kopf(wake_deployment: Wake, wake_download: Wake, namespace: str, health_port: int) -> None:
    """Watches deployments and downloads, and their pods and Jobs, in the namespace, until the process is told to end.

    `wake_...` is called for each deployment or download at the start, and whenever it or something of it changed: with
    its name and with the object that changed.
    """
    await kopf.operator(
        registry=_registry(wake_deployment, wake_download),
        settings=_settings(),
        namespaces=[namespace],
        standalone=True,
        # Kopf would ask the system for the user's name, which a container's user has not.
        identity=cast("Any", socket.gethostname()),
        liveness_endpoint=f"http://0.0.0.0:{health_port}/healthz",
    )


def _registry(wake_deployment: Wake, wake_download: Wake) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    def login(**kwargs: Any) -> Any:
        # Kopf's own choice would import the synchronous client, which weighs as much as all of Berth.
        in_cluster = kopf.login_with_service_account(**kwargs)
        if in_cluster is None or "KUBERNETES_SERVICE_HOST" not in os.environ:
            return in_cluster or kopf.login_with_kubeconfig(**kwargs)
        # By address, as every pod is told it: a cluster's DNS may be late or absent.
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        address = f"[{host}]" if ":" in host else host
        return dataclasses.replace(in_cluster, server=f"https://{address}:{os.environ['KUBERNETES_SERVICE_PORT']}")

    kopf.on.login(registry=registry)(login)
    _watch(registry, wake_deployment, MODEL_DEPLOYMENTS, LABEL_DEPLOYMENT, [PODS], News().is_news)
    _watch(registry, wake_download, MODEL_DOWNLOADS, LABEL_DOWNLOAD, [JOBS, PODS])
    return registry


def _all_is_news(_: Object, /, *, gone: bool) -> bool:
    return True


def _watch(
    registry: kopf.OperatorRegistry,
    wake: Wake,
    kind: Kind,
    label: str,
    children: list[Kind],
    is_news: IsNews = _all_is_news,
) -> None:
    """Has `wake` called for every change of the resources that is news, and of the objects that carry one's name in the label."""

    async def changed(name: str | None, event: kopf.RawEvent, **_: Any) -> None:
        seen = cast("Object", event["object"])
        if name and is_news(seen, gone=event["type"] == "DELETED"):
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
