"""The pod of an engine.

It satisfies the `restricted` pod security standard: not root, no capabilities, the default seccomp profile, and no API
credentials: an engine runs code and weights of strangers. `scratch.py` says where it may write.
"""

from math import ceil
from typing import Any

from berth_api.identity import pod_name, with_defaults
from berth_api.model_deployment import MODEL_STORE, Device, ModelDeployment, ModelDeploymentSpec
from berth_api.pod_settings import merged
from berth_cluster.cluster import (
    GENERATION_ANNOTATION,
    GROUP,
    LABEL_DEPLOYMENT,
    LABEL_MANAGED_BY,
    MADE_FROM_ANNOTATION,
    MODEL_DEPLOYMENTS,
    Object,
)
from berth_operator.engines import EngineKind, EngineProcess
from berth_operator.resources.compile_cache import add_compile_cache
from berth_operator.resources.engine_key import add_engine_key
from berth_operator.resources.made_from import digests
from berth_operator.resources.pod_settings import add_pod_settings
from berth_operator.resources.scratch import settle_scratch
from berth_operator.settings import PROBE_TIMEOUT_SECONDS, DeviceSettings, EngineImage, OperatorSettings

CONTAINER = "engine"
MANAGER = "berth-operator"
"""Who made it, in the label of every object that the operator creates."""

USER = 65532
"""The user "nonroot" by the convention of distroless images."""

_STARTUP_PERIOD = 1
"""The node is busy with a pod until it knows that it is ready, and ends one a second later while it is."""
_STARTUP_FAILURES = 86_400
"""A day of startup probes: the operator alone decides how long a start may take, and no kubelet ends one before."""

_LIVENESS_PERIOD = 10
_LIVENESS_DEADLINES = 2
"""Hang deadlines after which the kubelet kills an engine. The operator does so first, and keeps the reason."""

HUNG_GRACE_SECONDS = 1
"""What a process gets to end that does not react. With 0, nobody would wait for the node to report the pod's end."""

DRAIN = ("/usr/bin/python3", "-IS", "/opt/berth/berth_runtime/drain.py")
"""A program of every engine's image that waits for open connections. The kubelet runs it before it ends the engine."""


def make_pod(deployment: ModelDeployment, engine: EngineKind, image: EngineImage, settings: OperatorSettings) -> Object:
    """The pod of the deployment's current attempt."""
    spec = with_defaults(deployment.spec)
    device = settings.devices.get(spec.device, DeviceSettings())
    process = engine.process(spec, device.shares)
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(deployment.name, deployment.uid, deployment.status.attempt),
            "labels": {
                LABEL_DEPLOYMENT: deployment.name,
                LABEL_MANAGED_BY: MANAGER,
                "app.kubernetes.io/name": "berth-engine",
                "app.kubernetes.io/component": spec.backend.value,
                "app.kubernetes.io/part-of": "berth",
            },
            "annotations": {f"{GROUP}/model": spec.model, GENERATION_ANNOTATION: str(deployment.generation)},
            "ownerReferences": [
                {
                    "apiVersion": MODEL_DEPLOYMENTS.api_version,
                    "kind": MODEL_DEPLOYMENTS.kind,
                    "name": deployment.name,
                    "uid": deployment.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            # The operator replaces a dead engine by a new pod: it decides when, and keeps the reason.
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": settings.timing.termination_grace,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(spec, process, image, device, settings)],
            "volumes": [
                {
                    "name": "models",
                    "persistentVolumeClaim": {"claimName": settings.model_store.claim_name, "readOnly": True},
                },
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory"}},
            ],
        },
    }
    _schedule(pod["spec"], spec, device, settings)
    add_compile_cache(pod["spec"], spec, image.image, settings, USER)
    add_engine_key(pod["spec"], deployment, settings.engine_keys.keyring)
    add_pod_settings(pod, merged(device.pod, spec.pod))
    pod["metadata"]["annotations"][MADE_FROM_ANNOTATION] = digests(pod)
    settle_scratch(pod, process)
    return pod


def _container(
    spec: ModelDeploymentSpec,
    process: EngineProcess,
    image: EngineImage,
    device: DeviceSettings,
    settings: OperatorSettings,
) -> dict[str, Any]:
    probe = {"httpGet": {"path": process.health_path, "port": "http"}}
    models: dict[str, Any] = {"name": "models", "mountPath": MODEL_STORE, "readOnly": True}
    if settings.model_store.sub_path:
        models["subPath"] = settings.model_store.sub_path
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image.image,
        "imagePullPolicy": image.pull_policy,
        "args": process.args,
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 (its container's own)
        "ports": [{"name": "http", "containerPort": process.port}],
        "startupProbe": {
            **probe,
            "periodSeconds": _STARTUP_PERIOD,
            "timeoutSeconds": 3,
            "failureThreshold": _STARTUP_FAILURES,
        },
        # Not ready after 15 s: as long as the operator takes to find an engine unresponsive, with a probe every 10 s.
        "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": PROBE_TIMEOUT_SECONDS, "failureThreshold": 3},
        "livenessProbe": {
            **probe,
            "periodSeconds": _LIVENESS_PERIOD,
            "timeoutSeconds": PROBE_TIMEOUT_SECONDS,
            "failureThreshold": ceil(_LIVENESS_DEADLINES * settings.timing.hang_deadline / _LIVENESS_PERIOD),
            # A process that hangs does not react to a signal, and keeps its connections open until it is killed.
            "terminationGracePeriodSeconds": HUNG_GRACE_SECONDS,
        },
        "lifecycle": {"preStop": {"exec": {"command": [*DRAIN, "--port", str(process.port)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # People see the engine's last lines as the reason.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [models, {"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108
    }
    resources = _resources(spec, device)
    if resources:
        container["resources"] = resources
    return container


def _resources(spec: ModelDeploymentSpec, device: DeviceSettings) -> dict[str, Any]:
    stated = spec.resources.manifest() if spec.resources else {}
    resources: dict[str, Any] = {
        part: dict(values)
        for part in ("requests", "limits")
        if (values := stated.get(part) or device.resources.get(part))
    }
    if spec.device is Device.CUDA and device.resource_name:
        # Of an extended resource, Kubernetes sets the request to the limit.
        resources.setdefault("limits", {})[device.resource_name] = spec.devices
    return resources


def _schedule(
    pod_spec: dict[str, Any], spec: ModelDeploymentSpec, device: DeviceSettings, settings: OperatorSettings
) -> None:
    """Adds the fields that decide about the node, as far as any is set."""
    node_selector = {**device.node_selector, **(spec.node_selector or {})}
    tolerations = [toleration.manifest() for toleration in [*device.tolerations, *(spec.tolerations or [])]]
    optional: dict[str, Any] = {
        "nodeSelector": node_selector,
        "tolerations": tolerations,
        "runtimeClassName": device.runtime_class_name,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
    }
    pod_spec.update({key: value for key, value in optional.items() if value})
