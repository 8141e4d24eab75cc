"""The smallest JSON merge patch from the stored status to the planned one."""

from collections.abc import Iterable

from berth_api.cluster import Object
from berth_api.schema import Schema


def status_patch(stored: Schema, planned: Schema, forget: Iterable[str] = ()) -> Object:
    """What to write; empty where nothing changed. Activity belongs to the routers: entries of `forget` are removed, others left."""
    before, after = stored.manifest(), planned.manifest()
    patch: Object = {key: after.get(key) for key in before.keys() | after.keys() if key != "activity" and before.get(key) != after.get(key)}
    forgotten = dict.fromkeys(forget)
    return {**patch, **({"activity": forgotten} if forgotten else {})}
