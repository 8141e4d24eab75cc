"""What an administrator sets: one YAML file, which the chart writes."""

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self, cast

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from berth_api import repository
from berth_api.model_deployment import Backend, Device, Toleration
from berth_api.pod_settings import PodSettings, berths_own
from berth_api.repository import DEFAULT_HUB
from berth_api.room.snapshot import RoomSettings
from berth_cluster.names import NAMESPACE_LENGTH, NAMESPACE_PATTERN
from berth_operator.settings_sections import (
    SECRET_FILE_VARIABLE,
    ElectionSection,
    EngineKeySettings,
    Section,
    engine_key_secret,
)
from berth_process.settings_error import SettingsError, shown
from berth_process.settings_validation import settings_error

INTERVAL_VARIABLE = "CLEANUP_INTERVAL"
"""Seconds; it overrides the file's timing.resync."""

PROBE_TIMEOUT_SECONDS = 5
"""Timeout of a probe of an engine that serves, by the operator or by the kubelet.

Engines answer a probe at once, whatever they compute: it is not queued behind requests. Only a node whose processors
are all busy delays the answer, and then by seconds, not by minutes.
"""

_PATTERNS = {NAMESPACE_PATTERN: "made of lower-case letters, digits and '-'"}


class EngineImage(Section):
    """The image of one engine for one device."""

    image: str = Field(description="Image reference.")
    pull_policy: str = Field(default="IfNotPresent", description="As in a pod.")


class DeviceSettings(Section):
    """How pods that compute on this device are scheduled."""

    resource_name: str | None = Field(
        default=None,
        description="Extended resource of one device, such as nvidia.com/gpu. None: no device is asked for.",
    )
    node_selector: dict[str, str] = Field(default_factory=dict[str, str], description="Labels that the node must have.")
    tolerations: list[Toleration] = Field(default_factory=list[Toleration], description="Taints that the pod accepts.")
    runtime_class_name: str | None = Field(default=None, description="RuntimeClass of the pod.")
    resources: dict[str, dict[str, str | int]] = Field(
        default_factory=dict[str, dict[str, str | int]],
        description="requests and limits where a deployment states none.",
    )
    cpu_request: str | int | None = Field(
        default=None,
        description="Processors that an engine requests where neither the deployment nor `resources` states any, such"
        " as 250m. None: it requests none.",
    )
    pod: PodSettings | None = Field(
        default=None, description="What the pods have besides; a deployment's own `pod` adds to it."
    )
    memory: str | int | None = Field(
        default=None,
        description="Memory of one device, such as 80Gi. What can never fit into it is refused. None: the label"
        " nvidia.com/gpu.memory of the nodes counts, if the operator may look at these.",
    )
    shares: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How many times each GPU is advertised under resourceName, as by time slicing. An engine gets that"
        " part of its memory, and those of one node start one after the other.",
    )

    @model_validator(mode="after")
    def _shares_have_a_name(self) -> Self:
        if self.shares > 1 and not self.resource_name:
            raise ValueError(f"shares is {self.shares}, but resourceName is empty: it must name what is shared")
        return self

    @model_validator(mode="after")
    def _pods_keep_what_is_berths(self) -> Self:
        if taken := berths_own(self.pod) if self.pod else None:
            raise ValueError(taken)
        return self


class EngineArgs(Section):
    """Further arguments of the engines' own command lines."""

    allowed: dict[Backend, list[str]] = Field(
        default_factory=dict[Backend, list[str]],
        description="Names that a deployment's engineArgs may use, such as --dtype, by engine. All others are refused.",
    )


class ModelStoreSettings(Section):
    """Where the models are."""

    claim_name: str = Field(
        default="berth-models", description="The PersistentVolumeClaim that engine pods mount read-only."
    )
    sub_path: str | None = Field(
        default=None, description="Folder inside the volume that holds the models. None: its root."
    )
    path: str | None = Field(
        default=None,
        description="Where the operator itself has the models. It estimates from their files what they take. None:"
        " nowhere, and nothing is estimated.",
    )


class CompileCacheSettings(Section):
    """Where vLLM keeps what it compiles for the next start."""

    enabled: bool = Field(
        default=False,
        description="Whether vLLM's pods get a folder that they may write, one for each model, image and device."
        " Otherwise each start compiles anew.",
    )
    claim_name: str | None = Field(
        default=None, description="The PersistentVolumeClaim that has the folders. None: that of the model store."
    )


class SecretKey(Section):
    """A value in a Secret of the same namespace."""

    name: str = Field(description="The Secret.")
    key: str = Field(default="token", description="Which of its values.")


class DownloadSettings(Section):
    """How models are brought into the store."""

    image: str | None = Field(
        default=None, description="Image reference of the downloader. None: nothing can be downloaded."
    )
    pull_policy: str = Field(default="IfNotPresent", description="As in a pod.")
    hub_endpoint: Annotated[str, AfterValidator(repository.hub_endpoint)] = Field(
        default=DEFAULT_HUB, description="Base URL of the hub, or of a mirror that speaks its API."
    )
    token_secret: SecretKey | None = Field(
        default=None, description="The hub's token, for gated and private repositories."
    )
    allow_pickle: bool = Field(
        default=False, description="Whether pickled weights are taken too. They run code when they are loaded."
    )
    min_free_bytes: int = Field(
        default=1 << 30,
        ge=0,
        description="What must stay free on the volume; a download that would take it is refused.",
    )
    keep_seconds: float = Field(
        default=7 * 86_400,
        ge=0,
        description="A finished ModelDownload is deleted after this time; its files stay. 0: never.",
    )
    backoff_limit: int = Field(
        default=10,
        ge=0,
        description="Tries after the first, each later than the one before. Each goes on where it was.",
    )
    resources: dict[str, dict[str, str | int]] = Field(
        default_factory=dict[str, dict[str, str | int]], description="requests and limits of the downloader."
    )
    node_selector: dict[str, str] = Field(default_factory=dict[str, str], description="Labels that the node must have.")
    tolerations: list[Toleration] = Field(default_factory=list[Toleration], description="Taints that the pod accepts.")
    env: list[dict[str, Any]] = Field(
        default_factory=list[dict[str, Any]],
        description="More environment variables, as in a container, such as HTTPS_PROXY.",
    )


class Timing(Section):
    """Seconds of the operator's decisions."""

    start_deadline: float = Field(default=1800, gt=0, description="A start that takes longer than this has failed.")
    unschedulable_grace: float = Field(
        default=5, ge=0, description="How long a pod may be unschedulable before the deployment counts as stalled."
    )
    first_retry: float = Field(
        default=10, gt=0, description="Wait after the first failed start; doubles with each further one."
    )
    longest_retry: float = Field(default=300, gt=0, description="The longest wait between two starts.")
    stable_run: float = Field(default=60, gt=0, description="A run of this length forgets earlier failures.")
    probe_period: float = Field(default=10, gt=0, description="How often an engine that serves is probed.")
    hang_deadline: float = Field(
        default=60,
        gt=0,
        description="An engine without an answer for this long hangs, and is replaced. More than probePeriod and 5 s.",
    )
    termination_grace: int = Field(
        default=300, ge=1, description="What an engine gets to finish its answers when somebody deletes its pod."
    )
    resync: float = Field(
        default=30,
        gt=0,
        description=(
            "Every deployment is reconciled again after this time, whether anything has changed or not; one that needs"
            " no pod, after ten times as long."
        ),
    )

    @property
    def unresponsive_after(self) -> float:
        """Seconds without an answer after which an engine gets no new requests: one probe that was not answered."""
        return self.probe_period + PROBE_TIMEOUT_SECONDS

    @model_validator(mode="after")
    def _hangs_last(self) -> Self:
        if self.hang_deadline <= self.unresponsive_after:
            raise ValueError(
                f"hangDeadline is {self.hang_deadline:g}, but must be more than probePeriod ({self.probe_period:g}) and"
                f" {PROBE_TIMEOUT_SECONDS} s for an answer"
            )
        return self


class RoomSection(Section):
    """How models make room for each other."""

    min_residency: float = Field(
        default=10,
        ge=0,
        description="Seconds for which a model stays at least once it is ready, though it is idle and another waits.",
    )
    max_residency: float = Field(
        default=120,
        gt=0,
        description="Seconds after which a model makes room for one that waits though requests for it never cease.",
    )
    patience: float = Field(
        default=5, ge=0, description="Seconds that a model waits before busy ones are closed for its sake."
    )
    starts_per_node: int = Field(
        default=4, ge=0, description="How many engines may start on one node at once. 0: any number."
    )
    watch_nodes: bool = Field(
        default=False,
        description="Whether the operator may look at nodes and at the pods of all namespaces. Then it knows what is"
        " free, refuses what can never have room, and makes room without asking the scheduler first.",
    )
    autoscaled: bool = Field(
        default=False,
        description="Whether nodes are added for pods that find none. Then nothing is refused for its size.",
    )

    def rules(self, devices: Mapping[Device, DeviceSettings]) -> RoomSettings:
        """The settings of the decision. `devices`: how pods are scheduled."""
        return RoomSettings(
            min_residency=timedelta(seconds=self.min_residency),
            max_residency=timedelta(seconds=self.max_residency),
            patience=timedelta(seconds=self.patience),
            starts_per_node=self.starts_per_node or None,
            shared=frozenset(each.resource_name for each in devices.values() if each.resource_name and each.shares > 1),
            autoscaled=self.autoscaled,
        )


class OperatorSettings(Section):
    """The operator's settings."""

    namespace: str | None = Field(
        default=None,
        max_length=NAMESPACE_LENGTH,
        pattern=NAMESPACE_PATTERN,
        description="The one namespace that is served. None: the pod's own.",
    )
    health_port: int = Field(default=8081, ge=1, le=65535, description="Port of /healthz.")
    metrics_port: int = Field(default=8082, ge=0, le=65535, description="Port of /metrics. 0: none.")
    forecast_port: int = Field(
        default=8083, ge=0, le=65535, description="Port at which routers ask what would happen to a model. 0: none."
    )
    election: ElectionSection = Field(default_factory=ElectionSection, description="Which of several operators works.")
    engines: dict[Backend, dict[Device, EngineImage]] = Field(
        default_factory=dict[Backend, dict[Device, EngineImage]],
        description="Images by engine and device. What is not here cannot be run.",
    )
    devices: dict[Device, DeviceSettings] = Field(
        default_factory=lambda: {
            Device.CUDA: DeviceSettings(resource_name="nvidia.com/gpu"),
            Device.CPU: DeviceSettings(),
        },
        description="Scheduling by device.",
    )
    engine_args: EngineArgs = Field(
        default_factory=EngineArgs, description="Further arguments of the engines' own command lines."
    )
    image_pull_secrets: list[str] = Field(
        default_factory=list[str], description="Secrets for the engine images' registry."
    )
    model_store: ModelStoreSettings = Field(default_factory=ModelStoreSettings, description="Where the models are.")
    compile_cache: CompileCacheSettings = Field(
        default_factory=CompileCacheSettings, description="Where vLLM keeps what it compiles for the next start."
    )
    engine_keys: EngineKeySettings = Field(
        default_factory=EngineKeySettings, description="The keys without which engines answer nobody."
    )
    downloads: DownloadSettings = Field(
        default_factory=DownloadSettings, description="How models are brought into the store."
    )
    timing: Timing = Field(default_factory=Timing, description="Seconds of the operator's decisions.")
    room: RoomSection = Field(default_factory=RoomSection, description="How models make room for each other.")

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the file. CLEANUP_INTERVAL overrides its timing.resync.

        BERTH_ENGINE_KEY_SECRET_FILE names a file that has engineKeys.secret.

        Raises SettingsError where anything is missing or wrong.
        """
        content = _content(path)
        interval = environment.get(INTERVAL_VARIABLE)
        timing: Any = content.get("timing") or {}
        if interval and isinstance(timing, dict):
            content["timing"] = {**timing, "resync": interval}

        def name_of(keys: Sequence[str]) -> str:
            return INTERVAL_VARIABLE if interval and list(keys) == ["timing", "resync"] else f"{path}: {'.'.join(keys)}"

        if file := environment.get(SECRET_FILE_VARIABLE):
            content["engineKeys"] = {"secret": engine_key_secret(Path(file))}
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise settings_error(error, name_of, _PATTERNS) from None

    def image_for(self, backend: Backend, device: Device) -> EngineImage | None:
        """The image that runs this engine on this device; None where there is none."""
        return self.engines.get(backend, {}).get(device)


def _content(path: Path) -> dict[str, Any]:
    """The file's content. Raises SettingsError."""
    try:
        content: Any = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; BERTH_CONFIG names another file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} has {shown(content)}: it must have names of settings and their values")
    return cast("dict[str, Any]", content)
