"""The tools of a request, and which of them the model may or must call.

Chat completions know functions alone. A custom tool takes one text, so it is a function with one argument. A namespace
holds functions: their names get its name in front. The answer has the tools as the client knows them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from berth_router.responses.fields import list_of, object_of, one_of, optional_list, text_of, unsupported, wrong_field

CUSTOM_ARGUMENT = "input"
"""The argument of the function that stands for a custom tool."""

_MODES = ("none", "auto", "required")
_ALLOWED_MODES = ("auto", "required")
_ANY_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


class ToolKind(Enum):
    """What a tool is for the client."""

    FUNCTION = auto()
    CUSTOM = auto()


@dataclass(frozen=True, slots=True)
class ToolName:
    """A tool as the client knows it."""

    kind: ToolKind
    name: str
    namespace: str | None = None


@dataclass(slots=True)
class ToolSet:
    """The tools of a request."""

    functions: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Chat completions' tools, by the names that the model knows."""
    names: dict[str, ToolName] = field(default_factory=dict[str, ToolName])
    """The client's names for these names."""
    shown: list[Any] = field(default_factory=list[Any])
    """The tools as the answer repeats them: those that the model got."""

    def name_of(self, function: str) -> ToolName:
        """The client's tool that a function of the model is; a name that the model made up is a function's."""
        return self.names.get(function) or ToolName(ToolKind.FUNCTION, function)

    def add(self, tool: ToolName, definition: dict[str, Any], at: str) -> None:
        """Adds a tool. Raises InvalidRequestError where there is one of that name."""
        name = function_name(tool.name, tool.namespace)
        if name in self.functions:
            raise wrong_field(f"{at}.name", f"must be another one: there are two tools {name[:100]!r}")
        self.functions[name] = {"type": "function", "function": {"name": name, **definition}}
        self.names[name] = tool


def function_name(name: str, namespace: str | None) -> str:
    """The name of a tool for the model."""
    return f"{namespace.rstrip('_')}__{name}" if namespace else name


def tool_fields(body: Mapping[str, Any]) -> tuple[ToolSet, dict[str, Any]]:
    """The tools, and the fields of chat completions for them. Raises InvalidRequestError."""
    tools = ToolSet()
    for index, each in enumerate(optional_list(body, "tools")):
        _read_tool(object_of(each, f"tools[{index}]"), f"tools[{index}]", tools)
    choice, allowed = _choice(body.get("tool_choice"), tools)
    if not tools.functions:
        return tools, {}
    fields: dict[str, Any] = {"tools": [tools.functions[name] for name in allowed or tools.functions]}
    if choice is not None:
        fields["tool_choice"] = choice
    if body.get("parallel_tool_calls") is not None:
        fields["parallel_tool_calls"] = body["parallel_tool_calls"]
    return tools, fields


def _read_tool(tool: dict[str, Any], at: str, tools: ToolSet) -> None:
    kind = text_of(tool, "type", at)
    read = _READERS.get(kind)
    if read:
        read(tool, at, tools)
    elif kind != "web_search" or tool.get("external_web_access") is None:
        raise unsupported(
            f"{at}.type",
            f"Berth has no tools of its own, so none of type {kind[:100]!r}. It takes function, custom and namespace.",
        )


def _read_function(tool: dict[str, Any], at: str, tools: ToolSet, namespace: str | None = None) -> None:
    name = text_of(tool, "name", at)
    parameters = _ANY_ARGUMENTS if tool.get("parameters") is None else object_of(tool["parameters"], f"{at}.parameters")
    definition: dict[str, Any] = {"parameters": parameters}
    for optional in ("description", "strict"):
        if tool.get(optional) is not None:
            definition[optional] = tool[optional]
    tools.add(ToolName(ToolKind.FUNCTION, name, namespace), definition, at)
    if namespace is None:
        tools.shown.append({"description": None, "parameters": None, "strict": None, **tool})


def _read_custom(tool: dict[str, Any], at: str, tools: ToolSet, namespace: str | None = None) -> None:
    name = text_of(tool, "name", at)
    parameters = {
        "type": "object",
        "properties": {CUSTOM_ARGUMENT: {"type": "string"}},
        "required": [CUSTOM_ARGUMENT],
        "additionalProperties": False,
    }
    tools.add(
        ToolName(ToolKind.CUSTOM, name, namespace),
        {"description": _custom_description(tool, at), "parameters": parameters},
        at,
    )
    if namespace is None:
        tools.shown.append(tool)


def _custom_description(tool: dict[str, Any], at: str) -> str:
    """What the tool does, and the form of its text: engines cannot hold the model to it."""
    description = tool.get("description")
    said = description if isinstance(description, str) else ""
    form = {} if tool.get("format") is None else object_of(tool["format"], f"{at}.format")
    if form.get("type") != "grammar":
        return said
    grammar = text_of(form, "definition", f"{at}.format")
    return f"{said}\n\n`{CUSTOM_ARGUMENT}` must follow this {form.get('syntax')} grammar:\n{grammar}".strip()


def _read_namespace(tool: dict[str, Any], at: str, tools: ToolSet) -> None:
    namespace = text_of(tool, "name", at)
    for index, each in enumerate(list_of(tool.get("tools"), f"{at}.tools")):
        inner, inner_at = object_of(each, f"{at}.tools[{index}]"), f"{at}.tools[{index}]"
        read = _READERS_WITHIN.get(text_of(inner, "type", inner_at))
        if read is None:
            raise wrong_field(f"{inner_at}.type", "must be function or custom")
        read(inner, inner_at, tools, namespace)
    tools.shown.append(tool)


_READERS: Mapping[str, Callable[[dict[str, Any], str, ToolSet], None]] = {
    "function": _read_function,
    "custom": _read_custom,
    "namespace": _read_namespace,
}
_READERS_WITHIN: Mapping[str, Callable[[dict[str, Any], str, ToolSet, str | None], None]] = {
    "function": _read_function,
    "custom": _read_custom,
}


def _choice(choice: object, tools: ToolSet) -> tuple[str | None, list[str] | None]:
    """The mode, and the functions that may be called: None for all. Raises InvalidRequestError.

    A named tool is forced on every engine: it is the only one that the model sees, and it must call one.
    """
    if choice is None:
        return None, None
    if isinstance(choice, str):
        mode = one_of(choice, "tool_choice", _MODES)
        if mode == "required" and not tools.functions:
            raise wrong_field("tool_choice", "is required, but `tools` has no tool that the model can call")
        return mode, None
    fields = object_of(choice, "tool_choice")
    match fields.get("type"):
        case "function" | "custom":
            return "required", [_chosen(fields, "tool_choice", tools)]
        case "allowed_tools":
            mode = one_of(fields.get("mode", "auto"), "tool_choice.mode", _ALLOWED_MODES)
            listed = list_of(fields.get("tools"), "tool_choice.tools")
            if not listed:
                raise wrong_field("tool_choice.tools", "must name a tool")
            at = "tool_choice.tools[{}]"
            return mode, [
                _chosen(object_of(each, at.format(index)), at.format(index), tools) for index, each in enumerate(listed)
            ]
        case _:
            raise wrong_field(
                "tool_choice",
                f"must be {', '.join(_MODES)}, or an object of type function, custom or allowed_tools:"
                " Berth has no tools of its own",
            )


def _chosen(choice: Mapping[str, Any], at: str, tools: ToolSet) -> str:
    """The function that a choice names. Raises InvalidRequestError."""
    name, namespace = text_of(choice, "name", at), choice.get("namespace")
    function = function_name(name, namespace if isinstance(namespace, str) else None)
    if function not in tools.functions:
        raise wrong_field(f"{at}.name", f"must be the name of one of `tools`; got {name[:100]!r}")
    return function
