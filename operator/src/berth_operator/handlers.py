"""Kopf's part: it watches, and wakes the reconciler. Nothing is decided here, and nothing is stored on the objects."""

import dataclasses
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import kopf

from berth_api.cluster import GROUP, LABEL_DEPLOYMENT, MODEL_DEPLOYMENTS, PODS, VERSION


async def run_kopf(wake: Callable[[str], None], namespace: str, health_port: int) -> None:
    """Watches deployments and their pods in the namespace, until the process is told to end.

    `wake` is called with a deployment's name whenever it or one of its pods changed, and for each at the start.
    """
    await kopf.operator(
        registry=_registry(wake),
        settings=_settings(),
        namespaces=[namespace],
        standalone=True,
        # Kopf would ask the system for the user's name, which a container's user has not.
        identity=cast("Any", socket.gethostname()),
        liveness_endpoint=f"http://0.0.0.0:{health_port}/healthz",
    )


def _registry(wake: Callable[[str], None]) -> kopf.OperatorRegistry:
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

    async def deployment_changed(name: str | None, **_: Any) -> None:
        if name:
            wake(name)

    async def pod_changed(labels: kopf.Labels, **_: Any) -> None:
        wake(labels[LABEL_DEPLOYMENT])

    kopf.on.login(registry=registry)(login)
    kopf.on.event(GROUP, VERSION, MODEL_DEPLOYMENTS.plural, registry=registry)(deployment_changed)
    kopf.on.event(PODS.api_version, PODS.plural, labels={LABEL_DEPLOYMENT: kopf.PRESENT}, registry=registry)(pod_changed)
    return registry


def _settings() -> kopf.OperatorSettings:
    """Kopf without what Berth does not use: no events of kopf's own, no watch of every CRD."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    return settings
