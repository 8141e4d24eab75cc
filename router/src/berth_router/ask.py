"""The parsed request: what it asks of Berth, and the body that the engine gets to see."""

import re
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from berth_api.model_deployment import (
    DEFAULT_CONTEXT_SIZE,
    MODEL_PATH_PATTERN,
    MODEL_STORE,
    Backend,
    Device,
    IdlePolicy,
    LlamaCppSettings,
)
from berth_router.errors import InvalidRequestError

SAMPLING_DEFAULTS = {"temperature": 0.7, "top_p": 1.0}
DEFAULT_MAX_TOKENS = 512

ENGINE_UNSAFE_FIELDS = (
    "chat_template",
    "id_slot",
    "kv_transfer_params",
    "lora",
    "media_io_kwargs",
    "mm_processor_kwargs",
    "vllm_xargs",
)
"""Fields by which one caller could reach into an engine that others share: its slots and caches, its adapters, its template code."""

_MODEL_PATH = re.compile(MODEL_PATH_PATTERN)
_MAX_MODEL_LENGTH = 512


def _description(schema: type[BaseModel], field: str) -> str | None:
    return schema.model_fields[field].description


class BerthFields(BaseModel):
    """The fields of a request body that Berth reads itself."""

    model_config = ConfigDict(strict=True, extra="ignore")

    model: str = Field(
        min_length=1,
        max_length=_MAX_MODEL_LENGTH,
        description=f"The model's path in the store, such as {MODEL_STORE}/SmolLM2-135M-Instruct; the part after {MODEL_STORE}/ is enough.",
    )
    backend: Backend | None = Field(
        default=None, strict=False, description="The engine: vllm, transformers or llamacpp. Unset: a running one, else the default."
    )
    device: Device | None = Field(
        default=None, strict=False, description="cuda or cpu. Unset: that of a running deployment, else the default."
    )
    ttl: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="Seconds without a request after which the model goes; 0 is never. " + (_description(IdlePolicy, "ttl_seconds") or ""),
    )
    n_gpu_layers: int | None = Field(
        default=None, ge=-1, le=999, description=f"llamacpp only. {_description(LlamaCppSettings, 'gpu_layers')}"
    )
    n_ctx: int | None = Field(
        default=None,
        ge=256,
        le=1_048_576,
        description=(
            "llamacpp only. Tokens of context, prompt and answer together. A deployment with at least as many is used where one is"
            f" live. Unset: any, and {DEFAULT_CONTEXT_SIZE} where one must be started."
        ),
    )
    stream: bool | None = Field(default=None, description="Whether the answer comes in server-sent events, as it is made.")


_OWN_FIELDS = tuple(name for name in BerthFields.model_fields if name not in ("model", "stream"))


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks of Berth. None: not stated, so it constrains nothing."""

    model: str
    """The path in the model store."""
    backend: Backend | None = None
    device: Device | None = None
    ttl: int | None = None
    gpu_layers: int | None = None
    context_size: int | None = None
    stream: bool = False


def parse_ask(raw: bytes, *, required_list: str) -> tuple[Ask, bytes]:
    """Splits a body into what Berth is asked and what the engine gets.

    `required_list` is the field that the engine cannot do without, such as `messages`. Raises InvalidRequestError.
    """
    body = _json_object(raw)
    try:
        fields = BerthFields.model_validate(body)
    except ValidationError as error:
        raise invalid_field(error) from None
    if not isinstance(body.get(required_list), list):
        raise InvalidRequestError(f"`{required_list}` must be a list.", param=required_list, code="invalid_value")
    model = model_path(fields.model)
    ask = Ask(
        model=model,
        backend=_backend(fields),
        device=fields.device,
        ttl=fields.ttl,
        gpu_layers=fields.n_gpu_layers,
        context_size=fields.n_ctx,
        stream=bool(fields.stream),
    )
    return ask, _engine_body(body, model)


def model_path(model: str) -> str:
    """The path in the store that a model's name means. Raises InvalidRequestError."""
    trimmed = model.rstrip("/")
    path = trimmed if trimmed.startswith("/") else f"{MODEL_STORE}/{trimmed}"
    if not _MODEL_PATH.match(path) or path.endswith("\n"):
        raise InvalidRequestError(
            f"`model` must be a path in the model store, such as {MODEL_STORE}/SmolLM2-135M-Instruct, of letters, digits and ._+=-"
            f" with no segment that starts with a dot; got {model[:200]!r}. GET /v1/models lists those there are.",
            param="model",
            code="invalid_value",
        )
    return path


def invalid_field(error: ValidationError) -> InvalidRequestError:
    """The first wrong field of a validated body, named, with what would be right."""
    first = error.errors(include_url=False, include_context=False)[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    message = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "missing":
        return InvalidRequestError(f"`{param}` is missing.", param=param, code="missing_required_parameter")
    return InvalidRequestError(f"`{param}` is not valid: {message}; got {str(first['input'])[:100]!r}.", param=param, code="invalid_value")


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"The body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.", code="invalid_json")
    return body  # pyright: ignore[reportUnknownVariableType] (JSON: string keys, any values)


def _backend(fields: BerthFields) -> Backend | None:
    """The stated backend, or llama.cpp where one of its settings is stated. Raises InvalidRequestError where they contradict."""
    for name, value in (("n_ctx", fields.n_ctx), ("n_gpu_layers", fields.n_gpu_layers)):
        if value is None:
            continue
        if fields.backend not in (None, Backend.LLAMACPP):
            raise InvalidRequestError(
                f"`{name}` is a setting of backend llamacpp; leave it out with backend {fields.backend}.", param=name, code="invalid_value"
            )
        return Backend.LLAMACPP
    return fields.backend


def _engine_body(body: dict[str, Any], model: str) -> bytes:
    for field in _OWN_FIELDS:
        body.pop(field, None)
    for field in ENGINE_UNSAFE_FIELDS:
        body.pop(field, None)
    body["model"] = model
    for field, value in SAMPLING_DEFAULTS.items():
        if body.get(field) is None:
            body[field] = value
    if body.get("max_tokens") is None and body.get("max_completion_tokens") is None:
        body["max_tokens"] = DEFAULT_MAX_TOKENS
    return orjson.dumps(body)
