"""What an administrator can set, each from the environment variable named in its alias."""

import os
import socket
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from berth_api.model_deployment import DEFAULT_TTL_SECONDS, MODEL_STORE, Backend, Device


def _default_replica() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class Settings(BaseSettings):
    """Settings of one router replica."""

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore")

    host: str = Field(default="0.0.0.0", alias="HOST", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, alias="PORT", description="Port to listen on.")
    default_ttl: int = Field(
        default=DEFAULT_TTL_SECONDS,
        ge=0,
        le=31_536_000,
        alias="DEFAULT_TTL",
        description="Seconds without a request after which a model goes, where the request that started it says nothing; 0 is never.",
    )
    namespace: str | None = Field(default=None, alias="BERTH_NAMESPACE", description="Namespace of the deployments. Unset: the pod's own.")
    replica: str = Field(
        default_factory=_default_replica,
        min_length=1,
        alias="POD_NAME",
        description="This replica's name in the activity of a deployment; unlike every other replica's.",
    )
    model_store: str = Field(default=MODEL_STORE, alias="BERTH_MODEL_STORE", description="Where the model store is mounted in the router.")
    cold_start_deadline: float = Field(
        default=540,
        gt=0,
        alias="BERTH_COLD_START_DEADLINE",
        description="Seconds that a request is held for a model to start: below the 600 s at which OpenAI's clients give up.",
    )
    max_waiting_per_model: int = Field(default=1024, ge=1, alias="BERTH_MAX_WAITING", description="Requests held at once for one model.")
    max_deployments: int = Field(
        default=100,
        ge=1,
        alias="BERTH_MAX_DEPLOYMENTS",
        description="Deployments that routers made and that exist at once; a request that would need one more is refused.",
    )
    engines: dict[Backend, list[Device]] = Field(
        default={Backend.LLAMACPP: [Device.CPU]},
        min_length=1,
        alias="BERTH_ENGINES",
        description="The devices that each backend has an image for, as a JSON object.",
    )
    default_backend: Backend = Field(
        default=Backend.LLAMACPP, alias="BERTH_DEFAULT_BACKEND", description="Backend where the request states none."
    )
    default_device: Device = Field(default=Device.CPU, alias="BERTH_DEFAULT_DEVICE", description="Device where the request states none.")
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, alias="BERTH_MAX_BODY_BYTES", description="Longest request body taken.")
    drain_seconds: int = Field(
        default=300, ge=0, alias="BERTH_DRAIN_SECONDS", description="Seconds that running answers get to end at a shutdown."
    )
    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        alias="BERTH_LOG_LEVEL",
        description="DEBUG, INFO, WARNING or ERROR.",
    )

    @model_validator(mode="after")
    def _default_engine_exists(self) -> Self:
        if not all(self.engines.values()):
            raise ValueError("BERTH_ENGINES: every backend needs at least one device")
        if self.default_backend not in self.engines:
            raise ValueError(
                f"BERTH_DEFAULT_BACKEND is {self.default_backend}, which BERTH_ENGINES does not list: {', '.join(self.engines)}"
            )
        return self
