"""The policies that are compared: this one, and those that others have."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from benchmarks.room.world import Deciding, SimulatedModel
from berth_api.room.actions import CloseModels, EvictModels, RoomAction
from berth_api.room.decide import decide
from berth_api.room.snapshot import RoomSettings, RoomSnapshot

_NEVER_YIELDS = timedelta(days=365)


def berth(*, min_residency: float = 0.0) -> Deciding:
    """This policy. `min_residency`: in seconds."""
    settings = RoomSettings(timedelta(seconds=min_residency))
    return lambda snapshot, now: decide(snapshot, settings, now)


def least_recently_used(snapshot: RoomSnapshot, now: datetime) -> Sequence[RoomAction]:
    """Whoever has not been used for longest goes, however long it takes to start and however often it is asked."""
    alike = tuple(replace(each, asks=None, start_seconds=1.0) for each in snapshot.residents)
    settings = RoomSettings(max_residency=_NEVER_YIELDS)
    return decide(replace(snapshot, residents=alike), settings, now)


def never_evict(snapshot: RoomSnapshot, now: datetime) -> Sequence[RoomAction]:
    """Whoever has a device keeps it until its TTL is over: a cluster's scheduler alone."""
    actions = decide(snapshot, RoomSettings(min_residency=_NEVER_YIELDS), now)
    return [action for action in actions if not isinstance(action, EvictModels | CloseModels)]


def rates_known(rates: dict[str, float], models: Sequence[SimulatedModel]) -> Deciding:
    """What no policy can know: how often each model is really asked. Who costs least by that goes."""
    start = {model.name: model.start_seconds for model in models}

    def deciding(snapshot: RoomSnapshot, now: datetime) -> Sequence[RoomAction]:
        told = tuple(
            replace(
                each,
                asks=None,
                last_used=now - timedelta(seconds=1 / rates[each.name]),
                start_seconds=start[each.name],
            )
            for each in snapshot.residents
        )
        return decide(replace(snapshot, residents=told), RoomSettings(), now)

    return deciding
