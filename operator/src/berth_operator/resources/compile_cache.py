"""Where an engine's pod keeps what it compiles for the next start: a folder of a volume, which it may write.

Compiled code is code. So each model has a folder of its own, and of the volume the pod may write that folder alone: no
model's engine writes what another model's engine loads. Each image has one too, since versions do not mix.
"""

import hashlib
from typing import Any

from berth_api.model_deployment import Backend, ModelDeploymentSpec
from berth_operator.settings import OperatorSettings

VARIABLE = "BERTH_COMPILE_CACHE"
"""Tells the launcher where the folder is."""

_FOLDER = ".berth/compiled"
"""In the volume. It is hidden: whoever looks for models leaves it out."""

_PATH = "/compiled"
_STORE, _OWN = "models", "compiled"
_IMAGE_LENGTH, _MODEL_LENGTH = 12, 16


def add_compile_cache(
    pod_spec: dict[str, Any], spec: ModelDeploymentSpec, image: str, settings: OperatorSettings, group: int
) -> None:
    """Gives the pod its folder, where the settings want that and its engine compiles.

    `group`: the engine's. A volume that belongs to nobody yet becomes its own.
    """
    cache, store = settings.compile_cache, settings.model_store
    if not cache.enabled or spec.backend is not Backend.VLLM:
        return
    folder = compile_folder(spec, image)
    if cache.claim_name is None or cache.claim_name == store.claim_name:
        # One volume for both: not every version of Kubernetes mounts a claim twice. Its models stay read-only.
        [models] = [volume for volume in pod_spec["volumes"] if volume["name"] == _STORE]
        del models["persistentVolumeClaim"]["readOnly"]
        volume, folder = _STORE, f"{store.sub_path}/{folder}" if store.sub_path else folder
    else:
        volume = _OWN
        pod_spec["volumes"].append({"name": _OWN, "persistentVolumeClaim": {"claimName": cache.claim_name}})
    pod_spec["securityContext"].update({"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"})
    [container] = pod_spec["containers"]
    container["env"].append({"name": VARIABLE, "value": _PATH})
    container["volumeMounts"].append({"name": volume, "mountPath": _PATH, "subPath": folder})


def compile_folder(spec: ModelDeploymentSpec, image: str) -> str:
    """The folder in the volume, by engine, device, image and model."""
    engine = f"{spec.backend.value}-{spec.device.value}-{_digest(image)[:_IMAGE_LENGTH]}"
    return f"{_FOLDER}/{engine}/{_digest(spec.model)[:_MODEL_LENGTH]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
