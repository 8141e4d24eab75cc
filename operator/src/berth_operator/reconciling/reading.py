"""Reads resources from the cluster: one that this version cannot understand does not stop the others."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from berth_api.conditions import ConditionType
from berth_api.schema import format_timestamp
from berth_cluster.cluster import Object
from berth_operator.objects.parts import condition, status_of

_log = structlog.get_logger(__name__)

T = TypeVar("T")

NOT_UNDERSTOOD = "NotUnderstood"
"""Reason of the conditions of an object that cannot be understood."""

_PARSE_ERRORS = (ValueError, KeyError, TypeError, AttributeError)
"""What parsing an object of another form raises."""


class Unreadable(str):
    """Why an object cannot be understood, in words for people."""

    __slots__ = ()


class ObjectReader(Generic[T]):
    """Reads objects of one kind. It logs each one that cannot be understood once, and again when its fault changes."""

    def __init__(self, what: str, parse: Callable[[Object], T]) -> None:
        self._what = what
        self._parse = parse
        self._logged: dict[str, str] = {}

    def read_all(self, items: Iterable[Object]) -> list[T]:
        """Of all objects that there are, those that can be understood."""
        items = list(items)
        present = {item["metadata"]["name"] for item in items}
        self._logged = {name: words for name, words in self._logged.items() if name in present}
        read = [self.read(item) for item in items]
        return [each for each in read if not isinstance(each, Unreadable)]

    def forget(self, name: str) -> None:
        """The object of this name is gone."""
        self._logged.pop(name, None)

    def read(self, item: Object) -> T | Unreadable:
        """The object, or why it cannot be understood."""
        name: str = item["metadata"]["name"]
        try:
            return self._parse(item)
        except _PARSE_ERRORS as error:
            words = _fault(error)
        if self._logged.get(name) != words:
            self._logged[name] = words
            _log.error("not_understood", what=self._what, name=name, error=words)
        return Unreadable(words)


def unreadable_status(item: Object, why: Unreadable, fields: Object, now: datetime) -> Object:
    """What to write into the status of an object that cannot be understood; empty where that is written already.

    `fields`: what a status of its kind has besides conditions. The other fields stay as they are: a version that
    understands the object goes on from there.
    """
    message = f"this version of Berth cannot read the object ({why}): make it again, or use the version that wrote it"
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": NOT_UNDERSTOOD,
            "message": message,
            "lastTransitionTime": _since(item, kind, status) or format_timestamp(now),
        }
        for kind, status in (
            (ConditionType.READY, "False"),
            (ConditionType.RECONCILING, "False"),
            (ConditionType.STALLED, "True"),
        )
    ]
    wanted = {**fields, "observedGeneration": item["metadata"].get("generation", 1), "conditions": conditions}
    return {key: value for key, value in wanted.items() if status_of(item).get(key) != value}


def _since(item: Object, kind: str, status: str) -> str | None:
    """Since when the stored condition has had this status; None where it has another one."""
    found = condition(item, kind)
    return found.get("lastTransitionTime") if found and found["status"] == status else None


def _fault(error: Exception) -> str:
    """The error in words for people: fields and what is wrong with each."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return f"{type(error).__name__}: {error}"
