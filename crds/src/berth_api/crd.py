"""Makes the CustomResourceDefinition of a resource from its pydantic types.

A CRD takes a structural schema: no references, no titles, `nullable` instead of a union with null. Rules between fields are CEL.
"""

from typing import Any, cast

from pydantic import BaseModel

from berth_api.cluster import GROUP, MODEL_DEPLOYMENTS, VERSION, Object
from berth_api.model_deployment import ModelDeploymentSpec, ModelDeploymentStatus

_DROPPED = {"title", "additionalProperties"}

_IDENTITY = {
    "model": "model is immutable: make another ModelDeployment for another model",
    "backend": "backend is immutable: make another ModelDeployment for another engine",
    "device": "device is immutable: make another ModelDeployment for another device",
    "devices": "devices is immutable: make another ModelDeployment for another number of GPUs",
}

_ENGINE_BLOCKS = ("llamacpp", "vllm", "transformers")
_OPTIONAL_IDENTITY = (*_ENGINE_BLOCKS, "engineArgs")


def _rule(field: str, rule: str, message: str) -> dict[str, str]:
    return {"rule": rule, "message": message, "fieldPath": f".{field}"}


_SPEC_RULES: list[dict[str, str]] = [
    *(
        _rule(name, f"!has(self.{name}) || self.backend == '{name}'", f"{name}: these settings are allowed only with backend {name}")
        for name in _ENGINE_BLOCKS
    ),
    _rule("devices", "self.devices == 1 || self.device == 'cuda'", "devices: more than 1 is allowed only with device cuda"),
    _rule(
        "llamacpp.gpuLayers",
        "!has(self.llamacpp) || !has(self.llamacpp.gpuLayers) || self.llamacpp.gpuLayers == 0 || self.device == 'cuda'",
        "llamacpp.gpuLayers: layers can be on a GPU only with device cuda; with cpu it is 0 or unset",
    ),
    *(
        _rule(
            name,
            f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
            f"{name} is immutable: make another ModelDeployment for other engine settings",
        )
        for name in _OPTIONAL_IDENTITY
    ),
    *(_rule(name, f"self.{name} == oldSelf.{name}", text) for name, text in _IDENTITY.items()),
]

_COLUMNS: list[dict[str, Any]] = [
    {
        "name": "Model",
        "type": "string",
        "jsonPath": ".spec.model",
        "description": "Path of the model in the model store.",
    },
    {"name": "Backend", "type": "string", "jsonPath": ".spec.backend", "description": "The engine."},
    {"name": "Device", "type": "string", "jsonPath": ".spec.device", "description": "What the engine computes on."},
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Where it is in its life."},
    {
        "name": "Ready",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
        "description": "Whether it answers requests.",
    },
    {
        "name": "Expires",
        "type": "string",
        "jsonPath": ".status.expiresAt",
        "description": "When it becomes idle without further use.",
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {
        "name": "Reason",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].message',
        "description": "Why it is or is not ready.",
        "priority": 1,
    },
]


def model_deployment_crd() -> Object:
    """The CustomResourceDefinition of ModelDeployment, as `kubectl apply` takes it."""
    spec = _structural(ModelDeploymentSpec)
    spec["x-kubernetes-validations"] = _SPEC_RULES
    kind = MODEL_DEPLOYMENTS
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            # Uninstalling a release must not take every deployment in the cluster with it.
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
                "shortNames": ["md"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _COLUMNS,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": "One model, served by one engine on one kind of device.",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": spec,
                                "status": _structural(ModelDeploymentStatus),
                            },
                        }
                    },
                }
            ],
        },
    }


def _structural(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.pop("$defs", {})
    result = _clean(schema, definitions)
    result["description"] = _first_paragraph(model)
    return result


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _clean(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """One schema node with references inlined and everything that a structural schema refuses taken off."""
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        # What is said at the place of use (its own description, its default) wins over what the type says of itself.
        return _clean({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if node.get("x-kubernetes-int-or-string"):
        # The extension states both types; saying them again is not structural.
        return {key: value for key, value in node.items() if key not in {*_DROPPED, "anyOf"}}
    if "anyOf" in node:
        [option] = [option for option in node["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in node.items() if key != "anyOf" and not (key == "default" and value is None)}
        return _clean({**option, **rest}, definitions)
    cleaned = {key: value for key, value in node.items() if key not in _DROPPED}
    if node.get("type") == "string" and node.get("format") == "date-time":
        cleaned["maxLength"] = 40
    if "properties" in node:
        cleaned["properties"] = {name: _clean(child, definitions) for name, child in node["properties"].items()}
    if "items" in node:
        cleaned["items"] = _clean(cast("dict[str, Any]", node["items"]), definitions)
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        cleaned["additionalProperties"] = _clean(cast("dict[str, Any]", values), definitions)
    return cleaned
