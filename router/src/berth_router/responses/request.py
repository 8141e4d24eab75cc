"""A request of the Responses API → the body of a chat completion, and what the answer repeats of the request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from berth_router.errors import InvalidRequestError
from berth_router.responses.fields import (
    object_of,
    one_of,
    optional_list,
    optional_object,
    optional_text,
    text_of,
    unsupported,
    wrong_field,
)
from berth_router.responses.messages import chat_messages
from berth_router.responses.tools import ToolSet, tool_fields

REFUSED: Mapping[str, str] = {
    "previous_response_id": "Berth stores no responses. Send the whole conversation in `input`.",
    "conversation": "Berth stores no conversations. Send the whole conversation in `input`.",
    "prompt": "Berth stores no prompts. Send it as `instructions` or in `input`.",
    "background": "Berth stores no responses, so an answer that nobody waits for is lost. Leave it out.",
    "context_management": "Berth does not shorten conversations. Leave it out, and send what the model needs.",
    "moderation": "Berth does not moderate. Leave it out.",
}
"""Fields that ask for what Berth does not do. False, null and an empty list ask for nothing."""

_MEANT_FOR_OPENAI = (
    "access_programs",
    "background_options",
    "client_metadata",
    "image",
    "include",
    "max_tool_calls",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "truncation",
    "user",
)
"""Fields that are no engine's. What of them has a meaning in an answer is there."""

_TRANSLATED = (
    "input",
    "instructions",
    "max_output_tokens",
    "parallel_tool_calls",
    "reasoning",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
)
"""Fields in whose place chat completions have others, or others of that name."""

_NOT_FOR_ENGINES = frozenset((*REFUSED, *_MEANT_FOR_OPENAI, *_TRANSLATED))

_EFFORTS = {
    "none": "none",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""`reasoning.effort`, and what engines take of it."""
_SUMMARIES = ("auto", "concise", "detailed")
_FORMATS = ("text", "json_schema", "json_object")
_MOST_ALTERNATIVES = 20
_NO_LIMIT = -1
"""Berth's own value, as in `max_tokens`: as many tokens as the context leaves."""

LOGPROBS = "message.output_text.logprobs"
REASONING = "reasoning.encrypted_content"


@dataclass(frozen=True, slots=True)
class ResponsesCall:
    """A request, as the router takes it."""

    body: dict[str, Any]
    """The body for chat completions, with Berth's own fields."""
    streams: bool
    tools: ToolSet
    repeated: bytes
    """Fields of the answer that repeat the request's, as a JSON object."""
    summarizes: bool
    """Whether what the model thought comes as a summary, and not as reasoning's own text."""
    carries_reasoning: bool
    """Whether a reasoning item has its text in `encrypted_content` too, for clients that send only that back."""

    def content(self) -> bytes:
        """The body for chat completions as JSON. Raises InvalidRequestError where it is nested too deeply."""
        return _written(self.body)


def read_request(body: dict[str, Any]) -> ResponsesCall:
    """What a request asks. `body`: parsed JSON. Raises InvalidRequestError, which names the field."""
    for name, why in REFUSED.items():
        if body.get(name) not in (None, False, []):
            raise unsupported(name, why)
    if body.get("n") not in (None, 1):
        raise wrong_field("n", "must be 1: a response has one answer")
    streams = body.get("stream") is True
    tools, choosing = tool_fields(body)
    reasoning, included = optional_object(body, "reasoning"), optional_list(body, "include")
    text, form = _text_fields(body)
    chat = {name: value for name, value in body.items() if name not in _NOT_FOR_ENGINES}
    chat["messages"] = chat_messages(body)
    chat |= choosing | form | _limit_fields(body) | _effort_fields(reasoning) | _logprobs_fields(body, included)
    if streams:
        chat["stream_options"] = {"include_usage": True}
    return ResponsesCall(
        body=chat,
        streams=streams,
        tools=tools,
        repeated=_written(_repeated(body, tools, text, reasoning)),
        summarizes=_wants_summary(reasoning),
        carries_reasoning=REASONING in included,
    )


def _limit_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    limit = body.get("max_output_tokens")
    if limit is None:
        return {}
    if not isinstance(limit, int) or isinstance(limit, bool) or (limit < 1 and limit != _NO_LIMIT):
        raise wrong_field(
            "max_output_tokens",
            f"must be a whole number, greater than or equal to 1, or {_NO_LIMIT} for as many as the context leaves",
        )
    return {"max_tokens": limit}


def _effort_fields(reasoning: Mapping[str, Any]) -> dict[str, Any]:
    effort = reasoning.get("effort")
    if effort is None:
        return {}
    return {"reasoning_effort": _EFFORTS[one_of(effort, "reasoning.effort", tuple(_EFFORTS))]}


def _wants_summary(reasoning: Mapping[str, Any]) -> bool:
    for name in ("summary", "generate_summary"):
        if reasoning.get(name) is not None:
            one_of(reasoning[name], f"reasoning.{name}", _SUMMARIES)
            return True
    return False


def _logprobs_fields(body: Mapping[str, Any], included: list[Any]) -> dict[str, Any]:
    alternatives = body.get("top_logprobs") or 0
    if not isinstance(alternatives, int) or isinstance(alternatives, bool):
        raise wrong_field("top_logprobs", f"must be a whole number, 0 to {_MOST_ALTERNATIVES}")
    if not 0 <= alternatives <= _MOST_ALTERNATIVES:
        raise wrong_field("top_logprobs", f"must be between 0 and {_MOST_ALTERNATIVES}")
    if not alternatives and LOGPROBS not in included:
        return {}
    return {"logprobs": True, "top_logprobs": alternatives}


def _text_fields(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`text` as the answer repeats it, and the field of chat completions for it. Raises InvalidRequestError."""
    text = optional_object(body, "text")
    form = {"type": "text"} if text.get("format") is None else object_of(text["format"], "text.format")
    kind = one_of(form.get("type"), "text.format.type", _FORMATS)
    repeated = {"format": form, "verbosity": "medium"}
    if kind == "text":
        return repeated, {}
    if kind == "json_object":
        return repeated, {"response_format": {"type": "json_object"}}
    schema: dict[str, Any] = {
        "name": text_of(form, "name", "text.format"),
        "schema": object_of(form.get("schema"), "text.format.schema"),
    }
    schema |= {name: form[name] for name in ("description", "strict") if form.get(name) is not None}
    return repeated, {"response_format": {"type": "json_schema", "json_schema": schema}}


def _repeated(
    body: Mapping[str, Any], tools: ToolSet, text: dict[str, Any], reasoning: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of an answer that say what was asked, and what Berth does in its place."""
    return {
        "background": False,
        "instructions": body.get("instructions"),
        "max_output_tokens": None if body.get("max_output_tokens") == _NO_LIMIT else body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "metadata": optional_object(body, "metadata"),
        "model": body.get("model"),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "prompt_cache_key": optional_text(body, "prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": optional_text(body, "safety_identifier"),
        "service_tier": "default",
        "store": False,
        "temperature": body.get("temperature"),
        "text": text,
        "tool_choice": "auto" if body.get("tool_choice") is None else body["tool_choice"],
        "tools": tools.shown,
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": body.get("top_p"),
        "truncation": "disabled",
        "user": optional_text(body, "user"),
    }


def _written(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise InvalidRequestError("The body is nested too deeply.", code="invalid_json") from None
