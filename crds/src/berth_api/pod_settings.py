"""What people add to an engine's pod: the same fields for all engines of a device, and for one deployment.

What has a large shape of Kubernetes' own stays as it was written: the API server judges it when the pod is made.
"""

from typing import Annotated, Any

from pydantic import Field

from berth_api.schema import Schema

_WORD = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
_QUANTITY = r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"


def _kubernetes_own(**properties: str) -> dict[str, Any]:
    """The schema of an object of which these properties are required, by their types, and all others kept."""
    schema: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
    if properties:
        types = {name: {"type": kind, "description": "As in a pod."} for name, kind in properties.items()}
        schema |= {"required": sorted(properties), "properties": types}
    return schema


EnvironmentVariable = Annotated[dict[str, Any], Field(json_schema_extra=_kubernetes_own(name="string"))]
Volume = Annotated[dict[str, Any], Field(json_schema_extra=_kubernetes_own(name="string"))]
VolumeMount = Annotated[dict[str, Any], Field(json_schema_extra=_kubernetes_own(name="string", mountPath="string"))]
SpreadConstraint = Annotated[
    dict[str, Any],
    Field(json_schema_extra=_kubernetes_own(maxSkew="integer", topologyKey="string", whenUnsatisfiable="string")),
]


class PodSettings(Schema):
    """What an engine's pod has besides what Berth gives it."""

    labels: dict[str, str] | None = Field(
        default=None,
        description="More labels, such as kueue.x-k8s.io/queue-name. Berth's own stay as they are.",
    )
    annotations: dict[str, str] | None = Field(
        default=None,
        description="More annotations, such as karpenter.sh/do-not-disrupt. Berth's own stay as they are.",
    )
    priority_class_name: str | None = Field(
        default=None,
        max_length=253,
        pattern=_WORD,
        description="PriorityClass of the pod. Unset: the cluster's default.",
    )
    scheduler_name: str | None = Field(
        default=None,
        max_length=253,
        pattern=_WORD,
        description="Who finds the pod a node. Unset: the default scheduler.",
    )
    affinity: Annotated[dict[str, Any], Field(json_schema_extra=_kubernetes_own())] | None = Field(
        default=None, description="Which nodes and which other pods it is drawn to or kept from, as in a pod."
    )
    topology_spread_constraints: list[SpreadConstraint] | None = Field(
        default=None, max_length=16, description="How pods are spread over zones and nodes, as in a pod."
    )
    env: list[EnvironmentVariable] | None = Field(
        default=None,
        max_length=128,
        description="More environment variables of the engine, as in a container: with value or valueFrom. Names that"
        " begin with BERTH_ are Berth's own.",
    )
    volumes: list[Volume] | None = Field(
        default=None,
        max_length=64,
        description="More volumes, as in a pod. The names models, tmp, shm and compiled are Berth's own.",
    )
    volume_mounts: list[VolumeMount] | None = Field(
        default=None, max_length=64, description="Where the engine has them, as in a container."
    )
    tmp_size_limit: str | None = Field(
        default=None,
        max_length=32,
        pattern=_QUANTITY,
        description="What the engine may write to /tmp at most, such as 40Gi: beyond it the pod is evicted."
        " Unset: 20Gi, and nothing for llamacpp.",
    )
    shm_size_limit: str | None = Field(
        default=None,
        max_length=32,
        pattern=_QUANTITY,
        description="Size of /dev/shm, the shared memory of an engine's processes, such as 32Gi. What is in it counts"
        " as memory of the pod. Unset: 16Gi for vllm with several devices or engineArgs, else 64Mi.",
    )


_OWN_VARIABLES = "BERTH_"
_OWN_VOLUMES = frozenset({"models", "tmp", "shm", "compiled"})


def berths_own(settings: PodSettings) -> str | None:
    """What of the settings has a name that is Berth's own, by its field, for people; None where nothing has."""
    variables = [name for each in settings.env or [] if (name := str(each.get("name"))).startswith(_OWN_VARIABLES)]
    if variables:
        return f"pod.env: {', '.join(variables)}: names that begin with {_OWN_VARIABLES} are Berth's own"
    volumes = [name for each in settings.volumes or [] if (name := str(each.get("name"))) in _OWN_VOLUMES]
    if volumes:
        return f"pod.volumes: {', '.join(volumes)}: the names {', '.join(sorted(_OWN_VOLUMES))} are Berth's own"
    return None


def merged(of_device: PodSettings | None, of_deployment: PodSettings | None) -> PodSettings:
    """Both together. What both have by the same name, and what is no list of names, the deployment's replaces."""
    below, above = of_device or PodSettings(), of_deployment or PodSettings()
    stated = {name: value for name in PodSettings.model_fields if (value := getattr(above, name)) is not None}
    together: dict[str, Any] = {
        "labels": {**(below.labels or {}), **(above.labels or {})},
        "annotations": {**(below.annotations or {}), **(above.annotations or {})},
        "env": _by("name", below.env, above.env),
        "volumes": _by("name", below.volumes, above.volumes),
        "volume_mounts": _by("mountPath", below.volume_mounts, above.volume_mounts),
    }
    return below.model_copy(update={**stated, **{name: value for name, value in together.items() if value}})


def _by(key: str, below: list[dict[str, Any]] | None, above: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return list({each.get(key): each for each in [*(below or []), *(above or [])]}.values())
