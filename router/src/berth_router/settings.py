"""What an administrator can set. Each setting comes from the environment variable in its alias."""

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from berth_api import repository
from berth_api.engine_settings import AUTO, DEFAULT_CONTEXT_SIZE, LEAST_CONTEXT, MOST_CONTEXT, ContextSize
from berth_api.model_deployment import DEFAULT_TTL_SECONDS, MODEL_STORE, Backend, Device
from berth_api.repository import DEFAULT_HUB
from berth_cluster.names import NAMESPACE_LENGTH, NAMESPACE_PATTERN, OBJECT_NAME_LENGTH, OBJECT_NAME_PATTERN
from berth_hub.client_environment import check_client_environment
from berth_process import setting_values
from berth_process.settings_error import SettingsError, WrongValueError
from berth_process.settings_validation import settings_error
from berth_router.auth import KeyScope
from berth_router.limit_settings import YEAR_SECONDS, LimitSettings
from berth_router.request.aliases import is_alias
from berth_router.request.defaults import AnswerDefaults
from berth_router.request.model_names import is_model_path
from berth_router.request.profiles import PROFILE_NAME_PATTERN, Profile
from berth_router.serving.origins import OF_PROGRAMS, OF_THIS_MACHINE, is_host_pattern, is_origin_pattern

API_KEY_NAME_PATTERN = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
"""As the keys of a Secret, but none that begins with a dot: those are the kubelet's own in a mounted Secret."""

REPLICA_PATTERN = "^[A-Za-z0-9._-]+$"
"""What a key of a ConfigMap can be."""

_PATTERNS = {
    NAMESPACE_PATTERN: "made of lower-case letters, digits and '-'",
    OBJECT_NAME_PATTERN: "made of lower-case letters, digits, '-' and '.'",
    PROFILE_NAME_PATTERN: "made of lower-case letters, digits and '-', 63 at most",
    API_KEY_NAME_PATTERN: "made of letters, digits, '-', '_' and '.', and not begin with '.'",
    REPLICA_PATTERN: "made of letters, digits, '-', '_' and '.'",
}
_MOST_TOKENS = 10_485_760
"""The longest context that a setting of an engine can state."""

_KEYS_DIR = "BERTH_API_KEYS_DIR"


def _default_replica() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _from_json(value: Any) -> Any:
    """The value of a variable that holds JSON. A value that is no text stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise WrongValueError(f"a JSON object ({error})") from None


def _from_list(value: object) -> object:
    return tuple(part.strip().lower() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _listening_address(host: str) -> str:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except (OSError, UnicodeError):
        raise WrongValueError("an address of this machine, such as 0.0.0.0 or ::") from None
    return host


def _limit_of_tokens(value: object) -> object:
    return setting_values.number_or("auto", value, 1, _MOST_TOKENS)


def _context_size(value: object) -> object:
    return setting_values.number_or(AUTO, value, LEAST_CONTEXT, MOST_CONTEXT)


def _temperature(value: object) -> object:
    return setting_values.number_or("model", value, 0.0, 2.0)


def _top_p(value: object) -> object:
    return setting_values.number_or("model", value, 0.0, 1.0)


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(is_origin_pattern, origins)):
        raise WrongValueError("origins with commas between, such as https://chat.example.com, http://localhost:* or *")
    return origins


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(is_host_pattern, hosts)):
        raise WrongValueError("names of hosts with commas between, such as berth.example.com or *.example.com")
    return hosts


def _alias(name: str) -> str:
    if not is_alias(name):
        raise WrongValueError("letters, digits and ._+=@:/-, or a pattern with *, 512 at most, and not begin with '/'")
    return name


JSON = (NoDecode, BeforeValidator(_from_json))
"""Annotations of a setting whose variable holds JSON."""

LIST = (NoDecode, BeforeValidator(_from_list))
"""Annotations of a setting whose variable holds a list with commas between."""


class RouterSettings(LimitSettings):
    """Settings of one router replica."""

    # An empty variable counts as unset.
    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore", env_ignore_empty=True)

    host: Annotated[str, AfterValidator(_listening_address)] = Field(
        default="0.0.0.0",
        alias="HOST",
        description="Address to listen on.",
    )
    port: int = Field(default=8080, ge=0, le=65535, alias="PORT", description="Port to listen on.")
    default_ttl: int = Field(
        default=DEFAULT_TTL_SECONDS,
        ge=0,
        le=YEAR_SECONDS,
        alias="DEFAULT_TTL",
        description="Seconds without a request after which a model is removed, where the request that started it"
        " states no `ttl`; 0 is never.",
    )
    default_max_tokens: Annotated[int | Literal["auto"], BeforeValidator(_limit_of_tokens)] = Field(
        default=512,
        alias="DEFAULT_MAX_TOKENS",
        description="Most tokens of an answer whose request states no limit; auto: as many as the context leaves.",
    )
    default_n_ctx: Annotated[ContextSize, BeforeValidator(_context_size)] = Field(
        default=DEFAULT_CONTEXT_SIZE,
        alias="DEFAULT_N_CTX",
        description="Tokens of context of a model on llama.cpp that a request starts which states no `n_ctx`;"
        " auto: as many as the model was made for and the memory has room for, 2048 to 32768.",
    )
    default_temperature: Annotated[float | Literal["model"], BeforeValidator(_temperature)] = Field(
        default=0.7,
        alias="DEFAULT_TEMPERATURE",
        description="Temperature where the request states none, 0 to 2; model: that of the model's own configuration.",
    )
    default_top_p: Annotated[float | Literal["model"], BeforeValidator(_top_p)] = Field(
        default=1.0,
        alias="DEFAULT_TOP_P",
        description="`top_p` where the request states none, 0 to 1; model: that of the model's own configuration.",
    )
    max_ttl: int = Field(
        default=0,
        ge=0,
        le=YEAR_SECONDS,
        alias="BERTH_MAX_TTL",
        description="Longest `ttl` of a request, in seconds: a longer one, and 0, count as this. 0: no limit.",
    )
    namespace: str | None = Field(
        default=None,
        max_length=NAMESPACE_LENGTH,
        pattern=NAMESPACE_PATTERN,
        alias="BERTH_NAMESPACE",
        description="Namespace of the deployments. Unset: the pod's own.",
    )
    replica: str = Field(
        default_factory=_default_replica,
        max_length=OBJECT_NAME_LENGTH,
        pattern=REPLICA_PATTERN,
        alias="POD_NAME",
        description="This replica's name in the activity of a deployment; unlike every other replica's.",
    )
    model_store: str = Field(
        default=MODEL_STORE, alias="BERTH_MODEL_STORE", description="Where the model store is mounted in the router."
    )
    engine_store: str = Field(
        default=MODEL_STORE, alias="BERTH_ENGINE_STORE", description="Where engines have the model store."
    )
    cold_start_deadline: float = Field(
        default=540,
        gt=0,
        le=YEAR_SECONDS,
        allow_inf_nan=False,
        alias="BERTH_COLD_START_DEADLINE",
        description="Seconds that a request waits for a model to start: fewer than the 600 of OpenAI's clients.",
    )
    max_deployments: int = Field(
        default=100,
        ge=1,
        alias="BERTH_MAX_DEPLOYMENTS",
        description="Deployments made by routers that exist at once. A request that needs one more is refused.",
    )
    engines: Annotated[dict[Backend, list[Device]], *JSON] = Field(
        default={backend: [Device.CPU] for backend in Backend},
        min_length=1,
        alias="BERTH_ENGINES",
        description="The devices that each backend has an image for, as a JSON object.",
    )
    default_backend: Backend = Field(
        default=Backend.LLAMACPP, alias="BERTH_DEFAULT_BACKEND", description="Backend where the request states none."
    )
    default_device: Device = Field(
        default=Device.CPU, alias="BERTH_DEFAULT_DEVICE", description="Device where the request states none."
    )
    profiles: Annotated[dict[Annotated[str, Field(pattern=PROFILE_NAME_PATTERN)], Profile], *JSON] = Field(
        default_factory=dict[str, Profile],
        alias="BERTH_PROFILES",
        description="Named sets of a backend, a device and engine settings, as a JSON object."
        " A request chooses one as model@profile.",
    )
    aliases: Annotated[dict[Annotated[str, AfterValidator(_alias)], str], *JSON] = Field(
        default_factory=dict[str, str],
        alias="BERTH_ALIASES",
        description="Other names for models, as a JSON object: a name, or a pattern with *, and the model as a request"
        " names it.",
    )
    default_model: str | None = Field(
        default=None,
        alias="BERTH_DEFAULT_MODEL",
        description="The model for requests with a name that no model has. Unset: they are refused.",
    )
    api_keys_dir: Path | None = Field(
        default=None,
        alias=_KEYS_DIR,
        description="Folder with one file for each API key, named after it."
        " Unset: whoever reaches the router may do everything.",
    )
    engine_key_secret_file: Path | None = Field(
        default=None,
        alias="BERTH_ENGINE_KEY_SECRET_FILE",
        description="File with the secret that engines' keys are made from. Unset: engines ask for none.",
    )
    api_key_scopes: Annotated[dict[Annotated[str, Field(pattern=API_KEY_NAME_PATTERN)], list[KeyScope]], *JSON] = Field(
        default_factory=dict[str, list[KeyScope]],
        alias="BERTH_API_KEY_SCOPES",
        description="What each API key allows, as a JSON object: its name and a list of inference and manage.",
    )
    cors_origins: Annotated[tuple[str, ...], *LIST, AfterValidator(_origins)] = Field(
        default=(*OF_THIS_MACHINE, *OF_PROGRAMS),
        alias="BERTH_CORS_ORIGINS",
        description="Origins of web pages that may ask, with commas between: https://chat.example.com, https://*.example.com,"
        " http://localhost:*, or * for every page.",
    )
    allowed_hosts: Annotated[tuple[str, ...], *LIST, AfterValidator(_hosts)] = Field(
        default=(),
        alias="BERTH_ALLOWED_HOSTS",
        description="Names under which a router without API keys is reached, with commas between; a request for another"
        " name is refused. Addresses are always allowed. Unset: any name.",
    )
    stats_config_map: str | None = Field(
        default=None,
        max_length=OBJECT_NAME_LENGTH,
        pattern=OBJECT_NAME_PATTERN,
        alias="BERTH_STATS_CONFIG_MAP",
        description="ConfigMap in which the replicas add up their counts. Unset: each has its own, since its start.",
    )
    store_writable: bool = Field(
        default=False,
        alias="BERTH_STORE_WRITABLE",
        description="Whether the router may delete models: its mount of the store is writable.",
    )
    operator_url: str | None = Field(
        default=None,
        pattern="^https?://",
        alias="BERTH_OPERATOR_URL",
        description="Where the operator says what would happen to a model, such as http://berth-operator:8083. Unset:"
        " /v1/models/plan cannot answer.",
    )
    hub_endpoint: Annotated[str, AfterValidator(repository.hub_endpoint)] = Field(
        default=DEFAULT_HUB,
        alias="BERTH_HUB_ENDPOINT",
        validation_alias=AliasChoices("BERTH_HUB_ENDPOINT", "HF_ENDPOINT"),
        description="The hub that models come from, and the only one that a request may name.",
    )
    hub_token: SecretStr | None = Field(
        default=None,
        alias="BERTH_HUB_TOKEN",
        validation_alias=AliasChoices("BERTH_HUB_TOKEN", "HF_TOKEN"),
        description="Token for the hub's repositories that are not public. It is never shown.",
    )
    min_free_bytes: int = Field(
        default=1 << 30,
        ge=0,
        alias="BERTH_MIN_FREE_BYTES",
        description="Bytes of the store that downloads leave free.",
    )
    allow_pickle: bool = Field(
        default=False,
        alias="BERTH_ALLOW_PICKLE",
        description="Whether downloads may take pickles (.bin, .pt, ...), which run code when they are loaded.",
    )
    drain_seconds: int = Field(
        default=300,
        ge=0,
        le=YEAR_SECONDS,
        alias="BERTH_DRAIN_SECONDS",
        description="Seconds that running answers get to end at a shutdown.",
    )
    lame_duck_seconds: float = Field(
        default=15,
        ge=0,
        le=YEAR_SECONDS,
        alias="BERTH_LAME_DUCK_SECONDS",
        description="Seconds at a shutdown in which new requests are still answered,"
        " each as the last of its connection. They are part of the drain.",
    )
    log_level: Annotated[str, AfterValidator(setting_values.log_level)] = Field(
        default="INFO", alias="BERTH_LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR, in any case."
    )

    def answer_defaults(self) -> AnswerDefaults:
        """What the answer to a request gets that states nothing of it."""
        limit, temperature, top_p = self.default_max_tokens, self.default_temperature, self.default_top_p
        return AnswerDefaults(
            max_tokens=None if limit == "auto" else limit,
            temperature=None if temperature == "model" else temperature,
            top_p=None if top_p == "model" else top_p,
        )

    @classmethod
    def of_environment(cls, **given: Any) -> Self:
        """The settings of the environment. `given`: values in their place, by variable. Raises SettingsError."""
        check_client_environment(os.environ)
        if os.environ.get(_KEYS_DIR) == "":  # unset, it opens the router to everybody, which must be on purpose
            raise SettingsError(f"{_KEYS_DIR} is '': it must be a folder, or not be set at all")
        try:
            return cls(**given)
        except ValidationError as error:
            raise settings_error(error, _variable, _PATTERNS) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """As pydantic's, but a variable has only the name in its alias: LOG_LEVEL may belong to another program."""
        if isinstance(env_settings, EnvSettingsSource):
            by_alias = env_settings.config.copy()
            by_alias["populate_by_name"] = False
            env_settings.config = by_alias
        return init_settings, env_settings

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not all(self.engines.values()):
            raise ValueError("BERTH_ENGINES: every backend needs at least one device")
        if self.default_backend not in self.engines:
            raise ValueError(
                f"BERTH_DEFAULT_BACKEND is {self.default_backend}, which BERTH_ENGINES does not list:"
                f" {', '.join(self.engines)}"
            )
        named = {f"BERTH_ALIASES.{alias}": model for alias, model in self.aliases.items()}
        if self.default_model is not None:
            named["BERTH_DEFAULT_MODEL"] = self.default_model
        for name, model in named.items():
            self._check_model(name, model)
        if self.api_keys_dir and not any(self.api_key_scopes.values()):
            raise ValueError("BERTH_API_KEY_SCOPES gives no key any scope, so that BERTH_API_KEYS_DIR lets nobody in")
        return self

    def _check_model(self, setting: str, model: str) -> None:
        name, at, profile = model.rpartition("@")
        if not is_model_path(name if at else model):
            raise ValueError(f"{setting} is {model[:200]!r}: it must be a model's name, such as NAME or NAME@PROFILE")
        if at and profile not in self.profiles:
            there = f"It has {', '.join(sorted(self.profiles))}" if self.profiles else "It has none"
            raise ValueError(
                f"{setting} names the profile {profile[:100]!r}, which BERTH_PROFILES does not have. {there}"
            )


def _variable(path: Sequence[str]) -> str:
    """The variable of a setting, and the place in its JSON. Of two possible variables: the one that is set."""
    name, *keys = path
    fields = (field.validation_alias for field in RouterSettings.model_fields.values())
    choices = next(
        (alias.choices for alias in fields if isinstance(alias, AliasChoices) and name in alias.choices),
        [name],
    )
    return ".".join([next((str(choice) for choice in choices if str(choice) in os.environ), name), *keys])
