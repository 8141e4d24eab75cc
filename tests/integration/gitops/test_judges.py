"""What those conclude who wait for a resource, by the code that Helm, Flux and Argo CD have.

The unit level has the rules of kstatus written down and another interpreter of Lua: here are the originals.
"""

from typing import Any

import pytest

from berth_api.crd.definition import ResourceDefinition, custom_resource_definition
from berth_api.crd.model_deployment import MODEL_DEPLOYMENT
from berth_api.crd.model_download import MODEL_DOWNLOAD
from berth_api.model_download import DownloadPhase
from tests.integration.gitops.judging import Verdict, judges
from tests.unit.operator.kstatus import kstatus
from tests.unit.operator.test_gitops import CASES, OF_ARGO, download, expected, health_scripts, item


def asked(*objects: dict[str, Any]) -> list[Verdict]:
    """The verdicts on these, with Argo CD's scripts as the page has them."""
    return judges([{"apiVersion": "berth.dev/v1alpha1", **each} for each in objects], health_scripts())


def all_say(word: str) -> Verdict:
    """A verdict by which all agree."""
    return Verdict(word, word, OF_ARGO[word])


def test_every_state_of_a_deployment_is_what_it_means() -> None:
    told = {case.name: verdict for case, verdict in zip(CASES, asked(*map(item, CASES)), strict=True)}
    assert told == {case.name: all_say(expected(case)) for case in CASES}


def test_every_state_of_a_download_is_what_it_means() -> None:
    phases = {
        DownloadPhase.SUCCEEDED: "Current",
        DownloadPhase.RUNNING: "InProgress",
        DownloadPhase.FAILED: "Failed",
    }
    assert asked(*map(download, phases)) == [all_say(word) for word in phases.values()]


@pytest.mark.parametrize("definition", [MODEL_DEPLOYMENT, MODEL_DOWNLOAD], ids=lambda each: each.short_name)
def test_what_nobody_has_looked_at_is_not_done(definition: ResourceDefinition) -> None:
    [version] = custom_resource_definition(definition)["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"]
    new = {"kind": definition.kind.kind, "metadata": {"generation": 1}, "status": status}
    assert asked(new) == [all_say("InProgress")]


def test_a_spec_that_has_changed_since_is_not_done() -> None:
    current = [item(case) for case in CASES if expected(case) == "Current"]
    changed = [{**each, "metadata": {"generation": each["metadata"]["generation"] + 1}} for each in current]
    assert set(asked(*changed)) == {all_say("InProgress")}


def test_the_rules_that_the_unit_level_goes_by_are_those_of_the_originals() -> None:
    conditions = [
        [],
        *[[{"type": kind, "status": status}] for kind in ("Ready", "Stalled", "Reconciling") for status in STATUSES],
        [{"type": "Stalled", "status": "True"}, {"type": "Reconciling", "status": "True"}],
        [{"type": "Reconciling", "status": "True"}, {"type": "Stalled", "status": "True"}],
        [{"type": "Ready", "status": "True"}, {"type": "Reconciling", "status": "True"}],
        [{"type": "Ready", "status": "False"}, {"type": "Stalled", "status": "True"}],
    ]
    objects: list[dict[str, Any]] = [
        {
            "kind": "ModelDeployment",
            "metadata": {"name": "x", "generation": 2, **more},
            "status": {**seen, "conditions": each},
        }
        for more in ({}, {"deletionTimestamp": "2026-01-01T00:00:00Z"})
        for seen in ({}, {"observedGeneration": 1}, {"observedGeneration": 2})
        for each in conditions
    ]
    told = [(verdict.kstatus, verdict.flux) for verdict in asked(*objects)]
    assert told == [(kstatus(each), kstatus(each)) for each in objects]


STATUSES = ("True", "False", "Unknown")
