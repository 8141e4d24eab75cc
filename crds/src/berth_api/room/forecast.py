"""What would happen to a model if it were asked for now: one decision, read for people. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from berth_api.room.actions import CloseModels, EvictModels, KeepWaiting, RefuseModel, RoomAction, StartModel


class Outcome(StrEnum):
    """What would happen."""

    RUNS = "runs"
    """Its engine is ready."""
    STARTS = "starts"
    """Its engine starts already."""
    FITS = "fits"
    """There is room for it."""
    EVICTS = "evicts"
    """There would be room after models that are idle now have left."""
    WAITS = "waits"
    """Others have the room, and are busy."""
    NEVER_FITS = "never_fits"
    """No node could ever take it."""
    CANNOT_START = "cannot_start"
    """Something else than room is in the way."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would happen, and why."""

    outcome: Outcome
    message: str
    node: str | None = None
    evicts: tuple[str, ...] = ()
    """The deployments that would leave."""
    place: int | None = None
    """Its place in the queue."""
    estimate_seconds: float | None = None
    """When it would have room, without its own start."""


def read_forecast(name: str, actions: Sequence[RoomAction]) -> Forecast:
    """What these actions mean for the deployment of this name."""
    leaving = [each for each in actions if isinstance(each, EvictModels | CloseModels) and each.demand == name]
    own = next(
        (each for each in actions if isinstance(each, StartModel | KeepWaiting | RefuseModel) and each.name == name),
        None,
    )
    match own:
        case StartModel():
            return Forecast(Outcome.FITS, own.message, own.node)
        case RefuseModel():
            return Forecast(Outcome.NEVER_FITS, own.message, own.nearest_node)
        case KeepWaiting():
            evicts = [each for each in leaving if isinstance(each, EvictModels)]
            victims = tuple(name for each in evicts for name in each.victims)
            return Forecast(
                Outcome.EVICTS if evicts else Outcome.WAITS,
                leaving[0].message if leaving else own.message,
                leaving[0].node if leaving else None,
                victims,
                own.place,
                own.estimate_seconds,
            )
        case None:
            return Forecast(Outcome.FITS, "nothing of what it needs is counted")
