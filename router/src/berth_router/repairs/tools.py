"""Rows about tools: which a model may call, and which it must.

llama.cpp takes an object as `tool_choice` for auto, and knows no `allowed_tools`.
"""

from typing import Any, cast

from berth_api.inference import CHAT_COMPLETIONS, MESSAGES
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError, wrong_value
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign

_CHAT, _ANTHROPIC = frozenset({CHAT_COMPLETIONS}), frozenset({MESSAGES})


def _has_wrong_chat_tool(body: JsonFields) -> bool:
    """Whether `_check_chat_tools` finds something. Agents send many tools with each request, and they are right."""
    tools = body["tools"]
    try:
        return type(tools) is not list or not all(
            tool["type"] == "function"
            and tool["function"]["name"].strip()
            and type(tool["function"].get("parameters", {})) is dict
            for tool in cast("list[Any]", tools)
        )
    except (TypeError, KeyError, AttributeError):
        return True


def _has_wrong_anthropic_tool(body: JsonFields) -> bool:
    """Whether `_check_anthropic_tools` may find something."""
    tools = body["tools"]
    try:
        return type(tools) is not list or not all(
            tool["name"].strip() and type(tool["input_schema"]) is dict and "type" not in tool
            for tool in cast("list[Any]", tools)
        )
    except (TypeError, KeyError, AttributeError):
        return True


def _check_chat_tools(body: JsonFields) -> None:
    for at, tool in enumerate(_tools(body)):
        field = f"tools[{at}]"
        fields = _object(tool, field)
        if fields.get("type") != "function":
            raise wrong_value(f"{field}.type", 'must be "function": no engine has tools of its own', fields.get("type"))
        function = _object(fields.get("function"), f"{field}.function")
        _check_name(function, f"{field}.function.name")
        if function.get("parameters") is not None:
            _object(function["parameters"], f"{field}.function.parameters")


def _check_anthropic_tools(body: JsonFields) -> None:
    for at, tool in enumerate(_tools(body)):
        field = f"tools[{at}]"
        fields = _object(tool, field)
        if fields.get("type") not in (None, "custom"):
            raise wrong_value(f"{field}.type", 'must be "custom": no engine has tools of its own', fields.get("type"))
        _check_name(fields, f"{field}.name")
        _object(fields.get("input_schema"), f"{field}.input_schema")


def _tools(body: JsonFields) -> list[Any]:
    tools = body["tools"]
    if not isinstance(tools, list):
        raise wrong_value("tools", "must be a list", tools)
    return cast("list[Any]", tools)


def _object(value: object, field: str) -> JsonFields:
    if not isinstance(value, dict):
        raise wrong_value(field, "must be an object", value)
    return cast("JsonFields", value)


def _check_name(fields: JsonFields, field: str) -> None:
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise wrong_value(field, "must be the tool's name", name)


# -- tool_choice

_ALLOWED_MODES = ("auto", "required")


def _names_tool(body: JsonFields) -> bool:
    return _kind_of_choice(body) == "function"


def _allows_tools(body: JsonFields) -> bool:
    return _kind_of_choice(body) == "allowed_tools"


def _forces_tool(body: JsonFields) -> bool:
    return body.get("tool_choice") == "required" or _names_tool(body)


def _kind_of_choice(body: JsonFields) -> object:
    choice = body.get("tool_choice")
    return cast("JsonFields", choice).get("type") if isinstance(choice, dict) else None


def _wants_tool(body: JsonFields) -> bool:
    """Whether a tool must be called, or some are singled out."""
    return body["tool_choice"] == "required" or _kind_of_choice(body) in ("function", "allowed_tools", "tool", "any")


def _must_call(body: JsonFields) -> bool:
    """Whether a tool must be called, and there are some."""
    return bool(body.get("tools")) and _wants_tool(body)


def _refuse_without_template(_: JsonFields) -> None:
    raise InvalidRequestError(
        "`tool_choice` wants a tool to be called, and this model's chat template does not tell it of tools: ask a model"
        " that has them (`tools` in GET /v1/models/inventory), or leave the choice to the model.",
        param="tool_choice",
        code="unsupported_value",
    )


def _is_unknown_choice(body: JsonFields) -> bool:
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return not (_names_tool(body) or _allows_tools(body))
    return choice not in ("auto", "none", "required")


def _refuse_choice(body: JsonFields) -> None:
    raise wrong_value(
        "tool_choice",
        'must be "auto", "none", "required", or an object of the type "function" or "allowed_tools"',
        body.get("tool_choice"),
    )


def _refuse_choice_without_tools(_: JsonFields) -> None:
    raise InvalidRequestError(
        "`tool_choice` wants a tool to be called, and `tools` has none.", param="tool_choice", code="invalid_value"
    )


def _check_named_tool(body: JsonFields) -> None:
    _chat_tool(body["tools"], _named(body["tool_choice"], "tool_choice"), "tool_choice")


def _keep_named_tool(body: JsonFields) -> None:
    choice = body["tool_choice"]
    body["tools"] = [_chat_tool(body["tools"], _named(choice, "tool_choice"), "tool_choice")]
    body["tool_choice"] = "required"


def _keep_allowed_tools(body: JsonFields) -> None:
    field = "tool_choice.allowed_tools"
    allowed = _object(body["tool_choice"].get("allowed_tools"), field)
    mode = allowed.get("mode")
    if mode not in _ALLOWED_MODES:
        raise wrong_value(f"{field}.mode", 'must be "auto" or "required"', mode)
    tools = cast("list[Any]", allowed["tools"]) if isinstance(allowed.get("tools"), list) else []
    if not tools:
        raise wrong_value(f"{field}.tools", "must be a list of at least one tool", allowed.get("tools"))
    names = [_named(tool, f"{field}.tools[{at}]") for at, tool in enumerate(tools)]
    body["tools"] = [_chat_tool(body["tools"], name, f"{field}.tools") for name in dict.fromkeys(names)]
    body["tool_choice"] = mode


def _named(choice: object, field: str) -> str:
    """The name in `{"type": "function", "function": {"name": NAME}}`."""
    function = _object(_object(choice, field).get("function"), f"{field}.function")
    _check_name(function, f"{field}.function.name")
    return function["name"]


def _chat_tool(tools: list[JsonFields], name: str, field: str) -> JsonFields:
    return _found([tool for tool in tools if tool["function"]["name"] == name], name, field)


def _found(tools: list[JsonFields], name: str, field: str) -> JsonFields:
    if not tools:
        raise InvalidRequestError(
            f"`{field}` names the tool {name[:100]!r}, which `tools` does not have.", param=field, code="invalid_value"
        )
    return tools[0]


def _anthropic_names_tool(body: JsonFields) -> bool:
    return _kind_of_choice(body) == "tool"


def _anthropic_tool(body: JsonFields) -> JsonFields:
    choice = _object(body["tool_choice"], "tool_choice")
    _check_name(choice, "tool_choice.name")
    name = choice["name"]
    return _found([tool for tool in body["tools"] if tool["name"] == name], name, "tool_choice.name")


def _check_anthropic_named_tool(body: JsonFields) -> None:
    _anthropic_tool(body)


def _keep_anthropic_named_tool(body: JsonFields) -> None:
    tool = _anthropic_tool(body)
    choice = {name: value for name, value in body["tool_choice"].items() if name != "name"}
    body["tools"], body["tool_choice"] = [tool], {**choice, "type": "any"}


def _refuse_forced_tool(_: JsonFields) -> None:
    raise InvalidRequestError(
        "`tool_choice` can only be auto or none with backend transformers, which calls no tool for certain.",
        param="tool_choice",
        code="unsupported_value",
    )


def _make_strict(body: JsonFields) -> None:
    for tool in cast("list[JsonFields]", body["tools"]):
        tool.get("function", tool).setdefault("strict", True)


def _leave_out_tools(body: JsonFields) -> None:
    body.pop("tools", None)


_TOOLS = frozenset({"tools"})
_CHOICE = frozenset({"tool_choice"})

TOOL_REPAIRS = (
    Repair(
        "chat-tools",
        engines=EVERY_ENGINE,
        paths=_CHAT,
        field="tools",
        kind=RepairKind.REFUSED,
        says="A tool that is not of the type `function`, or has no name, or `parameters` that are no object.",
        sign=RequestSign(_TOOLS, concerns=_has_wrong_chat_tool),
        request=_check_chat_tools,
    ),
    Repair(
        "anthropic-tools",
        engines=EVERY_ENGINE,
        paths=_ANTHROPIC,
        field="tools",
        kind=RepairKind.REFUSED,
        says="A tool without a name or an `input_schema`, and the tools of Anthropic's own servers.",
        sign=RequestSign(_TOOLS, concerns=_has_wrong_anthropic_tool),
        request=_check_anthropic_tools,
    ),
    Repair(
        "tool-choice",
        engines=EVERY_ENGINE,
        paths=_CHAT,
        field="tool_choice",
        kind=RepairKind.REFUSED,
        says="What is no choice of OpenAI's API.",
        sign=RequestSign(_CHOICE, concerns=_is_unknown_choice),
        request=_refuse_choice,
    ),
    Repair(
        "choice-without-tools",
        engines=EVERY_ENGINE,
        paths=_CHAT | _ANTHROPIC,
        field="tool_choice",
        kind=RepairKind.REFUSED,
        says="A choice that wants a tool to be called, without `tools`.",
        sign=RequestSign(_CHOICE, concerns=lambda body: not body.get("tools") and _wants_tool(body)),
        request=_refuse_choice_without_tools,
    ),
    Repair(
        "named-tool-missing",
        engines=EVERY_ENGINE,
        paths=_CHAT,
        field="tool_choice",
        kind=RepairKind.REFUSED,
        says="A named tool that is not among `tools`.",
        sign=RequestSign(_CHOICE, concerns=_names_tool),
        request=_check_named_tool,
    ),
    Repair(
        "allowed-tools",
        engines=EVERY_ENGINE,
        paths=_CHAT,
        field="tool_choice",
        kind=RepairKind.MAPPED,
        says="Of `allowed_tools`, the engine gets those tools alone, and the mode as the choice.",
        sign=RequestSign(_CHOICE, concerns=_allows_tools),
        request=_keep_allowed_tools,
    ),
    Repair(
        "no-tools",
        engines=EVERY_ENGINE,
        paths=_CHAT | _ANTHROPIC,
        field="tool_choice",
        kind=RepairKind.REFUSED,
        says="A choice that wants a tool to be called, if the model's chat template does not tell it of tools.",
        model=lambda abilities: not abilities.tools,
        sign=RequestSign(_CHOICE, concerns=_wants_tool),
        request=_refuse_without_template,
    ),
    Repair(
        "forced-tool-ignored",
        engines=frozenset({Backend.TRANSFORMERS}),
        paths=_CHAT,
        field="tool_choice",
        kind=RepairKind.REFUSED,
        says="`required` and a named tool: the engine ignores the choice.",
        sign=RequestSign(_CHOICE, concerns=_forces_tool),
        request=_refuse_forced_tool,
    ),
    Repair(
        "strict-tools",
        engines=frozenset({Backend.VLLM}),
        paths=_CHAT | _ANTHROPIC,
        field="tool_choice",
        kind=RepairKind.REPAIRED,
        says=(
            "If a tool must be called, each tool that does not say `strict` is strict: else the arguments of the call"
            " need not follow the tool's parameters."
        ),
        sign=RequestSign(_CHOICE, concerns=_must_call),
        request=_make_strict,
    ),
    Repair(
        "no-tool-wanted",
        engines=frozenset({Backend.TRANSFORMERS}),
        paths=_CHAT,
        field="tool_choice",
        kind=RepairKind.REPAIRED,
        says="`none`: the engine, which ignores it, does not get the `tools`.",
        sign=RequestSign(_CHOICE, concerns=lambda body: body["tool_choice"] == "none"),
        request=_leave_out_tools,
    ),
    Repair(
        "named-tool",
        engines=frozenset({Backend.LLAMACPP}),
        paths=_CHAT,
        field="tool_choice",
        kind=RepairKind.MAPPED,
        says="For a named tool, the engine gets that tool alone, and `required`.",
        sign=RequestSign(_CHOICE, concerns=_names_tool),
        request=_keep_named_tool,
    ),
    Repair(
        "anthropic-named-tool-missing",
        engines=EVERY_ENGINE,
        paths=_ANTHROPIC,
        field="tool_choice",
        kind=RepairKind.REFUSED,
        says="A named tool that is not among `tools`.",
        sign=RequestSign(_CHOICE, concerns=_anthropic_names_tool),
        request=_check_anthropic_named_tool,
    ),
    Repair(
        "anthropic-named-tool",
        engines=frozenset({Backend.LLAMACPP}),
        paths=_ANTHROPIC,
        field="tool_choice",
        kind=RepairKind.MAPPED,
        says="For a named tool, the engine gets that tool alone, and the choice `any`.",
        sign=RequestSign(_CHOICE, concerns=_anthropic_names_tool),
        request=_keep_anthropic_named_tool,
    ),
)
