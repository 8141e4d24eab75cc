"""Short ways to write the nodes, models and demands of a test."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from berth_api.room.actions import CloseModels, EvictModels, KeepWaiting, RefuseModel, RoomAction, StartModel
from berth_api.room.decide import decide
from berth_api.room.snapshot import (
    Amounts,
    ForeignPod,
    Resident,
    ResidentState,
    RoomDemand,
    RoomNode,
    RoomSettings,
    RoomSnapshot,
)

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
GB = 1_000_000_000
GPU = "nvidia.com/gpu"
IDLE, BUSY, STARTING, LEAVING = ResidentState.IDLE, ResidentState.BUSY, ResidentState.STARTING, ResidentState.LEAVING


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def gpus(count: int) -> Amounts:
    return {GPU: count}


def memory(gigabytes: float) -> Amounts:
    return {"memory": int(gigabytes * GB)}


def resident(
    name: str,
    holds: Amounts,
    state: ResidentState = IDLE,
    *,
    node: str = "one",
    used: float = 60,
    ready: float = 600,
    pinned: bool = False,
    endless: bool = False,
    priority: int = 0,
    start_seconds: float | None = None,
    closed: bool = False,
) -> Resident:
    """A model last used and made ready so many seconds ago."""
    return Resident(
        name,
        node,
        holds,
        state,
        ago(ready),
        ago(used),
        priority,
        pinned,
        endless,
        closed,
        start_seconds,
    )


def demand(name: str, *needs: Amounts, waits: float = 0, priority: int = 0) -> RoomDemand:
    """A model first asked for so many seconds ago."""
    return RoomDemand(name, needs, ago(waits), priority=priority)


def decided(
    nodes: Sequence[RoomNode],
    residents: Sequence[Resident],
    demands: Sequence[RoomDemand],
    settings: RoomSettings | None = None,
    foreign_waiting: Sequence[ForeignPod] = (),
) -> tuple[RoomAction, ...]:
    snapshot = RoomSnapshot(tuple(nodes), tuple(residents), tuple(demands), tuple(foreign_waiting))
    return decide(snapshot, settings or RoomSettings(), NOW)


def brief(actions: Sequence[RoomAction]) -> list[str]:
    """The actions in a few words each: `start new on one`, `evict a, b for new`, `close c for new`, `new waits`."""
    return [_brief(action) for action in actions]


def _brief(action: RoomAction) -> str:
    match action:
        case StartModel(name, shape, node):
            return f"start {name} on {node}" + (f" with shape {shape}" if shape else "")
        case EvictModels(victims, whose):
            return f"evict {', '.join(victims)} for {whose}"
        case CloseModels(names, whose):
            return f"close {', '.join(names)} for {whose}"
        case KeepWaiting(name, place):
            return f"{name} waits" + (f" at place {place}" if place > 1 else "")
        case RefuseModel(name):
            return f"refuse {name}"
        case _:
            return f"withdraw {action.name}"
