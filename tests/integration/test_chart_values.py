"""What the chart makes of values in any combination, by the word of the API server and of helm's own lint.

The API server knows more than kubeconform: its schemas refuse fields that they do not have, the CRDs' rules and
admission are in force, and it warns of pods that are not restricted. HTTPRoutes are judged by their own CRD.
"""

import copy
import functools
import json
import random
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any, cast

import yaml

from tests.integration.gateway_api import define_routes
from tests.kubectl import Kubectl
from tests.unit.chart.rendering import CHART, Manifest, helm, render

DOCS = CHART.parents[1] / "docs"
RELEASES = 8
"""How many combinations of values are tried."""
DIGEST = "sha256:" + "0a" * 32
POD: dict[str, Any] = {
    "labels": {"kueue.x-k8s.io/queue-name": "models"},
    "annotations": {"karpenter.sh/do-not-disrupt": "true"},
    "env": [{"name": "A", "value": "b"}],
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
}
NODES: dict[str, Any] = {
    "nodeSelector": {"zone": "a"},
    "tolerations": [{"key": "models", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "system-cluster-critical",
    "podLabels": {"sidecar.istio.io/inject": "false"},
    "podAnnotations": {"team": "ml"},
    "extraEnv": [{"name": "BERTH_LOG_LEVEL", "value": "DEBUG"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}
    ]}}},
}  # fmt: skip
ROUTE: dict[str, Any] = {
    "enabled": True,
    "annotations": {"a": "b"},
    "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
    "hostnames": ["a.example.com", "*.example.org"],
    "timeouts": {"request": "0s", "backendRequest": "0s"},
}
DIMENSIONS: dict[str, list[dict[str, Any]]] = {
    "keys": [
        {},
        {"auth": {"enabled": False}, "engineKeys": {"enabled": False}},
        {"auth": {"existingSecret": "keys"}, "engineKeys": {"existingSecret": "engines"}},
    ],
    "network": [
        {},
        {"networkPolicy": {"enabled": False}},
        {
            "networkPolicy": {
                "clientsFrom": [{"podSelector": {}}],
                "metricsFrom": [],
                "hub": {"ports": [3128], "cidrs": ["10.1.0.0/16"]},
                "apiServer": {"cidrs": ["10.0.0.10/32"]},
                "engines": {
                    "extraIngress": [{"ports": [{"port": 8000}]}],
                    "extraEgress": [{"to": [{"podSelector": {}}]}],
                },
            }
        },
    ],
    "store": [
        {},
        {"modelStore": {"existingClaim": "weights", "subPath": "llm", "routerMayDelete": False}},
        {"modelStore": {"storageClassName": "-", "accessModes": ["ReadWriteOnce"], "volumeName": "pv", "keep": False}},
    ],
    "way in": [
        {},
        {"router": {"ingress": {"enabled": True, "hosts": ["a.example.com"], "tls": [{"hosts": ["a.example.com"]}]}}},
        {"router": {"service": {"type": "NodePort", "nodePort": 30123}}},
        {"router": {"service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}}}},
        {"router": {"httpRoute": ROUTE}},
    ],
    "sizes": [
        {},
        {"operator": {"replicas": 2}, "router": {"replicas": 1}},
        {"operator": {"metricsPort": 0}, "router": {"replicas": 5, "podDisruptionBudget": {"minAvailable": "50%"}}},
    ],
    "room": [{}, {"operator": {"room": {"watchNodes": True}}}, {"operator": {"readModelStore": False}}],
    "nodes": [{}, {"operator": NODES, "router": NODES}],
    "images": [
        {},
        {"image": {"registry": "registry.example.com:5000/ml", "tag": "1.2.3", "pullSecrets": ["registry"]}},
        {"operator": {"image": {"digest": DIGEST}}, "router": {"image": {"digest": DIGEST, "pullPolicy": "Always"}}},
    ],
    "engines": [
        {},
        {
            "engines": {"vllm": {"cpu": None, "cuda": {"image": {"repository": "vllm-cuda", "digest": DIGEST}}}},
            "devices": {"cuda": {"memory": "80Gi", "shares": 4, "runtimeClassName": "nvidia", "pod": POD}},
            "compileCache": {"enabled": True},
            "profiles": {"long": {"backend": "llamacpp", "n_ctx": 32768}},
            "aliases": {"gpt-*": "Qwen3-8B@long"},
        },
    ],
    "rights": [{}, {"rbac": {"aggregateRoles": False, "routerPolicy": False}}],
}
"""What people choose of each matter; the first is what they get who choose nothing."""


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Both, as helm adds up values."""
    result = dict(values)
    for key, value in more.items():
        before = result.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        result[key] = merged(cast("Any", before), cast("Any", value)) if both else value
    return result


def combinations() -> list[dict[str, Any]]:
    """Values that have every choice of every matter, beside others each time; the first has the defaults."""
    shuffled = {
        matter: [0, *random.Random(matter).sample([at % len(choices) for at in range(1, RELEASES)], RELEASES - 1)]  # noqa: S311
        for matter, choices in DIMENSIONS.items()
    }
    rows = [[DIMENSIONS[matter][order[row]] for matter, order in shuffled.items()] for row in range(RELEASES)]
    return [functools.reduce(merged, row) for row in rows]


def pages_values() -> list[tuple[str, dict[str, Any]]]:
    """The values of the chart that the pages tell people to set, with the page's name."""
    known = set(yaml.safe_load((CHART / "values.yaml").read_text()))
    return [(page, block) for page, block in blocks() if block and block.keys() <= known]


def pages_manifests() -> list[tuple[str, Manifest]]:
    """The objects that the pages tell people to apply."""
    return [(page, block) for page, block in blocks() if {"apiVersion", "kind"} <= block.keys()]


@functools.cache
def blocks() -> list[tuple[str, dict[str, Any]]]:
    """The mappings in the pages' blocks of YAML."""
    return [
        (str(page.relative_to(DOCS)), document)
        for page in sorted(DOCS.rglob("*.md"))
        for block in re.findall(r"^ *```yaml\n(.*?)```", page.read_text(), re.DOTALL | re.MULTILINE)
        for document in yaml.safe_load_all(textwrap.dedent(block))
        if isinstance(document, dict)
    ]


def tried_in(namespace: str, manifest: Manifest) -> Manifest:
    """The object as a dry run can have it: in this namespace, and a pod without an account that is not made first."""
    tried = copy.deepcopy(manifest)
    if "namespace" in tried["metadata"]:
        tried["metadata"]["namespace"] = namespace
    if tried["kind"] == "Pod":
        tried["spec"].pop("serviceAccountName", None)
    return tried


def dry_run(kubectl: Kubectl, manifests: list[Manifest]) -> str:
    """What the API server says of the objects, none of which it keeps. Raises KubectlError if it refuses one."""
    here = [tried_in(kubectl.namespace, each) for each in manifests]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": here})
    how = ("--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "--filename", "-")
    return kubectl.run("apply", *how, stdin=items)


def kinds_of_templates() -> set[str]:
    """Of the objects that the chart can make, and that its templates write down."""
    templates = (path.read_text() for path in (CHART / "templates").rglob("*.yaml"))
    return {kind for text in templates for kind in re.findall(r"^kind: (\w+)$", text, re.MULTILINE)}


def test_the_api_server_takes_what_the_chart_makes_of_any_values(namespace: Kubectl) -> None:
    define_routes(namespace)
    releases = [
        render(
            release=f"r{row}", namespace=namespace.namespace, **values, **({"crds": {"install": False}} if row else {})
        )
        for row, values in enumerate(combinations())
    ]
    manifests = [manifest for release in releases for manifest in release.manifests]
    assert {each["kind"] for each in manifests} >= kinds_of_templates() | {"CustomResourceDefinition"}
    said = dry_run(namespace, manifests)
    assert "Warning" not in said
    assert said.count("serverside-applied (server dry run)") == len(manifests)


def test_the_api_server_takes_what_the_pages_tell_people_to_set(namespace: Kubectl) -> None:
    rendered = [
        render(release=f"p{row}", namespace=namespace.namespace, **merged(values, {"crds": {"install": False}}))
        for row, (_, values) in enumerate(pages_values())
    ]
    assert len(rendered) >= 10
    assert "Warning" not in dry_run(namespace, [each for release in rendered for each in release.manifests])


def test_the_api_server_takes_what_the_pages_tell_people_to_apply(namespace: Kubectl) -> None:
    kinds = {manifest["kind"] for _, manifest in pages_manifests()}
    assert {"ModelDeployment", "PersistentVolumeClaim", "ResourceQuota"} <= kinds
    assert "Warning" not in dry_run(namespace, [manifest for _, manifest in pages_manifests()])


def test_helms_lint_finds_no_fault_with_any_values(tmp_path: Path) -> None:
    for row, values in enumerate(combinations()):
        (tmp_path / f"{row}.json").write_text(json.dumps(values))
        command = [helm(), "lint", "--strict", "--quiet", str(CHART), "--values", str(tmp_path / f"{row}.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, (values, done.stdout + done.stderr)
