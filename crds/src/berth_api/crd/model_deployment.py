"""ModelDeployment for the API server: its columns, and the rules between its fields."""

from typing import Any

from berth_api.crd.definition import ResourceDefinition, name_rule, rule
from berth_api.model_deployment import NAME_LENGTH, ModelDeploymentSpec, ModelDeploymentStatus
from berth_cluster.cluster import GROUP, MODEL_DEPLOYMENTS

_IDENTITY = {
    "model": "model is immutable: make another ModelDeployment for another model",
    "backend": "backend is immutable: make another ModelDeployment for another engine",
    "device": "device is immutable: make another ModelDeployment for another device",
    "devices": "devices is immutable: make another ModelDeployment for another number of GPUs",
}

_ENGINE_BLOCKS = ("llamacpp", "vllm", "transformers")
_OPTIONAL_IDENTITY = (*_ENGINE_BLOCKS, "engineArgs")


_SPEC_RULES: list[dict[str, str]] = [
    *(
        rule(
            name,
            f"!has(self.{name}) || self.backend == '{name}'",
            f"{name}: these settings are allowed only with backend {name}",
        )
        for name in _ENGINE_BLOCKS
    ),
    rule(
        "devices", "self.devices == 1 || self.device == 'cuda'", "devices: more than 1 is allowed only with device cuda"
    ),
    rule(
        "llamacpp.gpuLayers",
        "!has(self.llamacpp) || !has(self.llamacpp.gpuLayers) || self.llamacpp.gpuLayers == 0 || self.device == 'cuda'",
        "llamacpp.gpuLayers: layers can be on a GPU only with device cuda; with cpu it is 0 or unset",
    ),
    rule(
        "idle.startAsleep",
        "!has(self.idle.startAsleep) || !self.idle.startAsleep || self.idle.action == 'Sleep'",
        "idle.startAsleep: allowed only with action Sleep",
    ),
    *(
        rule(
            name,
            f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
            f"{name} is immutable: make another ModelDeployment for other engine settings",
        )
        for name in _OPTIONAL_IDENTITY
    ),
    *(rule(name, f"self.{name} == oldSelf.{name}", text) for name, text in _IDENTITY.items()),
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
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Its state, in one word."},
    {
        "name": "Ready",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
        "description": "Whether it is as declared: the engine answers, or it is asleep and the next request wakes it.",
    },
    {
        "name": "Context",
        "type": "integer",
        "jsonPath": ".status.contextSize",
        "description": "Tokens of context of one request.",
    },
    {
        "name": "Expires",
        "type": "string",
        "jsonPath": ".status.expiresAt",
        "description": "When it becomes idle if no request comes.",
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

MODEL_DEPLOYMENT = ResourceDefinition(
    kind=MODEL_DEPLOYMENTS,
    short_name="md",
    description=(
        "One model, served by one engine on one kind of device. Cluster API's MachineDeployment has the short name md"
        f" too: where both are installed, write {MODEL_DEPLOYMENTS.plural}.{GROUP}."
    ),
    spec=ModelDeploymentSpec,
    status=ModelDeploymentStatus,
    columns=_COLUMNS,
    spec_rules=_SPEC_RULES,
    rules=[name_rule(NAME_LENGTH, "it is a label of its pods")],
)
