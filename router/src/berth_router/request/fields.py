"""The fields of a request's body that the router reads, with their bounds: also for the description of the API."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from berth_api.engine_settings import (
    DEFAULT_GPU_MEMORY_UTILIZATION,
    LEAST_AUTO_CONTEXT,
    LEAST_CONTEXT,
    MOST_AUTO_CONTEXT,
    MOST_CONTEXT,
    ContextSize,
    LlamaCppSettings,
)
from berth_api.model_deployment import MODEL_PATH_LENGTH, MODEL_STORE, Backend, Device, IdlePolicy
from berth_router.errors import InvalidRequestError


def _description(schema: type[BaseModel], field: str) -> str | None:
    return schema.model_fields[field].description


_CONTEXT_SIZE_IN_OPENAPI = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": LEAST_CONTEXT, "maximum": MOST_CONTEXT}, {"const": "auto"}]}
)


class BerthFields(BaseModel):
    """The fields of a request body that Berth reads itself."""

    model_config = ConfigDict(strict=True, extra="ignore")

    model: str = Field(
        min_length=1,
        max_length=MODEL_PATH_LENGTH,
        description=(
            f"The model's path in the store, such as {MODEL_STORE}/SmolLM2-135M-Instruct;"
            f" the part after {MODEL_STORE}/ is enough."
            " `model@profile` adds what the profile of that name states and the request does not."
        ),
    )
    backend: Backend | None = Field(
        default=None,
        strict=False,
        description="The engine: vllm, transformers or llamacpp. Unset: a running one, else one for the model's files.",
    )
    device: Device | None = Field(
        default=None, strict=False, description="cuda or cpu. Unset: that of a running deployment, else the default."
    )
    ttl: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="Seconds without a request after which the model is removed; 0 is never. "
        + (_description(IdlePolicy, "ttl_seconds") or ""),
    )
    n_gpu_layers: int | None = Field(
        default=None, ge=-1, le=999, description=f"llamacpp only. {_description(LlamaCppSettings, 'gpu_layers')}"
    )
    n_ctx: Annotated[ContextSize, _CONTEXT_SIZE_IN_OPENAPI] | None = Field(
        default=None,
        description=(
            "llamacpp only. Tokens of context, prompt and answer together. A live deployment with at least as many is"
            f" used. auto: as many as fit into the memory, {LEAST_AUTO_CONTEXT} to {MOST_AUTO_CONTEXT}, and as the"
            " model was made for. Unset: any; one that must be started has what the installation's settings say."
        ),
    )
    gpu_memory_utilization: float | None = Field(
        default=None,
        ge=0.1,
        le=1.0,
        description=(
            "vllm only. Share of the GPU's memory that the engine takes, 0.1 to 1.0. A live deployment with exactly"
            f" this share is used. Unset: any; one that must be started has {DEFAULT_GPU_MEMORY_UTILIZATION}."
        ),
    )
    max_model_len: int | None = Field(
        default=None,
        ge=256,
        le=10_485_760,
        description=(
            "vllm only. Tokens of context, prompt and answer together. A live deployment with at least as many is used."
            " Unset: any; one that must be started has as many as the model was made for."
        ),
    )


_MOST_TOKENS = 2**31 - 1
"""Engines read a larger limit as another number."""

NO_LIMIT = -1
"""As a limit of tokens: as many as the context leaves. It is llama.cpp's; OpenAI's API has it for some models."""

_LIMITS = "-1: as many as the context leaves; 0: none, in completions alone."


class RequestFields(BerthFields):
    """The fields that the router checks: Berth's own, and those of OpenAI's API that have defaults here."""

    stream: bool | None = Field(
        default=None, description="Whether the answer comes as server-sent events, while it is made."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="0 is greedy.")
    top_p: float | None = Field(default=None, ge=0, le=1, description="Nucleus sampling.")
    max_tokens: int | None = Field(
        default=None, ge=NO_LIMIT, le=_MOST_TOKENS, description=f"Most tokens to make. {_LIMITS}"
    )
    max_completion_tokens: int | None = Field(
        default=None, ge=NO_LIMIT, le=_MOST_TOKENS, description="The newer name of `max_tokens` in chat completions."
    )
    max_output_tokens: int | None = Field(
        default=None, ge=NO_LIMIT, le=_MOST_TOKENS, description="The name of `max_tokens` in the Responses API."
    )


def refuse_other_fields(fields: Mapping[str, Any]) -> None:
    """Raises InvalidRequestError where a request without a prompt has another field than Berth's own."""
    unknown = next((name for name in fields if name not in BerthFields.model_fields), None)
    if unknown is not None:
        known = ", ".join(BerthFields.model_fields)
        near = get_close_matches(unknown[:100], BerthFields.model_fields, 1)
        meant = f" Did you mean `{near[0]}`?" if near else ""
        raise InvalidRequestError(
            f"`{unknown[:100]}` is no field of a load, which has {known}.{meant}",
            param=unknown[:100],
            code="unknown_field",
        )
