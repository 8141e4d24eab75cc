"""The row that makes llama.cpp call a tool where it must.

With `tool_choice` `required`, its grammar still allows any text before the call, and a small model never comes to it.
An answer that follows a JSON schema begins with it. So the engine is asked for the tool's arguments as a whole answer,
and the client gets them as the call. Where there is a choice of tools, the answer is the name and the arguments.
"""

import secrets
from typing import Any, cast

from berth_api.inference import CHAT_COMPLETIONS
from berth_api.model_deployment import Backend
from berth_router.repairs.chosen_call import ChosenCall, schema_of_choice
from berth_router.repairs.repair import AnsweredRequest, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import EventRewriter, WholeAnswerRewriter

_NO_ARGUMENTS: JsonFields = {"type": "object", "properties": {}, "additionalProperties": False}
"""The schema of a function that states no parameters."""


def _must_call(body: JsonFields) -> bool:
    """Whether a tool must be called. Then there is no text for which a stated form could be."""
    choice = body.get("tool_choice")
    if not isinstance(body.get("tools"), list) or not body["tools"]:
        return False
    return choice == "required" or (isinstance(choice, dict) and cast("JsonFields", choice).get("type") == "function")


def _ask_for_arguments(body: JsonFields) -> None:
    """Asks for the arguments. A named choice has left that tool alone; the template shows the tools to the model."""
    functions = {tool["function"]["name"]: _parameters(tool["function"]) for tool in body["tools"]}
    name, schema = next(iter(functions.items())) if len(functions) == 1 else ("call", schema_of_choice(functions))
    body["tool_choice"] = "auto"
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def _parameters(function: JsonFields) -> JsonFields:
    return function.get("parameters") or _NO_ARGUMENTS


def _only_tool(asked: AnsweredRequest) -> str | None:
    """The tool that must be called; None where there is a choice."""
    choice: Any = asked.body["tool_choice"]
    if isinstance(choice, dict):
        return cast("JsonFields", choice)["function"]["name"]
    names = {tool["function"]["name"] for tool in asked.body["tools"]}
    return next(iter(names)) if len(names) == 1 else None


class _CallMaker:
    """Makes the text of each choice a call of the tool."""

    def __init__(self, asked: AnsweredRequest) -> None:
        self._name = _only_tool(asked)
        self._calls: dict[object, ChosenCall] = {}
        """By the index of the choice."""
        self._begun: set[object] = set()
        """The indices of the choices whose call the client knows of."""

    def whole(self, answer: JsonFields) -> None:
        """Changes an answer that is no stream."""
        for choice in answer.get("choices") or ():
            message: JsonFields = choice.get("message") or {}
            if text := message.get("content"):
                message["content"] = None
                if part := self._part(choice.get("index"), text):
                    del part["index"]
                    message["tool_calls"] = [part]
                _end(choice)

    def chunk(self, chunk: JsonFields) -> bool:
        """Changes a chunk of a stream. Returns whether it stays: not if the client cannot be told of it yet."""
        stays = not chunk.get("choices")
        for choice in chunk.get("choices") or ():
            delta: JsonFields = choice.get("delta") or {}
            index = choice.get("index")
            if text := delta.get("content"):
                del delta["content"]
                if part := self._part(index, text):
                    delta["tool_calls"] = [part]
            if index in self._begun:
                _end(choice)
            stays = stays or bool(delta or choice.get("finish_reason"))
        return stays

    def _part(self, index: object, text: str) -> JsonFields | None:
        """What this text is of the call; None where it says nothing that the client could be told yet."""
        call = self._calls.setdefault(index, ChosenCall(self._name))
        arguments = call.feed(text)
        if call.name is None or (index in self._begun and not arguments):
            return None
        if index in self._begun:
            return {"index": 0, "function": {"arguments": arguments}}
        self._begun.add(index)
        function = {"name": call.name, "arguments": arguments}
        return {"index": 0, "id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


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
        "If a tool must be called, the answer is its call and nothing before it. It is asked for as an answer that"
        " follows the schema of the tool's parameters; of several tools, with the name of one of them before."
    ),
    sign=RequestSign(frozenset({"tool_choice"}), concerns=_must_call),
    request=_ask_for_arguments,
    whole=lambda asked: WholeAnswerRewriter(_CallMaker(asked).whole),
    stream=lambda asked: EventRewriter(_CallMaker(asked).chunk),
)
