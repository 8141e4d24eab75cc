"""One class, one name: a reader who meets a type's name anywhere in the workspace knows which one it is."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("*/src/**/*.py", "benchmarks/**/*.py", "scripts/**/*.py", "charts/**/*.py", "runtime-image/python/*.py")

CALLS_THAT_MAKE_CLASSES = {
    *("Enum", "Flag", "IntEnum", "StrEnum", "NamedTuple", "namedtuple", "NewType", "TypedDict"),
    *("create_model", "make_dataclass", "type"),
}

DEFINED_TWICE: dict[str, str] = {}
"""Names that several types have on purpose, each with the reason. There are none."""


def named_types(tree: ast.Module) -> Iterator[str]:
    """The classes of a module, private and inner ones too, and the types that it gives a name of their own."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=called)):
                if ast.unparse(called).split(".")[-1] in CALLS_THAT_MAKE_CLASSES:
                    yield name
            case ast.Assign(targets=[ast.Name(id=name)]) if node in tree.body and not name.isupper():
                if name.lstrip("_")[:1].isupper():
                    yield name
            case _:
                pass


def definitions() -> dict[str, list[str]]:
    """Where each type of the packages, benchmarks and scripts is defined."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(file for pattern in FILES for file in ROOT.glob(pattern)):
        for name in named_types(ast.parse(file.read_text())):
            found[name].append(str(file.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(
    "text",
    [
        "class Same: ...",
        "def inner():\n  class Same(Base): ...",
        'Same = enum.Enum("Same", "A B")',
        'Same = NamedTuple("Same", [("a", int)])',
        "Same = dict[str, int]",
        "Same = One | Other",
    ],
)
def test_every_way_to_name_a_type_is_seen(text: str) -> None:
    assert list(named_types(ast.parse(text))) == ["Same"]


def test_no_two_types_have_one_name() -> None:
    found = definitions()
    assert len(found) > 300, "the packages are not read"
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert {name: places for name, places in twice.items() if name not in DEFINED_TWICE} == {}


def test_every_exception_is_needed() -> None:
    found = definitions()
    assert [name for name in DEFINED_TWICE if len(found.get(name, [])) < 2] == [], "take these out of DEFINED_TWICE"
