"""What the conditions say of an engine that is not as the spec and the settings want it now: pure."""

from berth_api.conditions import IMAGE_CHANGED, SPEC_CHANGED, Condition, ConditionStatus, ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment
from berth_operator.resources.made_from import Difference

_ABOUT_THE_ENGINE = (ConditionType.READY, ConditionType.POD_SCHEDULED, ConditionType.ENGINE_STARTED)
"""Conditions about the running engine, and so about the spec that it was made from."""

_WILL_BE_REPLACED = (SPEC_CHANGED, IMAGE_CHANGED)


def with_outdated(
    conditions: list[Condition], outdated: Difference | None, deployment: ModelDeployment
) -> list[Condition]:
    """The conditions, and UpToDate. Those about the running engine name the generation that it was made from."""
    if outdated and outdated.generation is not None:
        made_from = {"observed_generation": outdated.generation}
        conditions = [
            each.model_copy(update=made_from) if each.type in _ABOUT_THE_ENGINE else each for each in conditions
        ]
    stalled = condition_of(conditions, ConditionType.STALLED)
    if outdated and outdated.reason not in _WILL_BE_REPLACED:
        if outdated.generation not in (None, deployment.generation):
            conditions = [_never_replaced(each, outdated) for each in conditions]
    elif outdated and not (stalled and stalled.status == "True"):
        conditions = [_being_replaced(each, outdated) for each in conditions]
    return [*conditions, _up_to_date(deployment, outdated)]


def _being_replaced(condition: Condition, outdated: Difference) -> Condition:
    """A change is done when an engine has it: until then its deployment is reconciled."""
    if condition.type != ConditionType.RECONCILING or condition.status == "True":
        return condition
    return condition.model_copy(update={"status": "True", "reason": outdated.reason, "message": _waits(outdated)})


def _never_replaced(condition: Condition, outdated: Difference) -> Condition:
    """No engine can have the present spec: whoever waits for it is told, though an engine of the one before serves."""
    match condition.type:
        case ConditionType.RECONCILING:
            return condition.model_copy(
                update={"status": "False", "reason": "Stalled", "message": "the spec has to be changed"}
            )
        case ConditionType.STALLED:
            return condition.model_copy(update={"status": "True", "reason": outdated.reason, "message": outdated.what})
        case _:
            return condition


def _up_to_date(deployment: ModelDeployment, outdated: Difference | None) -> Condition:
    """Whether the running engine is as the spec and the settings want it now. True where no engine runs."""
    status: ConditionStatus = "False" if outdated else "True"
    return Condition(
        type=ConditionType.UP_TO_DATE,
        status=status,
        reason=outdated.reason if outdated else "UpToDate",
        message=_waits(outdated) if outdated else "nothing runs that was made from anything else",
        observed_generation=deployment.generation,
    )


def _waits(outdated: Difference) -> str:
    if outdated.reason in _WILL_BE_REPLACED:
        return (
            f"since the engine was started this has changed: {outdated.what};"
            " it is applied as soon as no request needs the engine"
        )
    return f"another engine like this one could not be started: {outdated.what}; the one that runs is left as it is"
