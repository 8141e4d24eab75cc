"""What makes two deployments the same one, and the names that follow from it.

Identity is the model path, the engine, the device and the engine's settings, with every default filled in. TTL, resources and
sampling are not identity. Equal identities give equal names, so that two routers that race create one object.
"""

import hashlib
import json
import re

from berth_api.model_deployment import DEFAULT_CONTEXT_SIZE, Backend, Device, LlamaCppSettings, ModelDeploymentSpec

_SLUG_LENGTH = 40
"""Leaves room in a DNS label (63 characters) for the digest and a pod's attempt number."""

_DIGEST_LENGTH = 10


def with_defaults(spec: ModelDeploymentSpec) -> ModelDeploymentSpec:
    """The spec with the engine's unset settings filled in: what will really run."""
    if spec.backend is not Backend.LLAMACPP:
        return spec
    stated = spec.llamacpp or LlamaCppSettings()
    settings = LlamaCppSettings(
        context_size=stated.context_size if stated.context_size is not None else DEFAULT_CONTEXT_SIZE,
        gpu_layers=stated.gpu_layers if stated.gpu_layers is not None else (-1 if spec.device is Device.CUDA else 0),
        quantization=stated.quantization,
    )
    return spec.model_copy(update={"llamacpp": settings})


def deployment_name(spec: ModelDeploymentSpec) -> str:
    """The name of the deployment with this identity: a readable slug of the model and a digest of the whole identity."""
    canonical = with_defaults(spec).model_dump(
        mode="json", by_alias=True, exclude_none=True, include={"model", "backend", "device", "devices", "llamacpp"}
    )
    digest = hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return f"{_slug(spec.model)}-{digest[:_DIGEST_LENGTH]}"


def pod_name(deployment: str, attempt: int) -> str:
    """The name of the pod of one start; deterministic, so that a create repeated after a crash makes no second pod."""
    return f"{deployment}-{attempt}"


def _slug(model: str) -> str:
    base = model.rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf").lower()
    slug = re.sub(r"[^a-z0-9]+", "-", base)[:_SLUG_LENGTH].strip("-")
    return slug if slug and slug[0].isalpha() else f"m-{slug}".rstrip("-")
