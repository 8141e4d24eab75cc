"""What those conclude who wait for a resource: `helm --wait` and Flux by kstatus, Argo CD by the page's script."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from lupa import lua51

from berth_api.conditions import ConditionType, condition_of
from berth_api.crd.definition import custom_resource_definition
from berth_api.crd.model_deployment import MODEL_DEPLOYMENT
from berth_api.crd.model_download import MODEL_DOWNLOAD
from berth_api.model_download import DownloadPhase
from tests.unit.operator import test_idle, test_plan, test_replacing, test_serving
from tests.unit.operator.building import answering, deployment, loaded, running_pod
from tests.unit.operator.cases import Case, plan_for
from tests.unit.operator.kstatus import kstatus

PAGE = Path(__file__).parents[3] / "docs/how-to/gitops.md"
BY_PHASE = {
    "Pending": "InProgress",
    "Starting": "InProgress",
    "Ready": "Current",
    "Unresponsive": "InProgress",
    "Sleeping": "Current",
    "Stalled": "Failed",
}
OF_ARGO = {"Current": "Healthy", "InProgress": "Progressing", "Failed": "Degraded"}
"""Argo CD's words for the same. What sleeps is not Suspended: it answers when it is asked."""

CASES = [
    case
    for module in (test_idle, test_plan, test_replacing, test_serving)
    for case in module.CASES
    if "delete deployment" not in case.actions and not case.deployment.deleting
]


def item(case: Case) -> dict[str, Any]:
    """The resource as it is after the operator's round."""
    status = case.plan().status.manifest()
    return {"kind": "ModelDeployment", "metadata": {"generation": case.deployment.generation}, "status": status}


def expected(case: Case) -> str:
    """What its phase means. An engine that another one will replace, or that makes room, is not what comes to stay."""
    status = case.plan().status
    up_to_date = condition_of(status.conditions, ConditionType.UP_TO_DATE)
    waits = up_to_date and up_to_date.reason in ("SpecChanged", "ImageChanged")
    if up_to_date and up_to_date.reason == "PodSettingsNotAllowed":
        return "Failed"
    if status.phase == "Sleeping" and status.last_failure:
        return "Failed"
    makes_room = status.eviction and status.eviction.closed_until
    assert status.phase
    return "InProgress" if status.phase == "Ready" and (waits or makes_room) else BY_PHASE[status.phase]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_state_is_what_kstatus_takes_it_for(case: Case) -> None:
    assert kstatus(item(case)) == expected(case)


def test_the_cases_have_every_phase() -> None:
    assert {str(case.plan().status.phase) for case in CASES} == set(BY_PHASE)
    assert {expected(case) for case in CASES if case.phase == "Ready"} == {"Current", "InProgress", "Failed"}


@pytest.mark.parametrize("definition", [MODEL_DEPLOYMENT, MODEL_DOWNLOAD], ids=lambda each: each.short_name)
def test_what_nobody_has_looked_at_is_not_done(definition: Any, health: Callable[[dict[str, Any]], str]) -> None:
    [version] = custom_resource_definition(definition)["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"]
    new = {"kind": definition.kind.kind, "metadata": {"generation": 1}, "status": status}
    assert kstatus(new) == "InProgress"
    assert health(new) == "Progressing"
    # So would be one that an older CustomResourceDefinition has left without any status, for Argo CD at least.
    assert health({"kind": definition.kind.kind, "metadata": {"generation": 1}}) == "Progressing"


def test_a_changed_spec_is_done_when_the_engine_has_it() -> None:
    before = plan_for(deployment(status=loaded(100)), running_pod(), probes=answering()).status.manifest()
    assert kstatus({"metadata": {"generation": 3}, "status": before}) == "Current"
    assert kstatus({"metadata": {"generation": 4}, "status": before}) == "InProgress", "nobody has looked at the change"
    [seen] = [case for case in test_replacing.CASES if case.name == "a changed spec waits until nobody uses the engine"]
    assert (seen.plan().status.phase, kstatus(item(seen))) == ("Ready", "InProgress")


def test_a_changed_spec_that_no_engine_can_have_is_not_done() -> None:
    [seen] = [case for case in test_replacing.CASES if "takes what is Berth's own" in case.name]
    conditions = {each["type"]: each for each in item(seen)["status"]["conditions"]}
    assert conditions["Ready"]["observedGeneration"] == 3, "`kubectl wait` goes on waiting"
    assert "BERTH_ENGINE_KEY" in conditions["Stalled"]["message"]
    assert kstatus(item(seen)) == "Failed"


def health_scripts() -> dict[str, str]:
    """The page's scripts for Argo CD, by kind."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [config] = [each for each in map(yaml.safe_load, blocks) if each.get("kind") == "ConfigMap"]
    return {key.removeprefix("resource.customizations.health.berth.dev_"): text for key, text in config["data"].items()}


@pytest.fixture(scope="module")
def health() -> Callable[[dict[str, Any]], str]:
    """The page's script, run as Argo CD runs it: Lua 5.1, the resource as the table `obj`."""
    scripts = health_scripts()

    def run(resource: dict[str, Any]) -> str:
        lua: Any = cast("Any", lua51).LuaRuntime(register_eval=False)
        lua.globals().obj = lua.table_from(json.loads(json.dumps(resource)), recursive=True)
        answer = lua.execute(scripts[resource["kind"]])
        assert isinstance(answer["message"], str)
        return answer["status"]

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_argo_takes_every_state_for_the_same(case: Case, health: Callable[[dict[str, Any]], str]) -> None:
    assert health(item(case)) == OF_ARGO[expected(case)]


@pytest.mark.parametrize(
    ("phase", "status"),
    [(DownloadPhase.SUCCEEDED, "Healthy"), (DownloadPhase.RUNNING, "Progressing"), (DownloadPhase.FAILED, "Degraded")],
)
def test_a_download_is_healthy_when_it_is_done(
    phase: DownloadPhase, status: str, health: Callable[[dict[str, Any]], str]
) -> None:
    assert health(download(phase)) == status


def download(phase: DownloadPhase) -> dict[str, Any]:
    """One that has come so far."""
    conditions = {
        DownloadPhase.SUCCEEDED: {"Ready": "True"},
        DownloadPhase.RUNNING: {"Ready": "False", "Reconciling": "True"},
        DownloadPhase.FAILED: {"Ready": "False", "Stalled": "True"},
    }[phase]
    told = {
        "observedGeneration": 1,
        "conditions": [{"type": kind, "status": value, "message": "why"} for kind, value in conditions.items()],
    }
    return {"kind": "ModelDownload", "metadata": {"generation": 1}, "status": told}
