"""Reads what the cluster has: one object that cannot be understood must not stop the others."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from berth_api.conditions import ConditionType
from berth_api.schema import format_timestamp
from berth_cluster.cluster import Object
from berth_operator.deployments.parts import condition, status_of

_log = structlog.get_logger(__name__)

T = TypeVar("T")

REASON = "NotUnderstood"
"""Of the conditions of an object that cannot be understood."""

NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, AttributeError)
"""What comes of an object that has not the form that is expected."""


class Reader(Generic[T]):
    """Reads objects of one kind, and tells in the log of those that cannot be understood: once, until they change."""

    def __init__(self, what: str, parse: Callable[[Object], T]) -> None:
        self._what = what
        self._parse = parse
        self._told: dict[str, str] = {}

    def read_all(self, items: Iterable[Object]) -> list[T]:
        """Those that can be understood, of all there are."""
        items = list(items)
        present = {item["metadata"]["name"] for item in items}
        self._told = {name: words for name, words in self._told.items() if name in present}
        read = [self.read(item) for item in items]
        return [each for each in read if not isinstance(each, Unreadable)]

    def forget(self, name: str) -> None:
        """The object of this name is gone."""
        self._told.pop(name, None)

    def read(self, item: Object) -> "T | Unreadable":
        """The object, or why it cannot be understood."""
        name: str = item["metadata"]["name"]
        try:
            return self._parse(item)
        except NOT_UNDERSTOOD as error:
            words = why_not_understood(error)
        if self._told.get(name) != words:
            self._told[name] = words
            _log.error("not_understood", what=self._what, name=name, error=words)
        return Unreadable(words)


def told_as_unreadable(item: Object, why: "Unreadable", told: Object, now: datetime) -> Object:
    """What to write into the status of an object that cannot be understood; empty where it stands there.

    `told`: what a status of its kind says besides its conditions. The rest is left as it is: who understands it goes on
    from there.
    """
    message = f"this version of Berth cannot read the object ({why}): make it again, or use the version that wrote it"
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": REASON,
            "message": message,
            "lastTransitionTime": _since(item, kind, status) or format_timestamp(now),
        }
        for kind, status in (
            (ConditionType.READY, "False"),
            (ConditionType.RECONCILING, "False"),
            (ConditionType.STALLED, "True"),
        )
    ]
    wanted = {**told, "conditions": conditions}
    return {key: value for key, value in wanted.items() if status_of(item).get(key) != value}


def _since(item: Object, kind: str, status: str) -> str | None:
    """Since when a condition has had this status, as it is stored; None where it has another one."""
    found = condition(item, kind)
    return found.get("lastTransitionTime") if found and found["status"] == status else None


class Unreadable(str):
    """Why an object cannot be understood, in words for people."""

    __slots__ = ()


def why_not_understood(error: Exception) -> str:
    """The error in words for people: fields and what is wrong with each."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return f"{type(error).__name__}: {error}"
