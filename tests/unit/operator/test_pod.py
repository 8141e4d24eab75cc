"""The whole manifest of an engine's pod."""

import re
from math import ceil
from typing import Any

import pytest

from berth_cluster.cluster import Object
from berth_operator.engines import ENGINES
from berth_operator.resources import make_pod
from berth_operator.resources.made_from import difference
from berth_operator.settings import OperatorSettings
from berth_runtime.engines.vllm import COMPILE_CACHE
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
                    "startupProbe": {**PROBE, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 86_400},
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
                    "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
                }
            ],
            "volumes": [
                {"name": "models", "persistentVolumeClaim": {"claimName": "berth-models", "readOnly": True}},
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


VLLM = SETTINGS.model_dump() | {"engines": {"vllm": {"cuda": {"image": "berth/vllm:1"}}}}
COMPILED = r"\.berth/compiled/vllm-cuda-[0-9a-f]{12}/[0-9a-f]{16}"


def compiling(settings: dict[str, Any] | None = None, model: str = "/models/SmolLM2") -> Object:
    """The pod of vLLM with these settings of its cache."""
    written = {**VLLM, **(settings or {"compile_cache": {"enabled": True}})}
    return made(OperatorSettings.model_validate(written), backend="vllm", device="cuda", model=model)


def mount(pod: Object) -> dict[str, Any]:
    [found] = [each for each in pod["spec"]["containers"][0]["volumeMounts"] if each["mountPath"] == "/compiled"]
    return found


def test_vllm_may_write_one_folder_of_the_store_where_it_keeps_what_it_compiles() -> None:
    pod = compiling()
    assert mount(pod)["name"] == "models"
    assert re.fullmatch(COMPILED, mount(pod)["subPath"])
    assert mount(pod).keys() == {"name", "mountPath", "subPath"}
    assert {"name": "BERTH_COMPILE_CACHE", "value": "/compiled"} in pod["spec"]["containers"][0]["env"]
    assert COMPILE_CACHE == "BERTH_COMPILE_CACHE", "the launcher looks there"
    [models] = [each for each in pod["spec"]["containers"][0]["volumeMounts"] if each["mountPath"] == "/models"]
    assert models["readOnly"], "its models it only reads"
    assert pod["spec"]["volumes"][0] == {"name": "models", "persistentVolumeClaim": {"claimName": "berth-models"}}
    assert pod["spec"]["securityContext"]["fsGroup"] == 65532


def test_no_model_writes_what_another_one_loads() -> None:
    folders = {
        mount(compiling(model="/models/one"))["subPath"],
        mount(compiling(model="/models/two"))["subPath"],
        mount(compiling({"compile_cache": {"enabled": True}, "engines": {"vllm": {"cuda": {"image": "vllm:2"}}}}))[
            "subPath"
        ],
    }
    assert len(folders) == 3
    assert mount(compiling())["subPath"] == mount(compiling())["subPath"]


def test_the_folder_is_where_the_models_are_or_in_a_claim_of_its_own() -> None:
    below = compiling({"compile_cache": {"enabled": True}, "model_store": {"sub_path": "llm"}})
    assert re.fullmatch(f"llm/{COMPILED}", mount(below)["subPath"])
    own = compiling({"compile_cache": {"enabled": True, "claim_name": "cache"}})
    assert mount(own)["name"] == "compiled"
    assert {"name": "compiled", "persistentVolumeClaim": {"claimName": "cache"}} in own["spec"]["volumes"]
    assert own["spec"]["volumes"][0]["persistentVolumeClaim"]["readOnly"]


def test_an_engine_that_compiles_nothing_stays_as_it_is_when_the_cache_comes() -> None:
    enabled = OperatorSettings.model_validate({**SETTINGS.model_dump(), "compile_cache": {"enabled": True}})
    assert made(enabled) == made()
    without = compiling({"compile_cache": {"enabled": False}})
    assert "fsGroup" not in without["spec"]["securityContext"]
    assert difference(without, compiling()) is not None
