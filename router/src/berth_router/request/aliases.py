"""Other names for models, which an administrator sets: `gpt-4o-mini`, or a pattern such as `claude-*`. Pure.

An alias wins over a model of the store with the same name; a whole path, `/models/NAME`, is always the model itself.
"""

import re
from collections.abc import Iterable, Mapping

ALIAS_PATTERN = r"^[A-Za-z0-9._+=@:*-][A-Za-z0-9._+=@:/*-]{0,511}$"
"""More than a model's name can have: what clients of other servers call models has tags, versions and patterns."""

_LATEST = ":latest"
_IS_ALIAS = re.compile(ALIAS_PATTERN)


def is_alias(text: str) -> bool:
    """Whether an alias can be called so."""
    return _IS_ALIAS.match(text) is not None and not text.endswith("\n")


class Aliases:
    """The aliases of an installation. `targets`: the model of each, as a request names it, by alias or pattern."""

    def __init__(self, targets: Mapping[str, str], default: str | None = None) -> None:
        self._exact = {_plain(alias): target for alias, target in targets.items() if "*" not in alias}
        patterns = [(_plain(alias).split("*"), target) for alias, target in targets.items() if "*" in alias]
        # A chart loses the order in which they were written. So the one that says most comes first.
        self._patterns = sorted(patterns, key=lambda each: (-sum(map(len, each[0])), each[0]))
        self._names = tuple((alias, target) for alias, target in sorted(targets.items()) if "*" not in alias)
        self.default = default
        """The model for names that no model has. None: those are refused."""

    def target(self, name: str) -> str | None:
        """The model that the name stands for. None: it is no alias."""
        if name.startswith("/") or not (self._exact or self._patterns):
            return None
        name = _plain(name)
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        return next((target for parts, target in self._patterns if _matches(parts, name)), None)

    def names(self) -> Iterable[tuple[str, str]]:
        """Each alias that is a name and no pattern, and its model."""
        return self._names


NO_ALIASES = Aliases({})


def _plain(name: str) -> str:
    """The name as it is compared. A request by Ollama's API comes with `-` for the colon before a tag."""
    without_latest = name[: -len(_LATEST)] if name.lower().endswith(_LATEST) else name
    return without_latest.replace(":", "-")


def _matches(parts: list[str], name: str) -> bool:
    """Whether the name is made of the parts, in this order, with anything between."""
    first, *middle, last = parts
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    place, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
