"""Whole manifests of the objects that the operator makes."""

from berth_operator.resources.event import make_event
from berth_operator.resources.pod import make_pod

__all__ = ["make_event", "make_pod"]
