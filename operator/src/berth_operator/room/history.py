"""How often each model was asked and how long it took to start, as far as this operator has seen it."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from berth_api.room.asks import Asks, asked
from berth_operator.room.standing import StandingDeployment

_MOST_MODELS = 10_000
"""A deployment's name follows from its configuration, so that its history goes on when it is made again."""

_STARTS = 5
"""The median is that of so many starts."""


@dataclass(slots=True)
class History:
    """What is known of one deployment's past."""

    asks: Asks | None = None
    starts: list[float] = field(default_factory=list[float])

    @property
    def start_seconds(self) -> float | None:
        """The median of the last starts, in seconds; None before the first."""
        return median(self.starts) if self.starts else None


class Histories:
    """The past of the deployments that were seen last."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, History] = OrderedDict()

    def of(self, name: str) -> History:
        """The history of the deployment of this name."""
        return self._of.get(name) or History()

    def see(self, before: StandingDeployment | None, now: StandingDeployment, moment: datetime) -> None:
        """Takes in what has changed of a deployment: a use, or a start that is done."""
        used = before is not None and before.uid == now.uid and now.last_used > before.last_used
        first = now.serves and (before is None or not before.serves)
        if not used and not first:
            return
        history = self._of.setdefault(now.name, History())
        self._of.move_to_end(now.name)
        history.asks = asked(history.asks, moment)
        if first and now.start_seconds is not None:
            history.starts = [*history.starts, now.start_seconds][-_STARTS:]
        if len(self._of) > _MOST_MODELS:
            self._of.popitem(last=False)
