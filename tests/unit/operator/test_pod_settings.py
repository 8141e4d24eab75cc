"""What people add to an engine's pod, for a device and for one deployment."""

from typing import Any

import pytest
from pydantic import ValidationError

from berth_api.pod_settings import PodSettings
from berth_cluster.cluster import Object
from berth_operator.deployments.actions import CreatePod, ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.resources.made_from import difference
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import NOW, SETTINGS, deployment
from tests.unit.operator.test_pod import made

AFFINITY: dict[str, Any] = {
    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
CERTIFICATES = {"name": "certificates", "configMap": {"name": "corporate-ca"}}


def for_device(**pod: Any) -> OperatorSettings:
    return OperatorSettings.model_validate({**SETTINGS.model_dump(), "devices": {"cpu": {"pod": pod}}})


def engine(pod: Object) -> dict[str, Any]:
    [container] = pod["spec"]["containers"]
    return container


def test_all_of_it_reaches_the_pod() -> None:
    pod = made(
        pod={
            "labels": {"kueue.x-k8s.io/queue-name": "models"},
            "annotations": {"sidecar.istio.io/inject": "false"},
            "priorityClassName": "high",
            "schedulerName": "volcano",
            "affinity": AFFINITY,
            "topologySpreadConstraints": [SPREAD],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "volumes": [CERTIFICATES],
            "volumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": True}],
            "tmpSizeLimit": "40Gi",
            "shmSizeLimit": "2Gi",
        }
    )
    assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "models"
    assert pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    spec = pod["spec"]
    assert (spec["priorityClassName"], spec["schedulerName"]) == ("high", "volcano")
    assert (spec["affinity"], spec["topologySpreadConstraints"]) == (AFFINITY, [SPREAD])
    assert engine(pod)["env"][-1]["valueFrom"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert spec["volumes"][-1] == CERTIFICATES
    assert engine(pod)["volumeMounts"][-1]["mountPath"] == "/certificates"
    [shm] = [each["emptyDir"] for each in spec["volumes"] if "emptyDir" in each]
    assert shm == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert engine(pod)["resources"]["limits"]["ephemeral-storage"] == "40Gi"


def test_a_deployment_adds_to_what_its_device_has_and_replaces_what_has_the_same_name() -> None:
    settings = for_device(
        labels={"team": "ml", "zone": "a"},
        priorityClassName="low",
        schedulerName="volcano",
        env=[{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
        volumes=[CERTIFICATES],
    )
    pod = made(
        settings,
        pod={
            "labels": {"zone": "b"},
            "priorityClassName": "high",
            "env": [{"name": "B", "value": "2"}, {"name": "C", "value": "2"}],
        },
    )
    assert {"team": "ml", "zone": "b"}.items() <= pod["metadata"]["labels"].items()
    assert (pod["spec"]["priorityClassName"], pod["spec"]["schedulerName"]) == ("high", "volcano")
    added = [(each["name"], each["value"]) for each in engine(pod)["env"] if each["name"] != "HOME"]
    assert added == [("A", "1"), ("B", "2"), ("C", "2")]
    assert CERTIFICATES in pod["spec"]["volumes"]


def test_nobody_takes_a_pod_away_from_its_deployment_by_a_label() -> None:
    ours = made()
    labels = dict.fromkeys(ours["metadata"]["labels"], "mine")
    annotations = dict.fromkeys(ours["metadata"]["annotations"], "mine")
    pod = made(pod={"labels": labels, "annotations": annotations})
    assert pod == ours


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"affinity": AFFINITY}, "which nodes it may run on"),
        ({"priorityClassName": "high"}, "which nodes it may run on"),
        ({"labels": {"a": "b"}}, "its pod's other settings"),
        ({"env": [{"name": "A", "value": "1"}]}, "its pod's other settings"),
        ({"tmpSizeLimit": "40Gi"}, "its pod's other settings"),
    ],
    ids=["affinity", "priority", "labels", "env", "limit"],
)
def test_an_engine_is_replaced_when_its_own_values_change(pod: dict[str, Any], words: str) -> None:
    for wanted in (made(pod=pod), made(for_device(**pod))):
        changed = difference(made(), wanted)
        assert changed
        assert (changed.reason, changed.what) == ("SpecChanged", words)


def test_without_such_values_a_pod_is_made_from_what_it_was_made_from_before_there_were_any() -> None:
    carried = made()["metadata"]["annotations"]["berth.dev/made-from"]
    assert carried == ("image=104d1f51,arguments=17fc5a4e,resources=74234e98,scheduling=fe44a8cc,settings=2c3273db"), (
        "an upgrade of the operator would replace every engine that runs"
    )
    assert made(for_device()) == made(pod={}) == made()


TAKEN: list[tuple[dict[str, Any], str]] = [
    (
        {"env": [{"name": "A", "value": "1"}, {"name": "BERTH_ENGINE_KEY", "value": "mine"}]},
        "pod.env: BERTH_ENGINE_KEY: names that begin with BERTH_ are Berth's own",
    ),
    (
        {"volumes": [{"name": "models", "emptyDir": {}}]},
        "pod.volumes: models: the names compiled, models, shm, tmp are Berth's own",
    ),
]


@pytest.mark.parametrize(("taken", "words"), TAKEN)
def test_what_is_berths_own_is_no_ones_to_replace(taken: dict[str, Any], words: str) -> None:
    plan = make_plan(ObservedDeployment(deployment({"pod": taken}), [], None), SETTINGS, NOW)
    assert not any(isinstance(action, CreatePod) for action in plan.actions)
    assert plan.status.last_failure
    assert (plan.status.last_failure.reason, plan.status.last_failure.message) == ("PodSettingsNotAllowed", words)
    with pytest.raises(ValidationError, match=words):
        for_device(**taken)


def test_what_a_resource_must_have_is_in_its_schema() -> None:
    schema = PodSettings.model_json_schema(by_alias=True)["properties"]
    of = {name: schema[name]["anyOf"][0]["items"]["required"] for name in ("env", "volumes", "volumeMounts")}
    assert of == {"env": ["name"], "volumes": ["name"], "volumeMounts": ["mountPath", "name"]}
