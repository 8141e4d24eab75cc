"""The pages: the tests that they name exist, and the API's page has every field."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from berth_router.app import Router
from berth_router.settings import RouterSettings
from tests.unit.memory_cluster import MemoryCluster

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
API = (ROOT / "docs/reference/api.md").read_text()
NAMED = re.compile(r"\btests/[\w/-]*(?:\.\w+)?(?:::\w+)?")
"""A file of the tests, a folder of theirs, or a test."""

Schema = dict[str, Any]


@cache
def functions_of(file: Path) -> set[str]:
    """Names of a file's test functions."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def exists(named: str) -> bool:
    """Whether there is such a file, folder or test."""
    path, _, function = named.partition("::")
    return (ROOT / path).exists() and (not function or function in functions_of(ROOT / path))


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = [each for each in NAMED.findall(page.read_text()) if "NAME" not in each]
    assert [each for each in named if not exists(each)] == []


@pytest.mark.parametrize(
    "named", ["tests/unit/nothing.py", "tests/nothing/", f"tests/unit/{Path(__file__).name}::test_nothing"]
)
def test_a_test_that_there_is_not_would_be_seen(named: str) -> None:
    assert NAMED.fullmatch(named)
    assert not exists(named)


def test_the_apis_page_has_every_field_of_the_management_endpoints(tmp_path: Path) -> None:
    schema = Router(MemoryCluster(), RouterSettings.model_validate({"model_store": str(tmp_path)})).openapi()
    missing: list[str] = []
    for path, methods in schema["paths"].items():
        if not path.startswith("/v1/models"):
            continue
        for method, operation in methods.items():
            title = f"### `{method.upper()} {path}`\n"
            assert title in API
            section = API.partition(title)[2].partition("\n#")[0]
            fields = [*_fields(_body(operation["responses"]["200"]), schema)]
            fields += [f"{name}` (request" for name in _fields(_body(operation.get("requestBody", {})), schema)]
            missing += [f"{path}: {name}" for name in fields if f"| `{name}" not in section]
    assert missing == []


def _body(described: Schema) -> Schema:
    return described.get("content", {}).get("application/json", {}).get("schema", {})


def _fields(part: Schema, schema: Schema, prefix: str = "") -> Iterator[str]:
    """Paths of the fields that hold no others, such as data[].id."""
    if reference := part.get("$ref"):
        part = schema["components"]["schemas"][reference.rpartition("/")[2]]
    if part.get("type") == "array":
        inner = list(_fields(part["items"], schema, f"{prefix}[]."))
        yield from inner or [prefix]
    elif "properties" in part:
        for name, value in part["properties"].items():
            joined = f"{prefix}{name}"
            yield from list(_fields(value, schema, joined if value.get("type") == "array" else f"{joined}.")) or [
                joined
            ]
