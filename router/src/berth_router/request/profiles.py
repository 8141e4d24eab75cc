"""Named sets of a backend, a device and engine settings, which a request chooses as `model@profile`."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from berth_api.engine_settings import ContextSize
from berth_api.model_deployment import Backend, Device

PROFILE_NAME_PATTERN = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

ENGINE_OF_SETTING: Mapping[str, Backend] = {
    "n_ctx": Backend.LLAMACPP,
    "n_gpu_layers": Backend.LLAMACPP,
    "gpu_memory_utilization": Backend.VLLM,
    "max_model_len": Backend.VLLM,
}
"""The engine that each of the API's engine settings belongs to."""


class Profile(BaseModel):
    """What a request states by naming the profile. Unset: not stated."""

    # A misspelt setting must be an error.
    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend | None = Field(default=None, description="The engine.")
    device: Device | None = Field(default=None, description="What it computes on.")
    n_ctx: ContextSize | None = Field(default=None, description="llamacpp: tokens of context of one request, or auto.")
    n_gpu_layers: int | None = Field(default=None, ge=-1, le=999, description="llamacpp: layers on the GPU; -1 is all.")
    gpu_memory_utilization: float | None = Field(
        default=None, ge=0.1, le=1.0, description="vllm: share of the GPU's memory."
    )
    max_model_len: int | None = Field(
        default=None, ge=256, le=10_485_760, description="vllm: tokens of context, prompt and answer together."
    )

    @model_validator(mode="after")
    def _settings_are_of_one_engine(self) -> Self:
        misplaced = setting_of_other_engine(self.model_dump(exclude_none=True))
        if misplaced:
            raise ValueError(
                f"{misplaced} is a setting of {ENGINE_OF_SETTING[misplaced]}, which is not this profile's engine"
            )
        if has_layers_without_gpu(self.model_dump(exclude_none=True)):
            raise ValueError("n_gpu_layers: layers can be on a GPU only with device cuda; with cpu it is 0 or left out")
        return self


def has_layers_without_gpu(stated: Mapping[str, Any]) -> bool:
    """Whether layers are to be on a GPU, but the device is not one. `stated`: see `setting_of_other_engine`."""
    return bool(stated.get("n_gpu_layers")) and stated.get("device") == Device.CPU


def setting_of_other_engine(stated: Mapping[str, Any]) -> str | None:
    """The first setting of another engine than the stated backend, or than the settings before it. None: all fit.

    `stated`: the API's fields that are not None, with `backend`.
    """
    backend = stated.get("backend")
    for setting, engine in ENGINE_OF_SETTING.items():
        if setting not in stated:
            continue
        if backend is not None and engine is not backend:
            return setting
        backend = engine
    return None
