"""What makes two deployments the same one, and which names follow from that.

Identity is the model path, the engine, the device and the engine's settings, with every default filled in. TTL,
resources and sampling are not identity. Equal identities give equal names: two routers that create one at once get the
same object.
"""

import hashlib
import json

from berth_api.engine_settings import (
    DEFAULT_CONTEXT_SIZE,
    DEFAULT_GPU_MEMORY_UTILIZATION,
    LlamaCppSettings,
    TransformersSettings,
    VllmSettings,
)
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_api.schema import Schema
from berth_cluster.names import slug

_DIGEST_LENGTH = 10
_UID_LENGTH = 8
"""Characters of a uid that tell objects of the same name apart: its first block, which is random."""

_LABEL_LENGTH = 63
"""Characters of a DNS label."""

IDENTITY_FIELDS = frozenset(
    {"model", "backend", "device", "devices", "llamacpp", "vllm", "transformers", "engine_args"}
)


def with_defaults(spec: ModelDeploymentSpec) -> ModelDeploymentSpec:
    """The spec with the engine's unset settings filled in, as it will run."""
    on_gpu = spec.device is Device.CUDA
    match spec.backend:
        case Backend.LLAMACPP:
            settings = _filled(
                spec.llamacpp or LlamaCppSettings(), context_size=DEFAULT_CONTEXT_SIZE, gpu_layers=-1 if on_gpu else 0
            )
        case Backend.VLLM:
            settings = _filled(spec.vllm or VllmSettings(), gpu_memory_utilization=DEFAULT_GPU_MEMORY_UTILIZATION)
        case Backend.TRANSFORMERS:
            settings = _filled(spec.transformers or TransformersSettings(), continuous_batching=False)
    return spec.model_copy(update={spec.backend.value: settings})


def deployment_name(spec: ModelDeploymentSpec) -> str:
    """The name of the deployment with this identity: a readable slug of the model, and a digest of the identity."""
    canonical = with_defaults(spec).model_dump(
        mode="json", by_alias=True, exclude_none=True, include=set(IDENTITY_FIELDS)
    )
    digest = hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return f"{slug(spec.model.removesuffix('.gguf'))}-{digest[:_DIGEST_LENGTH]}"


def pod_name(deployment: str, uid: str, attempt: int) -> str:
    """The name of the pod of one start of the deployment with this uid.

    The name follows from the attempt, so that a create which is repeated after a crash makes no second pod. It differs
    from the names of an earlier deployment's pods, which may still end. It becomes the hostname, and so is a DNS label:
    a long name of a deployment is cut.
    """
    ending = f"-{uid[:_UID_LENGTH]}-{attempt}"
    return deployment[: _LABEL_LENGTH - len(ending)].rstrip("-.") + ending


def attempt_of(pod: str) -> int | None:
    """The number of the attempt whose pod has this name; None where it is no such name."""
    number = pod.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else None


def _filled(settings: Schema, **defaults: object) -> Schema:
    return settings.model_copy(
        update={name: value for name, value in defaults.items() if getattr(settings, name) is None}
    )
