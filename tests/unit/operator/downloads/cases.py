"""The form of the downloads' tables: one state of the world, and what must follow."""

from dataclasses import dataclass, field
from typing import Any

from berth_api.model_download import ModelDownload
from berth_cluster.cluster import Object
from berth_operator.downloads.plan import ObservedDownload, make_plan
from berth_operator.downloads.reported_progress import ReportedProgress
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import NOW, at
from tests.unit.operator.downloads.building import SETTINGS, actions, download, wake_in

BEGUN: dict[str, Any] = {"jobName": "smol-aaaaaaaa", "startedAt": at(-50)}
"""Of the status of a download that has begun."""


@dataclass
class Case:
    """One state of the world, and what must follow."""

    name: str
    actions: list[str]
    phase: str | None
    reason: str | None
    download: ModelDownload = field(default_factory=download)
    jobs: list[Object] = field(default_factory=list[Object])
    pods: list[Object] = field(default_factory=list[Object])
    progress: ReportedProgress | None = None
    others: list[ModelDownload] = field(default_factory=list[ModelDownload])
    message: str = ""
    stalled: bool = False
    wake_in: float | None = None
    settings: OperatorSettings = field(default_factory=lambda: SETTINGS)

    def check(self) -> None:
        plan = make_plan(
            ObservedDownload(self.download, self.jobs, self.pods, self.progress, [self.download, *self.others]),
            self.settings,
            NOW,
        )
        assert actions(plan.actions) == self.actions
        assert (plan.status.phase, plan.status.reason) == (self.phase, self.reason)
        assert self.message in (plan.status.message or "")
        assert wake_in(plan) == self.wake_in
        if plan.status.conditions:
            conditions = {condition.type: condition.status for condition in plan.status.conditions}
            succeeded = self.phase == "Succeeded"
            assert conditions == {
                "Ready": str(succeeded),
                "Reconciling": str(not succeeded and not self.stalled),
                "Stalled": str(self.stalled),
            }
