"""POST /api/generate → a chat of one message; with `raw` the continuation of a text; with `suffix` what is between."""

from typing import Any

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS, INFILL
from berth_router.ollama.calls import Call, InferenceCall, LoadCall, UnloadCall
from berth_router.ollama.chat import user_message
from berth_router.ollama.errors import wrong_field
from berth_router.ollama.keep_alive import keep_alive_of
from berth_router.ollama.requests import GenerateBody, OllamaOptions, read, target_of
from berth_router.ollama.sampling import (
    chat_format_fields,
    logprobs_fields,
    sampling_fields,
    streaming_fields,
    text_format_fields,
    thinking_fields,
)


def generate_call(body: object) -> Call:
    """What a request asks of Berth: an answer, or with no prompt that the model is loaded or unloaded.

    `body`: parsed JSON. Raises OllamaError.
    """
    fields = read(GenerateBody, body)
    keep_alive = keep_alive_of(fields.keep_alive)
    target = target_of(fields, body, keep_alive)
    if not fields.prompt:
        return UnloadCall(target) if keep_alive.unload else LoadCall(target)
    path, asked = _asked(fields, fields.prompt)
    streams = fields.stream is not False
    asked |= sampling_fields(fields.options or OllamaOptions()) | streaming_fields(streams)
    return InferenceCall(target, path, target.fields | asked, streams, keep_alive.unload, bool(fields.think))


def _asked(fields: GenerateBody, prompt: str) -> tuple[str, dict[str, Any]]:
    """The path that answers the request, and what goes there besides options. Raises OllamaError."""
    if fields.context:
        raise wrong_field("context", "is not taken, as no answer has one; send the whole conversation to /api/chat")
    if fields.template:
        raise wrong_field("template", "is not taken: the model's own is used; with `raw` the prompt goes as it is")
    if fields.raw:
        if fields.system:
            raise wrong_field("system", "is not taken with `raw`, where the prompt goes as it is")
        return COMPLETIONS, _text_fields(fields, "raw") | {"prompt": prompt}
    if fields.suffix:
        return INFILL, _text_fields(fields, "suffix") | {"input_prefix": prompt, "input_suffix": fields.suffix}
    system = [{"role": "system", "content": fields.system}] if fields.system else []
    return CHAT_COMPLETIONS, {
        "messages": [*system, user_message(prompt, fields.images or (), "images")],
        **chat_format_fields(fields.format),
        **thinking_fields(fields.think),
        **logprobs_fields(fields),
    }


def _text_fields(fields: GenerateBody, mode: str) -> dict[str, Any]:
    """What goes with a bare text. `mode`: the field that makes it one. Raises OllamaError."""
    if fields.images:
        raise wrong_field("images", f"are not taken with `{mode}`")
    if fields.logprobs:
        raise wrong_field("logprobs", f"are not taken with `{mode}`")
    return text_format_fields(fields.format)
