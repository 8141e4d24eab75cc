"""One class, one name: a reader who meets a class's name anywhere in the workspace knows which one it is."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLASS = re.compile(r"^ *class (\w+)[(:\[]", re.MULTILINE)

DEFINED_TWICE: dict[str, str] = {}
"""Names that several classes have on purpose, each with the reason. There are none."""


def definitions() -> dict[str, list[str]]:
    """Where each class of the packages is defined, private and inner ones too."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(ROOT.glob("*/src/**/*.py")):
        for name in CLASS.findall(file.read_text()):
            found[name].append(str(file.relative_to(ROOT)))
    return found


def test_no_two_classes_have_one_name() -> None:
    found = definitions()
    assert len(found) > 300, "the packages are not read"
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert {name: places for name, places in twice.items() if name not in DEFINED_TWICE} == {}


def test_every_exception_is_needed() -> None:
    found = definitions()
    assert [name for name in DEFINED_TWICE if len(found.get(name, [])) < 2] == [], "take these out of DEFINED_TWICE"
