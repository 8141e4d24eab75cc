"""Values: explained, checked, and refused by name where they are wrong."""

import subprocess
from typing import Any

import pytest
import yaml

from tests.unit.chart.rendering import CHART, ROOT, RefusedError, helm, render


def test_helm_finds_no_fault() -> None:
    done = subprocess.run([helm(), "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 3}, "additional properties 'replicas' not allowed"),
        ({"router": {"replicaz": 3}}, "at '/router': additional properties 'replicaz' not allowed"),
        ({"operator": {"timing": {"resink": 3}}}, "at '/operator/timing': additional properties 'resink' not allowed"),
        ({"engines": {"llama": {}}}, "at '/engines': additional properties 'llama' not allowed"),
        ({"engines": {"vllm": {"gpu": {}}}}, "at '/engines/vllm': additional properties 'gpu' not allowed"),
        ({"engines": {"vllm": {"cuda": {}}}}, "at '/engines/vllm/cuda': missing property 'image'"),
        (
            {"devices": {"cuda": {"toleration": []}}},
            "at '/devices/cuda': additional properties 'toleration' not allowed",
        ),
        ({"router": {"defaultDevice": "gpu"}}, "at '/router/defaultDevice': value must be one of 'cuda', 'cpu'"),
        ({"router": {"defaultTtlSeconds": "5m"}}, "at '/router/defaultTtlSeconds': got string, want integer"),
        ({"router": {"httpRoute": {"enabled": True}}}, "at '/router/httpRoute/parentRefs': minItems"),
        ({"modelStore": {"subPath": "/models"}}, "at '/modelStore/subPath'"),
        (
            {"auth": {"keys": {"a": {"scopes": ["admin"]}}}},
            "at '/auth/keys/a/scopes/0': value must be one of 'inference', 'manage'",
        ),
        ({"auth": {"keys": {"admin": None, "client": None}}}, "auth.keys names no key"),
        ({"profiles": {"long": {"ctx": 1}}}, "at '/profiles/long': additional properties 'ctx' not allowed"),
        ({"profiles": {"long": {"n_ctx": 1}}}, "at '/profiles/long/n_ctx'"),
        ({"aliases": {"/models/x": "y"}}, "invalid propertyName '/models/x'"),
        ({"aliases": {"x": 1}}, "at '/aliases/x'"),
        ({"downloads": {"hubEndpoint": "ftp://hub.example.com"}}, "at '/downloads/hubEndpoint'"),
        ({"downloads": {"hubEndpoint": "https://user:secret@hub.example.com"}}, "at '/downloads/hubEndpoint'"),
        ({"downloads": {"token": "hf_x"}}, "at '/downloads': additional properties 'token' not allowed"),
        ({"operator": {"image": {"digest": "sha256:1"}}}, "at '/operator/image/digest'"),
        (
            {"devices": {"cpu": {"pod": {"label": {}}}}},
            "at '/devices/cpu/pod': additional properties 'label' not allowed",
        ),
        (
            {"devices": {"cpu": {"pod": {"env": [{"name": "BERTH_ENGINE_KEY", "value": "x"}]}}}},
            "at '/devices/cpu/pod/env/0/name'",
        ),
        (
            {"devices": {"cpu": {"pod": {"volumes": [{"name": "models"}]}}}},
            "at '/devices/cpu/pod/volumes/0/name'",
        ),
        (
            {"devices": {"cpu": {"pod": {"env": [{"value": "x"}]}}}},
            "at '/devices/cpu/pod/env/0': missing property 'name'",
        ),
        ({"rbac": {"aggregate": True}}, "at '/rbac': additional properties 'aggregate' not allowed"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError) as refused:
        render(**values)
    assert said in str(refused.value)


def test_every_value_is_explained() -> None:
    """A comment that begins with `# --` explains the value below it, and what is inside that value."""
    unexplained: list[str] = []
    explained_at: int | None = None
    comment = ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.lstrip()
        indentation = len(line) - len(text)
        if text.startswith("# --"):
            comment = text
        if not text or text.startswith("#"):
            continue
        inside = explained_at is not None and indentation > explained_at
        if comment:
            explained_at, comment = indentation, ""
        elif not inside:
            explained_at = None
            if not text.endswith(":"):
                unexplained.append(text)
    assert unexplained == []


def test_names_begin_with_the_release_and_fit_into_a_label() -> None:
    for release, values, service in [
        ("berth", {}, "berth"),
        ("prod", {}, "prod-berth"),
        ("my-berth", {}, "my-berth"),
        ("prod", {"fullnameOverride": "llm"}, "llm"),
    ]:
        assert render(release=release, **values).of_kind("Service")[-1]["metadata"]["name"] == service
    longest = render(release="a" * 53)
    # The names of these kinds may be longer than a label.
    longer = ("ConfigMap", "ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    assert all(
        len(manifest["metadata"]["name"]) <= 63 for manifest in longest.manifests if manifest["kind"] not in longer
    )


def test_the_resource_types_come_with_the_release_and_outlive_it() -> None:
    definitions = {found["metadata"]["name"]: found for found in render().of_kind("CustomResourceDefinition")}
    assert definitions.keys() == {"modeldeployments.berth.dev", "modeldownloads.berth.dev"}
    for name, definition in definitions.items():
        assert definition == yaml.safe_load((ROOT / f"crds/{name}.yaml").read_text())
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert render(crds={"install": False}).of_kind("CustomResourceDefinition") == []


def test_a_name_that_looks_like_a_number_stays_a_name() -> None:
    release = render(
        modelStore={"existingClaim": "0123", "subPath": "007"},
        image={"pullSecrets": ["0123"]},
        auth={"keys": {"007": {"scopes": ["inference"]}}},
        downloads={"tokenSecret": {"name": "0123", "key": "1e3"}},
        operator={"priorityClassName": "true"},
        router={"priorityClassName": "0123"},
    )
    operator, router = (release.pod_specs()[f"berth-{part}"] for part in ("operator", "router"))
    assert (operator["priorityClassName"], router["priorityClassName"]) == ("true", "0123")
    for spec in (operator, router):
        assert spec["imagePullSecrets"] == [{"name": "0123"}]
        [claim] = [each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if each["name"] == "models"]
        [mount] = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "models"]
        assert (claim, mount["subPath"]) == ("0123", "007")
    [token] = [each["valueFrom"] for each in router["containers"][0]["env"] if each["name"] == "BERTH_HUB_TOKEN"]
    assert (token["secretKeyRef"]["name"], token["secretKeyRef"]["key"]) == ("0123", "1e3")
    assert "007" in release.one("Secret", "berth-api-keys")["data"]


def test_a_namespace_that_looks_like_a_number_is_one() -> None:
    release = render(namespace="123", operator={"room": {"watchNodes": True}})
    bindings = [*release.of_kind("RoleBinding"), *release.of_kind("ClusterRoleBinding")]
    assert len(bindings) >= 4
    assert {subject["namespace"] for binding in bindings for subject in binding["subjects"]} == {"123"}
    [policy] = release.of_kind("ValidatingAdmissionPolicy")
    chosen = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"]
    assert chosen == {"kubernetes.io/metadata.name": "123"}


def test_a_release_whose_service_could_not_be_called_so_is_refused_before_anything_is_made() -> None:
    with pytest.raises(RefusedError, match=r"no Service can be called my\.berth"):
        render(release="my.berth")
    assert render(release="my.berth", fullnameOverride="berth").one("Service", "berth")
