"""From pydantic's JSON schema to the structural schema that a CustomResourceDefinition takes.

That is: no references, no titles, `nullable` instead of a union with null.
"""

from typing import Any, cast

from pydantic import BaseModel

_DROPPED = {"title", "additionalProperties"}


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a type with all its parts. Its description is the first paragraph of the type's docstring."""
    schema = model.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.pop("$defs", {})
    result = _clean(schema, definitions)
    result["description"] = _first_paragraph(model)
    return result


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _clean(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """One schema node, with its references inlined and without all that a structural schema refuses."""
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        # A description or default where the type is used overrides the type's own.
        return _clean({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if node.get("x-kubernetes-int-or-string"):
        # The extension implies both types; a structural schema must not repeat them.
        return {key: value for key, value in node.items() if key not in {*_DROPPED, "anyOf"}}
    if "anyOf" in node:
        [option] = [option for option in node["anyOf"] if option.get("type") != "null"]
        rest = {
            key: value for key, value in node.items() if key != "anyOf" and not (key == "default" and value is None)
        }
        return _clean({**option, **rest}, definitions)
    cleaned = {key: value for key, value in node.items() if key not in _DROPPED}
    if node.get("type") == "string" and node.get("format") == "date-time":
        cleaned["maxLength"] = 40
    if "properties" in node:
        cleaned["properties"] = {name: _clean(child, definitions) for name, child in node["properties"].items()}
    if "items" in node:
        cleaned["items"] = _clean(cast("dict[str, Any]", node["items"]), definitions)
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        cleaned["additionalProperties"] = _clean(cast("dict[str, Any]", values), definitions)
    return cleaned
