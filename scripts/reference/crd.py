"""docs/reference/crd.md, from the types in crds/src/berth_api."""

from collections.abc import Iterator
from typing import Any

from berth_api.crd import custom_resource_definitions
from reference.markdown import JsonSchema, allowed, entry, literal, page, paragraph


def crd_page() -> str:
    """The page: of each resource its fields, its columns in kubectl, and its rules."""
    intro = paragraph(
        "Every field of Berth's two resources. `kubectl explain md.spec` and `kubectl explain mdl.spec` print the same "
        "from a cluster. The operator and the routers write `status`; you write `spec`."
    )
    resources = [part for crd in custom_resource_definitions() for part in _resource(crd["spec"])]
    return page("Custom resources", "the types in crds/src/berth_api", intro, *resources)


def _resource(spec: dict[str, Any]) -> Iterator[str]:
    version = spec["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    names = spec["names"]
    yield f"## {names['kind']}"
    yield paragraph(
        f"{schema['description']} `apiVersion: {spec['group']}/{version['name']}`, namespaced; kubectl's short name is "
        f"`{names['shortNames'][0]}`."
    )
    for part in ("spec", "status"):
        block = schema["properties"][part]
        yield f"### {names['kind']}: {part}"
        yield paragraph(block["description"])
        yield "\n".join(_fields(block))
    yield f"### {names['kind']}: what the API server refuses"
    rules = schema.get("x-kubernetes-validations", []) + schema["properties"]["spec"]["x-kubernetes-validations"]
    yield "\n".join(f"- {rule['message']}" for rule in rules)
    yield f"### {names['kind']}: columns of kubectl get"
    yield "\n".join(_column(column) for column in version["additionalPrinterColumns"])


def _fields(block: JsonSchema, depth: int = 0) -> Iterator[str]:
    required = block.get("required", [])
    for name, field in block.get("properties", {}).items():
        facts = [allowed(field) or "object"]
        if name in required:
            facts.append("required")
        if "default" in field and not field.get("properties"):
            facts.append(f"default {literal(field['default'])}")
        yield entry(name, facts, field.get("description", ""), depth)
        inner: JsonSchema = field.get("items") or field.get("additionalProperties") or field
        yield from _fields(inner, depth + 1)


def _column(column: dict[str, Any]) -> str:
    facts = ["with `--output wide`"] if column.get("priority") else []
    return entry(column["name"].upper(), facts, column.get("description", "Time since it was made."))
