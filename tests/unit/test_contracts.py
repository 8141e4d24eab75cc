"""Every package and every room in it has an import contract, so that a new room cannot be forgotten."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def rooms() -> set[str]:
    """The packages of the workspace, and all packages within them."""
    inits = (file.relative_to(ROOT) for file in ROOT.glob("*/src/**/__init__.py"))
    return {".".join(file.parts[2:-1]) for file in inits}


def test_the_linter_reads_every_package() -> None:
    assert {room for room in rooms() if "." not in room} == {*LINTER["root_packages"]}


def test_every_room_has_a_contract_about_its_modules() -> None:
    contracts = LINTER["contracts"]
    ordered = {room for each in contracts for room in [*each.get("containers", ()), *each.get("ancestors", ())]}
    assert rooms() - ordered == set()
