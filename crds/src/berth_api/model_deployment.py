"""The ModelDeployment resource: one model, served by one engine on one kind of device.

`kubectl explain md.spec` prints the descriptions of the fields.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from berth_api.conditions import Condition
from berth_api.engine_settings import LlamaCppSettings, TransformersSettings, VllmSettings
from berth_api.pod_settings import PodSettings
from berth_api.resource import Resource
from berth_api.schema import Schema, Timestamp

DEFAULT_TTL_SECONDS = 300
MODEL_STORE = "/models"
"""Where each pod that uses the model store mounts it."""

MODEL_PATH_PATTERN = rf"^{MODEL_STORE}(/[A-Za-z0-9_][A-Za-z0-9._+=-]*)+$"
"""No segment begins with a dot, so no path leads out of the store."""

MODEL_PATH_LENGTH = 512
"""Characters of a path at most."""

NAME_LENGTH = 63
"""A deployment's name is a label of its pods. The API server refuses a longer label."""


class Backend(StrEnum):
    """The engine that serves a model."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"
    LLAMACPP = "llamacpp"


class Device(StrEnum):
    """What the engine computes on."""

    CUDA = "cuda"
    CPU = "cpu"


class IdleAction(StrEnum):
    """What happens to a deployment that gets no request for its TTL."""

    DELETE = "Delete"
    SLEEP = "Sleep"


class Phase(StrEnum):
    """The state of a deployment, in one word."""

    PENDING = "Pending"
    STARTING = "Starting"
    READY = "Ready"
    UNRESPONSIVE = "Unresponsive"
    SLEEPING = "Sleeping"
    STALLED = "Stalled"


class IdlePolicy(Schema):
    """When an unused deployment is unloaded, and how."""

    ttl_seconds: int = Field(
        default=DEFAULT_TTL_SECONDS,
        ge=0,
        le=31_536_000,
        description="Seconds without a request until the deployment is idle; 0 is never. A request may ask for more.",
    )
    action: IdleAction = Field(
        default=IdleAction.SLEEP,
        description=(
            "What happens then. Sleep: the pod is deleted, this resource stays, and the next request starts the model"
            " again. Delete: both are deleted."
        ),
    )
    start_asleep: bool | None = Field(
        default=None,
        description="Whether the model starts with its first request. Only with action Sleep. Unset: false, it starts"
        " as soon as it is declared.",
    )
    pinned: bool | None = Field(
        default=None,
        description="Whether the model keeps its memory and its devices while another one needs room. Unset: false.",
    )
    min_residency_seconds: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="Seconds for which the model stays at least, once it is ready, while another one needs room."
        " Unset: the operator's setting.",
    )
    max_residency_seconds: int | None = Field(
        default=None,
        ge=1,
        le=31_536_000,
        description="Seconds, once it is ready, after which the model makes room for one that waits, though requests"
        " for it never cease: new ones wait, and those in hand end first. Unset: the operator's setting.",
    )


Quantity = Annotated[
    str | int,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$",
        }
    ),
]
"""A Kubernetes resource quantity, such as 2, 500m or 8Gi."""


class Resources(Schema):
    """Compute resources of the engine's container, as in a pod."""

    requests: dict[str, Quantity] | None = Field(
        default=None, description="What the scheduler reserves for the engine, such as cpu: 2 and memory: 8Gi."
    )
    limits: dict[str, Quantity] | None = Field(
        default=None,
        description="What the engine can use at most. Berth adds GPUs, from `device` and `devices`.",
    )


class Toleration(Schema):
    """A taint that the engine's pod accepts, as in a pod."""

    key: str | None = Field(
        default=None, max_length=316, description="The taint's key. Unset with operator Exists: every taint."
    )
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Exists or Equal. Unset: Equal.")
    value: str | None = Field(default=None, max_length=63, description="The taint's value, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="NoSchedule, PreferNoSchedule or NoExecute. Unset: all of them."
    )
    toleration_seconds: int | None = Field(
        default=None,
        description="For effect NoExecute: for how many seconds the pod stays after the taint has appeared.",
    )


class ModelDeploymentSpec(Schema):
    """What to serve, with which engine, and for how long without a request."""

    model: str = Field(
        max_length=MODEL_PATH_LENGTH,
        pattern=MODEL_PATH_PATTERN,
        description="Path of the model in the model store: a directory or a .gguf file, such as "
        f"{MODEL_STORE}/SmolLM2-135M-Instruct.",
    )
    backend: Backend = Field(description="The engine that serves the model: vllm, transformers or llamacpp.")
    device: Device = Field(description="What the engine computes on: cuda or cpu.")
    devices: int = Field(
        default=1, ge=1, le=64, description="How many GPUs the engine gets. More than 1 only with device cuda."
    )
    llamacpp: LlamaCppSettings | None = Field(
        default=None, description="Settings of llama.cpp. Only with backend llamacpp."
    )
    vllm: VllmSettings | None = Field(default=None, description="Settings of vLLM. Only with backend vllm.")
    transformers: TransformersSettings | None = Field(
        default=None, description="Settings of Transformers. Only with backend transformers."
    )
    engine_args: list[Annotated[str, Field(max_length=512)]] | None = Field(
        default=None,
        max_length=64,
        description="Further arguments of the engine's own command line. The operator's settings must allow them.",
    )
    idle: IdlePolicy = Field(
        default_factory=IdlePolicy,
        description="When an unused deployment is unloaded, and how.",
        json_schema_extra={"default": {}},
    )
    priority: int | None = Field(
        default=None,
        ge=-1000,
        le=1000,
        description="Of models that wait for room, one of a higher priority comes first; and a model never makes room"
        " for one of a lower priority. Unset: 0.",
    )
    resources: Resources | None = Field(
        default=None, description="Compute resources of the engine. Unset: the operator's setting for the device."
    )
    node_selector: dict[str, str] | None = Field(
        default=None,
        description="Labels that the node must have, besides those in the operator's settings for the device.",
    )
    tolerations: list[Toleration] | None = Field(
        default=None,
        max_length=64,
        description="Taints that the pod accepts, besides those in the operator's settings for the device.",
    )
    pod: PodSettings | None = Field(
        default=None,
        description="What the engine's pod has besides; it adds to the operator's settings for the device.",
    )


ENGINE_READY = "EngineReady"
"""The step with which a start is done."""


class StartStep(Schema):
    """A step of the current start that is done."""

    name: str = Field(max_length=64, description="PodCreated, PodScheduled, EngineStarted or EngineReady.")
    at: Timestamp = Field(description="When the operator saw that it was done.")
    seconds: float = Field(ge=0, description="Seconds since the start was requested.")


class Failure(Schema):
    """The last start or run that failed."""

    reason: str = Field(max_length=128, description="Why, as one CamelCase word.")
    message: str = Field(default="", max_length=32768, description="Why, for people, with the engine's last lines.")
    at: Timestamp = Field(description="When the operator saw it.")
    count: int = Field(ge=1, description="Failures in a row, without a lasting run in between.")
    retry_at: Timestamp | None = Field(default=None, description="When the next start is tried.")
    made_from: str | None = Field(
        default=None, max_length=64, description="Digest of what was started. Another spec or image is tried at once."
    )


class ReplicaActivity(Schema):
    """What one router replica writes about its use of the deployment. No other writer changes it."""

    last_activity: Timestamp = Field(description="When this router last had a request of the deployment in hand.")
    keep_until: Timestamp = Field(
        description="The router's promise: until when the deployment stays for the TTLs of its requests. It only grows."
    )
    lease_until: Timestamp | None = Field(
        default=None,
        description="The router's lease: until when it may pass requests on. It renews the lease while it has requests"
        " in hand. Unset: it has none.",
    )
    in_flight: int = Field(
        default=0, ge=0, description="Requests that were queued or being answered when this was written."
    )
    unload_at: Timestamp | None = Field(
        default=None,
        description="When this router was asked to unload the model. It counts until the next request.",
    )
    closed_until: Timestamp | None = Field(
        default=None,
        description="Until when the deployment is closed: no router passes new requests on, and this one unloads it.",
    )


class Eviction(Schema):
    """That the model has to make room for another one. The routers read it, and never write it."""

    wanted_by: str = Field(max_length=253, description="The deployment that needs the room.")
    since: Timestamp = Field(description="Since when.")
    closed_until: Timestamp | None = Field(
        default=None,
        description="Until when new requests wait: the model makes room as soon as no request is in hand. The operator"
        " renews it. Unset: the model takes requests, and each router gives its lease back as soon as it has none in"
        " hand.",
    )


class QueuePlace(Schema):
    """The place of a model that waits for room."""

    place: int = Field(ge=1, description="1 is the first.")
    since: Timestamp = Field(description="Since when it waits.")
    expected_at: Timestamp | None = Field(
        default=None, description="When there will be room, by the times of the models before it. Unset: not known."
    )


class ModelDeploymentStatus(Schema):
    """The present state. The operator writes all of it but `activity`, which the routers write."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the spec that this status is about."
    )
    phase: Phase | None = Field(
        default=None,
        description="Pending, Starting, Ready, Unresponsive (was ready and does not answer now), Sleeping (was idle,"
        " or was not asked for yet, and wakes with the next request) or Stalled (cannot start; see conditions).",
    )
    conditions: list[Condition] = Field(
        default_factory=list[Condition],
        description="Ready, Reconciling and Stalled, UpToDate, and one for each step of the start.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    endpoint: str | None = Field(default=None, max_length=256, description="Base URL of the engine, while it is ready.")
    pod_name: str | None = Field(default=None, max_length=253, description="The pod of the current start.")
    memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="What the engine is estimated to take of its device's memory. Unset: its files do not tell.",
    )
    context_size: int | None = Field(
        default=None,
        ge=1,
        description="Tokens of context that one request has, prompt and answer together. Unset: not known yet, or the"
        " engine does not tell.",
    )
    trained_context_size: int | None = Field(
        default=None, ge=1, description="Tokens of context that the model was made for, where that is known."
    )
    eviction: Eviction | None = Field(default=None, description="Set while the model has to make room for another one.")
    evicted_at: Timestamp | None = Field(
        default=None,
        description="When the model last fell asleep to make room. That ends the promises made before, as an unload"
        " does.",
    )
    queue: QueuePlace | None = Field(default=None, description="Set while the model waits for room.")
    attempt: int = Field(default=1, ge=1, description="Number of the current start. It is part of the pod's name.")
    start_requested_at: Timestamp | None = Field(
        default=None, description="When the operator first saw that the current start was needed."
    )
    start_steps: list[StartStep] = Field(
        default_factory=list[StartStep], description="The steps of the current start that are done, with their times."
    )
    last_failure: Failure | None = Field(
        default=None, description="The last failure, until a run has lasted for a while."
    )
    loaded_at: Timestamp | None = Field(default=None, description="When the engine last became ready.")
    last_activity: Timestamp | None = Field(default=None, description="When any router last had a request in hand.")
    expires_at: Timestamp | None = Field(
        default=None,
        description="When the deployment becomes idle if no further request comes. The operator updates it every half"
        " minute: requests since then make it later. Unset: the deployment is not ready yet, or never becomes idle.",
    )
    activity: dict[str, ReplicaActivity] = Field(
        default_factory=dict[str, ReplicaActivity],
        description="What each router replica writes about its use, under the replica's name.",
    )


@dataclass(frozen=True, slots=True)
class ModelDeployment(Resource[ModelDeploymentSpec, ModelDeploymentStatus]):
    """A ModelDeployment as it was read."""

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> Self:
        """Reads a manifest. Raises pydantic.ValidationError where the API server would have refused it."""
        return cls.read(manifest, ModelDeploymentSpec, ModelDeploymentStatus)
