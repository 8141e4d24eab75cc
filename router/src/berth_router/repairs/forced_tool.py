"""The row that makes llama.cpp call the one tool that it must.

With `tool_choice` `required`, its grammar still allows any text before the call, and a small model never comes to it.
An answer that follows a JSON schema begins with it. So the engine is asked for the tool's arguments as a whole answer,
and the client gets them as the call.
"""

import secrets
from typing import Any, cast

from berth_api.inference import CHAT_COMPLETIONS
from berth_api.model_deployment import Backend
from berth_router.repairs.repair import AnsweredRequest, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import EventRewriter, WholeAnswerRewriter


def _forces_one_tool(body: JsonFields) -> bool:
    """Whether one certain tool must be called. Then there is no text for which a stated form could be."""
    choice, tools = body.get("tool_choice"), body.get("tools")
    if not isinstance(tools, list) or not tools:
        return False
    if isinstance(choice, dict):
        return cast("JsonFields", choice).get("type") == "function"
    return choice == "required" and len(cast("list[Any]", tools)) == 1


def _ask_for_arguments(body: JsonFields) -> None:
    """Asks for the arguments. The choice before has left that tool alone; the template shows it to the model."""
    function: JsonFields = body["tools"][0]["function"]
    schema = function.get("parameters")
    if not isinstance(schema, dict) or not schema:
        schema = {"type": "object"}
    body["tool_choice"] = "auto"
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": function["name"], "schema": schema}}


def _tool_name(asked: AnsweredRequest) -> str:
    choice: Any = asked.body["tool_choice"]
    if isinstance(choice, dict):
        return cast("JsonFields", choice)["function"]["name"]
    return asked.body["tools"][0]["function"]["name"]


class _CallMaker:
    """Makes the arguments of each choice a call of the tool."""

    def __init__(self, asked: AnsweredRequest) -> None:
        self._name = _tool_name(asked)
        self._begun: set[object] = set()
        """The indices of the choices whose call has begun."""

    def whole(self, answer: JsonFields) -> None:
        """Changes an answer that is no stream."""
        for choice in answer.get("choices") or ():
            message: JsonFields = choice.get("message") or {}
            if arguments := message.get("content"):
                message["content"] = None
                message["tool_calls"] = [self._call(arguments)]
                _end(choice)

    def chunk(self, chunk: JsonFields) -> None:
        """Changes a chunk of a stream."""
        for choice in chunk.get("choices") or ():
            delta: JsonFields = choice.get("delta") or {}
            if arguments := delta.get("content"):
                del delta["content"]
                delta["tool_calls"] = [self._part(choice.get("index"), arguments)]
            if choice.get("index") in self._begun:
                _end(choice)

    def _part(self, index: object, arguments: str) -> JsonFields:
        if index in self._begun:
            return {"index": 0, "function": {"arguments": arguments}}
        self._begun.add(index)
        return {"index": 0, **self._call(arguments)}

    def _call(self, arguments: str) -> JsonFields:
        function = {"name": self._name, "arguments": arguments}
        return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def _end(choice: JsonFields) -> None:
    """An answer that was cut off has the reason of one, as the arguments are not whole then."""
    if choice.get("finish_reason") == "stop":
        choice["finish_reason"] = "tool_calls"


FORCED_TOOL = Repair(
    "forced-tool",
    engines=frozenset({Backend.LLAMACPP}),
    paths=frozenset({CHAT_COMPLETIONS}),
    field="tool_choice",
    kind=RepairKind.REPAIRED,
    says=(
        "If one certain tool must be called, the answer is its call and nothing before it. It is asked for as an answer"
        " that follows the schema of the tool's parameters."
    ),
    sign=RequestSign(frozenset({"tool_choice"}), concerns=_forces_one_tool),
    request=_ask_for_arguments,
    whole=lambda asked: WholeAnswerRewriter(_CallMaker(asked).whole),
    stream=lambda asked: EventRewriter(_CallMaker(asked).chunk),
)
