"""A marker `covers` on a test names the rows of the API's page that the test covers. Each row has a test.

A row is named by its first cell, without the backticks. Where several sections have such a row, the section goes before
it: `covers("POST /v1/models/unload: message")`.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
[PAGE] = (TESTS.parent / "docs").rglob("api.md")


def rows() -> Iterator[tuple[str, str]]:
    """Section and first cell of each row of the page's tables."""
    section = ""
    lines = PAGE.read_text().splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("#"):
            section = line.lstrip("# ").replace("`", "")
        elif line.startswith("|") and not line.startswith("| ---") and not after.startswith("| ---"):
            yield section, line.split("|")[1].strip().replace("`", "")


def names_of_rows() -> list[str]:
    """What markers call them."""
    found = list(rows())
    times = Counter(cell for _, cell in found)
    return [cell if times[cell] == 1 else f"{section}: {cell}" for section, cell in found]


def covered() -> Iterator[tuple[str, str]]:
    """Each name of a row in a marker, and the test that has it."""
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text()
        if "mark.covers" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _runs(node):
                for name in _covers(node):
                    yield name, f"{file.relative_to(TESTS)}::{node.name}"


def _runs(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is a test that is not skipped in every run."""
    skipped = any(ast.unparse(each).startswith("pytest.mark.skip(") for each in function.decorator_list)
    return function.name.startswith("test_") and not skipped


def _covers(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    markers = [
        each
        for each in function.decorator_list
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.covers"
    ]
    return [ast.literal_eval(argument) for marker in markers for argument in marker.args]


def test_every_row_has_a_name_of_its_own() -> None:
    names = names_of_rows()
    assert len(names) > 200, "the page's tables are not read"
    assert [name for name, times in Counter(names).items() if times > 1] == []


def test_every_row_has_a_test() -> None:
    assert sorted({*names_of_rows()} - {name for name, _ in covered()}) == []


def test_every_marker_names_a_row() -> None:
    names = {*names_of_rows()}
    assert [f"{test}: {name}" for name, test in covered() if name not in names] == []


def test_no_row_names_a_test() -> None:
    assert [line for line in PAGE.read_text().splitlines() if line.startswith("|") and "tests/" in line] == []
