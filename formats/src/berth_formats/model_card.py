"""The licence that a model's card states: the README.md of its repository, which begins with a block of YAML."""

import re
from pathlib import Path

CARD = "README.md"

_MOST_BYTES = 16 * 1024
_BLOCK = re.compile(r"\A---\s*\n(?P<fields>.*?)\n---", re.DOTALL)
_FIELD = r"^{name}:[ \t]*['\"]?(?P<value>[^'\"\s#][^'\"\n#]*)"
_NO_NAME = "other"
"""What a card states whose licence has a name of its own."""


def licence_of(card: Path) -> str | None:
    """Such as `apache-2.0`. None: there is no card, or it states none."""
    try:
        with card.open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return None
    block = _BLOCK.match(text.replace("\r\n", "\n"))
    if not block:
        return None
    stated = _field(block["fields"], "license")
    return (_field(block["fields"], "license_name") or stated) if stated == _NO_NAME else stated


def _field(fields: str, name: str) -> str | None:
    found = re.search(_FIELD.format(name=name), fields, re.MULTILINE)
    return found["value"].strip() if found else None
