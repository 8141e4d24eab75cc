"""What v1alpha1 promises: what the first CustomResourceDefinitions let in and kept, these let in and keep."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EARLIER = Path(__file__).parent / "earlier"
NAMES = ("modeldeployments.berth.dev", "modeldownloads.berth.dev")
LOWER, UPPER = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")

Schema = dict[str, Any]


def schema(folder: Path, name: str) -> Schema:
    """That of the only version."""
    [version] = yaml.safe_load((folder / f"{name}.yaml").read_text())["spec"]["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    return version["schema"]["openAPIV3Schema"]


def types(of: Schema) -> set[str]:
    """The types of JSON that it lets in."""
    if of.get("x-kubernetes-int-or-string"):
        return {"integer", "string"}
    return {"number", "integer"} if of.get("type") == "number" else {of["type"]} if "type" in of else set()


def broken(before: Schema, after: Schema | None, path: str) -> Iterator[str]:
    """The promises that `after` does not keep of what `before` let in."""
    if after is None:
        yield f"{path}: gone"
        return
    if not types(before) <= types(after):
        yield f"{path}: of another type"
    if not set(before.get("enum", ())) <= set(after.get("enum", before.get("enum", ()))):
        yield f"{path}: a value is gone"
    if "enum" in after and "enum" not in before:
        yield f"{path}: not every value is allowed any more"
    if set(after.get("required", ())) - set(before.get("required", ())):
        yield f"{path}: a field is required that was not"
    if "default" in before and before["default"] != after.get("default"):
        yield f"{path}: another default"
    if "string" in types(before) and after.get("pattern") not in (None, before.get("pattern")):
        yield f"{path}: another pattern"
    if any(limit in after and after[limit] > before.get(limit, float("-inf")) for limit in LOWER):
        yield f"{path}: a higher minimum"
    if any(limit in after and after[limit] < before.get(limit, float("inf")) for limit in UPPER):
        yield f"{path}: a lower maximum"
    for name, inner in before.get("properties", {}).items():
        yield from broken(inner, after.get("properties", {}).get(name), f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(before.get(name), dict):
            yield from broken(before[name], after.get(name), f"{path}[]")


@pytest.mark.parametrize("name", NAMES)
def test_no_field_of_the_first_schema_is_gone_or_narrower(name: str) -> None:
    assert list(broken(schema(EARLIER, name), schema(ROOT / "crds", name), name.partition(".")[0])) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object"}, "x.a: gone"),
        ({"type": "integer"}, {"type": "string"}, "x: of another type"),
        ({"type": "string", "enum": ["a", "b"]}, {"type": "string", "enum": ["a"]}, "x: a value is gone"),
        ({"type": "integer", "default": 1}, {"type": "integer", "default": 2}, "x: another default"),
        ({"type": "integer"}, {"type": "integer", "minimum": 0}, "x: a higher minimum"),
        ({"type": "string", "maxLength": 9}, {"type": "string", "maxLength": 8}, "x: a lower maximum"),
        ({"type": "object"}, {"type": "object", "required": ["a"]}, "x: a field is required that was not"),
    ],
)
def test_a_broken_promise_is_seen(before: Schema, after: Schema, said: str) -> None:
    assert list(broken(before, after, "x")) == [said]


def test_what_is_wider_breaks_no_promise() -> None:
    before: Schema = {"type": "integer", "minimum": 1, "maximum": 9}
    after: Schema = {"x-kubernetes-int-or-string": True, "minimum": 0, "maximum": 99}
    assert list(broken(before, after, "x")) == []
