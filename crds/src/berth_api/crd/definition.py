"""What every CustomResourceDefinition of Berth has."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from berth_api.crd.structural import structural
from berth_cluster.cluster import GROUP, VERSION, Kind, Object

CATEGORY = "berth"
"""`kubectl get berth` shows all resources of Berth."""

NOT_LOOKED_AT: dict[str, Any] = {
    "observedGeneration": 0,
    "conditions": [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NotLookedAt",
            "message": "the operator has not looked at it yet",
        }
    ],
}
"""The status of an object that nobody has looked at. No object has the generation 0: so whoever waits for an object
goes on waiting, where without any status it would count as done.
"""


@dataclass(frozen=True, slots=True)
class ResourceDefinition:
    """A kind of resource: its types, how kubectl shows it, and the rules between its fields, in CEL."""

    kind: Kind
    short_name: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: list[dict[str, Any]]
    spec_rules: list[dict[str, str]]
    rules: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Rules about the whole object. Of the metadata they see the name."""


def rule(field_path: str, expression: str, message: str) -> dict[str, str]:
    """A rule whose violation the API server reports for this field.

    `field_path`: below the place where the rule stands.
    """
    return {"rule": expression, "message": message, "fieldPath": f".{field_path}"}


def name_rule(length: int, why: str) -> dict[str, Any]:
    """A rule about the names of new resources. The status of an older resource must stay writable."""
    return {
        "rule": f"oldSelf.hasValue() || self.metadata.name.size() <= {length}",
        "message": f"metadata.name: at most {length} characters, since {why}",
        "optionalOldSelf": True,
    }


def custom_resource_definition(resource: ResourceDefinition) -> Object:
    """The CustomResourceDefinition, as `kubectl apply` takes it."""
    kind = resource.kind
    schema: dict[str, Any] = {
        "type": "object",
        "description": resource.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(resource.spec) | {"x-kubernetes-validations": resource.spec_rules},
            "status": structural(resource.status) | {"default": NOT_LOOKED_AT},
        },
    }
    if resource.rules:
        schema["x-kubernetes-validations"] = resource.rules
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            # Without this, uninstalling a release would delete every resource of the cluster.
            "annotations": {"helm.sh/resource-policy": "keep"},
            "labels": {"app.kubernetes.io/part-of": "berth"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [resource.short_name],
                "categories": ["all", CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": resource.columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
