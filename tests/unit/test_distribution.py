"""The wheel that people install: it has every package, and needs what they need."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def project(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text())


WHOLE = project(ROOT / "pyproject.toml")
MEMBERS = [project(ROOT / name / "pyproject.toml") for name in WHOLE["tool"]["uv"]["workspace"]["members"]]


def needed(member: dict[str, Any]) -> list[str]:
    """What a package needs of others, with what its options add."""
    stated = member["project"]
    options = stated.get("optional-dependencies", {}).values()
    every = [*stated.get("dependencies", []), *(one for option in options for one in option)]
    return [one for one in every if not one.startswith("berth-")]


def name_and_release(requirement: str) -> tuple[str, tuple[int, ...]]:
    name, least = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()  # pyright: ignore[reportOptionalMemberAccess]
    return name, tuple(map(int, least.split(".")))


def test_it_needs_what_the_packages_need() -> None:
    wanted: dict[str, tuple[int, ...]] = {}
    for member in MEMBERS:
        for name, least in map(name_and_release, needed(member)):
            wanted[name] = max(least, wanted.get(name, ()))
    assert dict(map(name_and_release, WHOLE["project"]["dependencies"])) == wanted


def test_it_has_every_package_and_one_version() -> None:
    packed = {Path(folder).name for folder in WHOLE["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert packed == {member["tool"]["uv"]["build-backend"]["module-name"] for member in MEMBERS}
    assert {member["project"]["version"] for member in MEMBERS} == {WHOLE["project"]["version"]}
