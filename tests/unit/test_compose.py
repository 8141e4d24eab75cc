"""compose.yaml: what it builds and opens."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["berth"]


def test_it_builds_a_target_that_there_is() -> None:
    build = SERVICE["build"]
    assert re.search(rf"^FROM \S+ AS {build['target']}$", (ROOT / build["dockerfile"]).read_text(), re.MULTILINE)


def test_only_this_machine_reaches_it() -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICE["ports"])
