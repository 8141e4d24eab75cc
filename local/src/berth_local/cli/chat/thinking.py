"""Whether a model is to think before it answers, as the fields of a request say it: pure."""

from typing import Any


def thinks(fields: dict[str, Any]) -> bool | None:
    """What `thinking` has put into the fields."""
    stated: dict[str, Any] = fields.get("chat_template_kwargs") or {}
    return stated.get("enable_thinking")


def thinking(on: bool | None) -> dict[str, Any]:
    """The fields that have a model think or not: templates read either name, and ignore the other."""
    return {} if on is None else {"chat_template_kwargs": {"enable_thinking": on, "thinking": on}}
