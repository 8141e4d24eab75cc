"""The API server itself refuses a wrong manifest, and says what is allowed."""

from typing import Any

import pytest

from tests.kubectl import Kubectl, KubectlError


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "smol"},
        "spec": {"model": "/models/SmolLM2", "backend": "llamacpp", "device": "cpu", **spec},
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "SmolLM2"}, r"spec.model in body should match '^/models(/"),
        ({"model": "/models/../etc/passwd"}, "spec.model in body should match"),
        (
            {"backend": "ollama"},
            'spec.backend: Unsupported value: "ollama": supported values: "vllm", "transformers", "llamacpp"',
        ),
        ({"device": "tpu"}, 'spec.device: Unsupported value: "tpu": supported values: "cuda", "cpu"'),
        ({"devices": 2}, "devices: more than 1 is allowed only with device cuda"),
        ({"devices": 0, "device": "cuda"}, "spec.devices in body should be greater than or equal to 1"),
        ({"llamacpp": {"contextSize": 1}}, "spec.llamacpp.contextSize in body should be greater than or equal to 256"),
        ({"llamacpp": {"gpuLayers": 5}}, "layers can be on a GPU only with device cuda"),
        (
            {"llamacpp": {"contextSize": 1_048_577}},
            "spec.llamacpp.contextSize in body should be less than or equal to 1048576",
        ),
        ({"llamacpp": {"gpuLayers": -2}}, "spec.llamacpp.gpuLayers in body should be greater than or equal to -1"),
        (
            {"llamacpp": {"gpuLayers": 1000}, "device": "cuda"},
            "spec.llamacpp.gpuLayers in body should be less than or equal to 999",
        ),
        ({"llamacpp": {"quantization": "Q4 K M"}}, "spec.llamacpp.quantization in body should match"),
        (
            {"backend": "vllm", "vllm": {"gpuMemoryUtilization": 0.05}},
            "spec.vllm.gpuMemoryUtilization in body should be greater than",
        ),
        (
            {"backend": "vllm", "vllm": {"gpuMemoryUtilization": 1.5}},
            "spec.vllm.gpuMemoryUtilization in body should be less than",
        ),
        (
            {"backend": "vllm", "vllm": {"maxModelLen": 255}},
            "spec.vllm.maxModelLen in body should be greater than or equal to 256",
        ),
        (
            {"backend": "transformers", "transformers": {"continuousBatching": "yes"}},
            "spec.transformers.continuousBatching",
        ),
        ({"vllm": {"maxModelLen": 4096}}, "vllm: these settings are allowed only with backend vllm"),
        ({"transformers": {}}, "transformers: these settings are allowed only with backend transformers"),
        (
            {"backend": "vllm", "llamacpp": {"contextSize": 4096}},
            "llamacpp: these settings are allowed only with backend llamacpp",
        ),
        ({"idle": {"ttlSeconds": -1}}, "spec.idle.ttlSeconds in body should be greater than or equal to 0"),
        (
            {"idle": {"action": "Stop"}},
            'spec.idle.action: Unsupported value: "Stop": supported values: "Delete", "Sleep"',
        ),
        ({"contextSize": 4096}, 'unknown field "contextSize"'),
        ({"idle": {"startAsleep": True, "action": "Delete"}}, "idle.startAsleep: allowed only with action Sleep"),
        ({"pod": {"label": {"a": "b"}}}, 'unknown field "'),
        ({"pod": {"env": [{"value": "x"}]}}, "spec.pod.env[0].name: Required value"),
        ({"pod": {"volumeMounts": [{"name": "x"}]}}, "spec.pod.volumeMounts[0].mountPath: Required value"),
    ],
)
def test_a_wrong_manifest_is_refused_with_what_is_allowed(namespace: Kubectl, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(KubectlError) as refusal:
        namespace.apply(manifest(**wrong))
    assert said in str(refusal.value)


def test_a_name_that_is_too_long_for_a_label_is_refused(namespace: Kubectl) -> None:
    namespace.apply({**manifest(), "metadata": {"name": "n" * 63}})
    with pytest.raises(KubectlError, match=r"metadata\.name: at most 63 characters"):
        namespace.apply({**manifest(), "metadata": {"name": "n" * 64}})


def test_what_is_left_out_has_defaults(namespace: Kubectl) -> None:
    namespace.apply(manifest())
    spec = namespace.json("get", "md", "smol")["spec"]
    assert spec["devices"] == 1
    assert spec["idle"] == {"ttlSeconds": 300, "action": "Sleep"}


def test_what_is_as_in_a_pod_is_kept_as_it_was_written(namespace: Kubectl) -> None:
    pod: dict[str, Any] = {
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca", "optional": True}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
    }
    namespace.apply(manifest(pod=pod))
    assert namespace.json("get", "md", "smol")["spec"]["pod"] == pod


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"model": "/models/Other"}, "model is immutable"),
        ({}, {"backend": "vllm"}, "backend is immutable"),
        ({}, {"device": "cuda"}, "device is immutable"),
        ({"device": "cuda"}, {"device": "cuda", "devices": 2}, "devices is immutable"),
        ({}, {"llamacpp": {"contextSize": 4096}}, "llamacpp is immutable"),
        ({"llamacpp": {"contextSize": 4096}}, {"llamacpp": {"contextSize": 8192}}, "llamacpp is immutable"),
    ],
)
def test_what_is_identity_cannot_change(
    namespace: Kubectl, before: dict[str, Any], after: dict[str, Any], said: str
) -> None:
    namespace.apply(manifest(**before))
    with pytest.raises(KubectlError, match=said):
        namespace.apply(manifest(**after))


def test_what_is_not_identity_can_change(namespace: Kubectl) -> None:
    namespace.apply(manifest())
    namespace.apply(manifest(idle={"ttlSeconds": 60}, nodeSelector={"zone": "a"}))
    assert namespace.json("get", "md", "smol")["spec"]["idle"]["ttlSeconds"] == 60


def test_it_has_a_short_name_a_category_and_columns_that_answer_what_runs_where_until_when(namespace: Kubectl) -> None:
    namespace.apply(manifest())
    header, row = namespace.run("get", "md").splitlines()
    assert header.split() == ["NAME", "MODEL", "BACKEND", "DEVICE", "PHASE", "READY", "CONTEXT", "EXPIRES", "AGE"]
    assert row.split()[:4] == ["smol", "/models/SmolLM2", "llamacpp", "cpu"]
    for category in ("all", "berth"):
        assert "modeldeployment.berth.dev/smol" in namespace.run("get", category, "-o", "name")


def test_every_field_is_explained(namespace: Kubectl) -> None:
    manual = namespace.run("explain", "md", "--recursive=false")
    assert "One model, served by one engine" in manual
    status = (
        "md.status",
        "md.status.activity",
        "md.status.startSteps",
        "md.status.conditions",
        "md.status.lastFailure",
    )
    for path in ("md.spec", "md.spec.idle", "md.spec.llamacpp", "md.spec.resources", "md.spec.tolerations", *status):
        assert "<no description>" not in namespace.run("explain", path), path
