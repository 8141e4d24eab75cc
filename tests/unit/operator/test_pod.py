"""The whole manifest of an engine's pod."""

from math import ceil

import pytest

from berth_cluster.cluster import Object
from berth_operator.engines import ENGINES
from berth_operator.resources import make_pod
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import SETTINGS, UID, deployment

PROBE = {"httpGet": {"path": "/health", "port": "http"}}


def made(settings: OperatorSettings = SETTINGS, **spec: object) -> Object:
    asked = deployment(spec)
    image = settings.image_for(asked.spec.backend, asked.spec.device)
    assert image
    return make_pod(asked, ENGINES[asked.spec.backend], image, settings)


def test_a_plain_engine() -> None:
    pod = made()
    assert pod == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "smol-11111111-1",
            "labels": {
                "berth.dev/deployment": "smol",
                "app.kubernetes.io/managed-by": "berth-operator",
                "app.kubernetes.io/name": "berth-engine",
                "app.kubernetes.io/component": "llamacpp",
                "app.kubernetes.io/part-of": "berth",
            },
            "annotations": {
                "berth.dev/model": "/models/SmolLM2",
                "berth.dev/generation": "3",
                "berth.dev/made-from": pod["metadata"]["annotations"]["berth.dev/made-from"],
            },
            "ownerReferences": [
                {
                    "apiVersion": "berth.dev/v1alpha1",
                    "kind": "ModelDeployment",
                    "name": "smol",
                    "uid": UID,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 300,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "engine",
                    "image": "berth/llamacpp:1",
                    "imagePullPolicy": "IfNotPresent",
                    "args": [
                        *("llamacpp", "--model", "/models/SmolLM2", "--alias", "/models/SmolLM2", "--port", "8000"),
                        *("--context-size", "2048", "--gpu-layers", "0", "--parallel", "8"),
                    ],
                    "env": [{"name": "HOME", "value": "/tmp"}],
                    "ports": [{"name": "http", "containerPort": 8000}],
                    "startupProbe": {**PROBE, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 17_280},
                    "readinessProbe": {**PROBE, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
                    "livenessProbe": {
                        **PROBE,
                        "periodSeconds": 10,
                        "timeoutSeconds": 5,
                        "failureThreshold": 12,
                        "terminationGracePeriodSeconds": 1,
                    },
                    "lifecycle": {
                        "preStop": {
                            "exec": {
                                "command": [
                                    "/usr/bin/python3",
                                    "-IS",
                                    "/opt/berth/berth_runtime/drain.py",
                                    "--port",
                                    "8000",
                                ]
                            }
                        }
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": "models", "mountPath": "/models", "readOnly": True},
                        {"name": "tmp", "mountPath": "/tmp"},
                        {"name": "shm", "mountPath": "/dev/shm"},
                    ],
                }
            ],
            "volumes": [
                {"name": "models", "persistentVolumeClaim": {"claimName": "berth-models", "readOnly": True}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory"}},
            ],
        },
    }


@pytest.mark.parametrize(("deadline", "failures"), [(60, 12), (61, 13), (600, 120), (16, 4)])
def test_the_kubelet_kills_an_engine_that_hangs_only_where_the_operator_should_have_long_replaced_it(
    deadline: float, failures: int
) -> None:
    settings = OperatorSettings.model_validate({**SETTINGS.model_dump(), "timing": {"hang_deadline": deadline}})
    container = made(settings)["spec"]["containers"][0]
    assert container["livenessProbe"]["failureThreshold"] == failures == ceil(2 * deadline / 10)
