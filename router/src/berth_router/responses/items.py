"""The items of an answer, and the object around them."""

from collections.abc import Sequence
from typing import Any

import orjson

from berth_router.engine_answers.json_values import as_count, as_object, as_text
from berth_router.errors import EngineFailedError
from berth_router.responses.reasoning import carried
from berth_router.responses.request import ResponsesCall
from berth_router.responses.tools import CUSTOM_ARGUMENT, ToolKind, ToolName

COMPLETED, INCOMPLETE, IN_PROGRESS, FAILED = "completed", "incomplete", "in_progress", "failed"
NO_ARGUMENTS = "{}"
"""The arguments of a call without any: clients parse them."""

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an engine says that an answer ended, where it is not whole, and how the Responses API says it."""


class Answered:
    """The answer to one request: its id, and the object that has all of it."""

    def __init__(self, call: ResponsesCall, token: str, created_at: int) -> None:
        """`token`: what makes its ids differ from all others."""
        self.call = call
        self._token = token
        own = orjson.dumps({"id": f"resp_{token}", "object": "response", "created_at": created_at})
        self._fixed = own[:-1] + b"," + call.repeated[1:-1] + b","

    def item_id(self, prefix: str, index: int) -> str:
        """The id of the item at this place. `prefix`: what kind it is of."""
        return f"{prefix}_{self._token}{index:02x}"

    def response(
        self,
        status: str,
        output: Sequence[dict[str, Any]] = (),
        *,
        usage: dict[str, Any] | None = None,
        reason: str | None = None,
        error: dict[str, Any] | None = None,
    ) -> bytes:
        """The object as JSON. `reason`: the engine's, why the answer ended. `error`: code and message."""
        details = {"reason": _REASONS[reason]} if status == INCOMPLETE and reason in _REASONS else None
        varying = {
            "status": status,
            "error": error,
            "incomplete_details": details,
            "output": output,
            "usage": usage,
        }
        return self._fixed + written(varying)[1:]

    # -- items

    def reasoning_item(self, index: int, text: str, status: str) -> dict[str, Any]:
        """What the model thought."""
        call = self.call
        return {
            "id": self.item_id("rs", index),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text}] if call.summarizes and text else [],
            "content": [{"type": "reasoning_text", "text": text}] if text and not call.summarizes else [],
            "encrypted_content": carried(text) if call.carries_reasoning and text else None,
            "status": status,
        }

    def message_item(self, index: int, parts: list[dict[str, Any]], status: str) -> dict[str, Any]:
        """What the model said."""
        return {
            "id": self.item_id("msg", index),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": parts,
        }

    def call_item(self, index: int, tool: ToolName, call_id: str, arguments: str, status: str) -> dict[str, Any]:
        """A call of a tool. `arguments`: as the model wrote them."""
        within = {"namespace": tool.namespace} if tool.namespace else {}
        called = {"call_id": call_id, "name": tool.name, **within, "status": status}
        if tool.kind is ToolKind.CUSTOM:
            own = {"id": self.item_id("ctc", index), "type": "custom_tool_call"}
            return {**own, **called, "input": custom_input(arguments)}
        return {"id": self.item_id("fc", index), "type": "function_call", **called, "arguments": arguments}


def text_part(text: str, logprobs: list[Any]) -> dict[str, Any]:
    """The part of a message that is text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def custom_input(arguments: str) -> str:
    """The text that a custom tool gets, of the arguments of the function that stands for it."""
    try:
        return as_text(as_object(orjson.loads(arguments)).get(CUSTOM_ARGUMENT))
    except orjson.JSONDecodeError:
        return arguments  # cut off, or never JSON: what there is


def ended_as(reason: str | None) -> str:
    """The status of an answer that ended for this reason."""
    return INCOMPLETE if reason in _REASONS else COMPLETED


def usage_of(usage: object) -> dict[str, Any] | None:
    """An engine's counts of tokens, in the words of the Responses API; None where it has none."""
    fields = as_object(usage)
    if not fields:
        return None
    prompt, answer = as_count(fields.get("prompt_tokens")) or 0, as_count(fields.get("completion_tokens")) or 0
    cached = as_count(as_object(fields.get("prompt_tokens_details")).get("cached_tokens")) or 0
    thought = as_count(as_object(fields.get("completion_tokens_details")).get("reasoning_tokens")) or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + answer,
    }


def written(value: dict[str, Any]) -> bytes:
    """The object as JSON. Raises EngineFailedError where it is nested too deeply."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise EngineFailedError("The engine sent an answer that is nested too deeply.", code="engine_error") from None
