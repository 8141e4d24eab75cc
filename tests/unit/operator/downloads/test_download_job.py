"""The whole manifests of the Jobs of a download."""

from typing import Any

from berth_operator.resources import make_cleanup_job, make_download_job
from berth_operator.settings import OperatorSettings
from tests.unit.operator.downloads.building import SETTINGS, UID, download

LABELS = {
    "berth.dev/download": "smol",
    "app.kubernetes.io/managed-by": "berth-operator",
    "app.kubernetes.io/name": "berth-download",
    "app.kubernetes.io/part-of": "berth",
}
CONTAINER = {
    "name": "download",
    "image": "berth/download:1",
    "imagePullPolicy": "IfNotPresent",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "volumeMounts": [{"name": "models", "mountPath": "/models"}],
}
POD: dict[str, Any] = {
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 10,
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "berth-models"}}],
}


def test_a_plain_download() -> None:
    assert make_download_job(download(), "berth/download:1", SETTINGS) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "smol-aaaaaaaa",
            "labels": LABELS,
            "annotations": {"berth.dev/repository": "org/SmolLM2"},
            "ownerReferences": [
                {
                    "apiVersion": "berth.dev/v1alpha1",
                    "kind": "ModelDownload",
                    "name": "smol",
                    "uid": UID,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 10,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": "download", "operator": "In", "values": [2, 3]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
                ]
            },
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    **POD,
                    "containers": [
                        {
                            **CONTAINER,
                            "args": [
                                *(
                                    "--id",
                                    "smol",
                                    "--repository",
                                    "org/SmolLM2",
                                    "--revision",
                                    "main",
                                    "--destination",
                                    "SmolLM2",
                                ),
                                *("--store", "/models", "--port", "8000"),
                            ],
                            "env": [
                                {"name": "HOME", "value": "/tmp"},
                                {"name": "HF_ENDPOINT", "value": "https://huggingface.co"},
                                {"name": "BERTH_MIN_FREE_BYTES", "value": "1073741824"},
                                {"name": "BERTH_TERMINATION_LOG", "value": "/dev/termination-log"},
                            ],
                            "ports": [{"name": "progress", "containerPort": 8000}],
                        }
                    ],
                },
            },
        },
    }


def test_everything_that_can_be_set_reaches_the_pod() -> None:
    settings = OperatorSettings.model_validate(
        {
            "imagePullSecrets": ["pull"],
            "modelStore": {"claimName": "weights", "subPath": "llm"},
            "downloads": {
                "image": "berth/download:1",
                "pullPolicy": "Always",
                "hubEndpoint": "http://mirror:8080",
                "tokenSecret": {"name": "hub"},
                "allowPickle": True,
                "minFreeBytes": 5,
                "backoffLimit": 2,
                "resources": {"limits": {"memory": "1Gi"}},
                "nodeSelector": {"disk": "fast"},
                "tolerations": [{"key": "store", "operator": "Exists"}],
                "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            },
        }
    )
    spec = {
        "revision": "v2",
        "destination": "a/b",
        "quantization": "Q4_K_M",
        "include": ["*.gguf", "x y"],
        "exclude": ["original/*"],
    }
    job = make_download_job(download(spec), "berth/download:1", settings)
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["args"] == [
        *(
            "--id",
            "smol",
            "--repository",
            "org/SmolLM2",
            "--revision",
            "v2",
            "--destination",
            "a/b",
            "--quantization",
            "Q4_K_M",
        ),
        *(
            "--include=*.gguf",
            "--include=x y",
            "--exclude=original/*",
            "--allow-pickle",
            "--store",
            "/models",
            "--port",
            "8000",
        ),
    ]
    assert container["env"][1:] == [
        {"name": "HF_ENDPOINT", "value": "http://mirror:8080"},
        {"name": "BERTH_MIN_FREE_BYTES", "value": "5"},
        {"name": "BERTH_TERMINATION_LOG", "value": "/dev/termination-log"},
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
    ]
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"] == {"limits": {"memory": "1Gi"}}
    assert container["volumeMounts"][0] == {"name": "models", "mountPath": "/models", "subPath": "llm"}
    assert pod["volumes"][0] == {"name": "models", "persistentVolumeClaim": {"claimName": "weights"}}
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"disk": "fast"}, [{"key": "store", "operator": "Exists"}])
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert job["spec"]["backoffLimit"] == 2


def test_a_clean_up_has_no_owner_and_no_token_and_ends_by_itself() -> None:
    settings = OperatorSettings.model_validate({"downloads": {"tokenSecret": {"name": "hub"}}})
    assert make_cleanup_job("smol", "berth/download:1", settings) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "smol-cleanup", "labels": LABELS},
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": 600,
            "ttlSecondsAfterFinished": 0,
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    **POD,
                    "containers": [
                        {
                            **CONTAINER,
                            "args": ["--remove-staging", "smol", "--store", "/models"],
                            "env": [{"name": "HOME", "value": "/tmp"}],
                        }
                    ],
                },
            },
        },
    }
