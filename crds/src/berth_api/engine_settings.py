"""The settings of each engine, as a ModelDeployment has them."""

from typing import Annotated, Literal

from pydantic import Field, GetPydanticSchema, ValidatorFunctionWrapHandler, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from berth_api.schema import Schema

DEFAULT_CONTEXT_SIZE = 2048
LEAST_CONTEXT, MOST_CONTEXT = 256, 1_048_576
"""The bounds of a context of llama.cpp that is stated, in tokens."""

AUTO: Literal["auto"] = "auto"
"""The context size with which the model and the memory decide."""

LEAST_AUTO_CONTEXT, MOST_AUTO_CONTEXT = 2048, 32_768
"""The bounds of a context that they decide, in tokens; a model that was made for less has less."""

DEFAULT_GPU_MEMORY_UTILIZATION = 0.7

_PARSER_PATTERN = r"^[a-z0-9][a-z0-9_-]*$"
"""The names of vLLM's parsers. They become arguments of its command line, so they begin with no dash."""


def _auto_or_number(value: object, number: ValidatorFunctionWrapHandler) -> object:
    if value == AUTO:
        return value
    if isinstance(value, str):
        raise PydanticCustomError("context_size", "Input should be a whole number or 'auto'")
    return number(value)


# One schema, and not a union: of a union each error would name all its members.
ContextSize = Annotated[
    int | Literal["auto"],
    GetPydanticSchema(
        lambda _, __: core_schema.no_info_wrap_validator_function(
            _auto_or_number,
            core_schema.int_schema(ge=LEAST_CONTEXT, le=MOST_CONTEXT),
            serialization=core_schema.simple_ser_schema("any"),
        )
    ),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": f"^{AUTO}$",
            "minimum": LEAST_CONTEXT,
            "maximum": MOST_CONTEXT,
        }
    ),
]
"""Tokens of context, or `auto`."""


class LlamaCppSettings(Schema):
    """Settings of the llama.cpp engine."""

    context_size: ContextSize | None = Field(
        default=None,
        description="Tokens of context for one request, prompt and answer together; no more than the model was made for"
        f" are used. auto: as many as fit into the memory, {LEAST_AUTO_CONTEXT} to {MOST_AUTO_CONTEXT}."
        f" Unset: {DEFAULT_CONTEXT_SIZE}.",
    )
    gpu_layers: int | None = Field(
        default=None,
        ge=-1,
        le=999,
        description="Layers of the model on the GPU; -1 is all of them, 0 none. Unset: -1 with cuda, 0 with cpu.",
    )
    quantization: str | None = Field(
        default=None,
        max_length=32,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Which quantization to load from a directory with several, such as Q4_K_M. Unset: the only one.",
    )


class VllmSettings(Schema):
    """Settings of the vLLM engine."""

    gpu_memory_utilization: float | None = Field(
        default=None,
        ge=0.1,
        le=1.0,
        description=f"Share of the GPU's memory that vLLM takes, 0.1 to 1.0. Unset: {DEFAULT_GPU_MEMORY_UTILIZATION}.",
    )
    max_model_len: int | None = Field(
        default=None,
        ge=256,
        le=10_485_760,
        description="Tokens of context for one request, prompt and answer together. "
        "Unset: as many as the model was made for, if memory allows.",
    )
    tool_call_parser: str | None = Field(
        default=None,
        max_length=64,
        pattern=_PARSER_PATTERN,
        description="vLLM's parser for the calls of tools in the model's answers, such as hermes; none for no parser."
        " Unset: the one for the model's family, if vLLM has one.",
    )
    reasoning_parser: str | None = Field(
        default=None,
        max_length=64,
        pattern=_PARSER_PATTERN,
        description="vLLM's parser for the reasoning in the model's answers, such as qwen3; none for no parser."
        " Unset: the one for the model's family, if vLLM has one.",
    )


class TransformersSettings(Schema):
    """Settings of the Transformers engine."""

    continuous_batching: bool | None = Field(
        default=None,
        description="Whether requests are computed together: as fast for one client, about four times as fast for eight"
        " on a CPU. But then the first request's sampling settings apply to all requests, and stop strings to none."
        " Unset: false.",
    )
