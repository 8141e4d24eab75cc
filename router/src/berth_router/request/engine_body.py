"""The body that an engine gets: the caller's, without Berth's and unsafe fields, with the API's defaults."""

from collections.abc import Mapping
from typing import Any

from berth_api.inference import TOKENIZE
from berth_api.model_deployment import Backend
from berth_router.request.defaults import AnswerDefaults
from berth_router.request.endpoints import Endpoint
from berth_router.request.fields import NO_LIMIT

UNSAFE_FIELDS: Mapping[Backend, Mapping[str, str]] = {
    Backend.VLLM: {
        "chat_template": "a template is a program, which would run in the engine",
        "kv_transfer_params": "moves blocks of the cache that all requests share, from and to other hosts",
        "logits_processors": "names Python code for the engine to load",
        "media_io_kwargs": "sets up the loaders of images and sound, without bounds",
        "mm_processor_kwargs": "sets up the model's processor, without bounds",
        "priority": "would let one caller overtake all others",
        "prompt_embeds": "a pickled tensor that the engine unpacks",
        "request_id": "two requests under one id stand in each other's way; the engine gets x-request-id",
        "vllm_xargs": "arguments of the administrator's plugins",
    },
    Backend.TRANSFORMERS: {
        "generation_config": "replaces the whole configuration of a generation: kinds of cache, code to load, limits",
    },
    Backend.LLAMACPP: {
        "id_slot": "picks the slot, and with it the cached prompt, of another caller",
        "lora": "changes the weights of adapters; requests that differ in them cannot be computed together",
    },
}
"""Fields by which one caller could affect an engine that others share, with the reason. No engine gets any of them."""

UNSAFE_TEMPLATE_ARGUMENTS = ("chat_template", "return_dict", "return_tensors", "tokenize")
"""What `chat_template_kwargs` must not set: vLLM and Transformers pass it to a function that has these parameters."""

UNSAFE_NAMES = frozenset(field for fields in UNSAFE_FIELDS.values() for field in fields)

SAMPLING_TURNED_ON = {"generation_config": '{"do_sample":true}'}
"""For `transformers serve`: without this it is greedy with most models, at any temperature.

It takes the other settings from the model's own configuration.
"""


def engine_body(
    body: dict[str, Any], dropped: frozenset[str], endpoint: Endpoint, defaults: AnswerDefaults
) -> dict[str, Any]:
    """The body for the engine. It is `body` itself, changed. `dropped`: the fields that no engine gets.

    A limit of tokens that neither the request nor the defaults state is left out.
    """
    if not dropped.isdisjoint(body):
        for field in dropped & body.keys():
            del body[field]
    if "chat_template_kwargs" in body:
        _clean_template_arguments(body["chat_template_kwargs"])
    if endpoint.streams and body.get("stream") is None:
        body["stream"] = False  # some engines have another default on some paths
    if endpoint.samples:
        _add_answer_defaults(body, endpoint, defaults)
    if endpoint.path == TOKENIZE:
        _name_text_for_every_engine(body)
    return body


def _clean_template_arguments(arguments: Any) -> None:
    if isinstance(arguments, dict):
        for name in UNSAFE_TEMPLATE_ARGUMENTS:
            arguments.pop(name, None)  # pyright: ignore[reportUnknownMemberType]


def _add_answer_defaults(body: dict[str, Any], endpoint: Endpoint, defaults: AnswerDefaults) -> None:
    for field, value in defaults.sampling:
        if body.get(field) is None:
            body[field] = value
    limit = endpoint.output_limit
    if limit is None:
        return
    if body.get(limit) is None:
        # The newer name of chat completions, which Transformers does not know.
        newer = body.get("max_completion_tokens") if limit == "max_tokens" else None
        stated = defaults.max_tokens if newer is None else newer
        if stated is None:
            body.pop(limit, None)
        else:
            body[limit] = stated
    if body.get(limit) == NO_LIMIT:
        del body[limit]
        body.pop("max_completion_tokens", None)


def _name_text_for_every_engine(body: dict[str, Any]) -> None:
    """vLLM reads the text as `prompt`, llama-server as `content`."""
    if "content" not in body and "prompt" in body:
        body["content"] = body["prompt"]
    elif "prompt" not in body and "content" in body:
        body["prompt"] = body["content"]
