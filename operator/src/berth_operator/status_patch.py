"""What to write so that the stored status becomes the planned one: a JSON merge patch, RFC 7396."""

from collections.abc import Iterable
from typing import cast

from berth_api.schema import Schema
from berth_cluster.cluster import Object

_ROUTERS_OWN = "activity"


def status_patch(stored: Schema, planned: Schema, forget: Iterable[str] = ()) -> Object:
    """What to write; empty where nothing changed. Activity is the routers': only entries of `forget` are removed."""
    patch = merge_patch(_operators_own(stored), _operators_own(planned))
    forgotten = dict.fromkeys(forget)
    return {**patch, **({_ROUTERS_OWN: forgotten} if forgotten else {})}


def merge_patch(before: Object, after: Object) -> Object:
    """The smallest merge patch that makes `after` of `before`: a null for what is gone, which a merge would keep."""
    patch: Object = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if key in before and old == value:
            continue
        both_objects = isinstance(old, dict) and isinstance(value, dict)
        patch[key] = merge_patch(cast("Object", old), cast("Object", value)) if both_objects else value
    return patch


def _operators_own(status: Schema) -> Object:
    return {key: value for key, value in status.manifest().items() if key != _ROUTERS_OWN}
