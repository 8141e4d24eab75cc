"""What became of an engine that broke off: pure."""

from dataclasses import dataclass

from berth_api.conditions import PLANNED_DISRUPTIONS, ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment, Phase


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an engine that broke off."""

    planned: bool
    """Somebody took it away, so that its requests are not to blame."""
    text: str
    """What people are told."""


def fate_between(before: ModelDeployment, now: ModelDeployment | None) -> Fate | None:
    """What became of the engine that `before` had, by what is known now; None where the operator has not said yet."""
    if now is None or now.uid != before.uid or now.deleting:
        return Fate(planned=True, text="It was deleted.")
    failure, known = now.status.last_failure, before.status.last_failure
    if failure and (known is None or failure.at > known.at):
        return Fate(planned=False, text=f"{failure.reason}: {failure.message}")
    ready = condition_of(now.status.conditions, ConditionType.READY)
    if ready and ready.status != "True" and ready.reason in PLANNED_DISRUPTIONS:
        return Fate(planned=True, text=f"{ready.reason}: {ready.message}" if ready.message else ready.reason)
    if now.status.pod_name != before.status.pod_name or now.status.phase is Phase.PENDING:
        return Fate(planned=True, text="Its pod was deleted.")
    return None
