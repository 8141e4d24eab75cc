"""Whole manifests of the objects that the operator makes."""

from berth_operator.resources.pod import make_pod

__all__ = ["make_pod"]
