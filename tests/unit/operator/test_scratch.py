"""Where an engine may write, and that its pod keeps nobody from draining its node."""

from typing import Any

import pytest

from berth_cluster.cluster import Object
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import SETTINGS
from tests.unit.operator.test_pod import made

ALL_ENGINES = OperatorSettings.model_validate(
    SETTINGS.model_dump()
    | {
        "engines": {
            engine: {device: {"image": f"berth/{engine}:1"} for device in ("cpu", "cuda")}
            for engine in ("llamacpp", "vllm", "transformers")
        },
    }
)
LIMITED: dict[str, Any] = {"requests": {"ephemeral-storage": "0"}, "limits": {"ephemeral-storage": "20Gi"}}


def own_volumes(pod: Object) -> dict[str, str]:
    """The limit of each volume that is the pod's own: with any, a drain asks for --delete-emptydir-data."""
    return {each["name"]: each["emptyDir"]["sizeLimit"] for each in pod["spec"]["volumes"] if "emptyDir" in each}


def engine(pod: Object) -> dict[str, Any]:
    [container] = pod["spec"]["containers"]
    return container


@pytest.mark.parametrize(
    ("spec", "writes", "own"),
    [
        ({"backend": "llamacpp", "device": "cpu"}, None, {}),
        ({"backend": "transformers", "device": "cpu"}, "20Gi", {}),
        ({"backend": "vllm", "device": "cuda"}, "20Gi", {}),
        ({"backend": "vllm", "device": "cuda", "devices": 2}, "20Gi", {"shm": "16Gi"}),
        ({"backend": "vllm", "device": "cuda", "engineArgs": ["--data-parallel-size", "2"]}, "20Gi", {"shm": "16Gi"}),
        ({"backend": "vllm", "device": "cuda", "pod": {"shmSizeLimit": "1Gi"}}, "20Gi", {"shm": "1Gi"}),
        ({"backend": "vllm", "device": "cuda", "pod": {"tmpSizeLimit": "1Gi"}}, "1Gi", {}),
        ({"backend": "llamacpp", "device": "cpu", "pod": {"tmpSizeLimit": "1Gi"}}, "1Gi", {}),
    ],
)
def test_an_engine_writes_in_its_containers_own_layer_if_at_all(
    spec: dict[str, Any], writes: str | None, own: dict[str, str]
) -> None:
    pod = made(ALL_ENGINES, **spec)
    assert own_volumes(pod) == own
    container = engine(pod)
    assert container["securityContext"]["readOnlyRootFilesystem"] is (writes is None)
    assert container.get("resources", {}).get("limits", {}).get("ephemeral-storage") == writes


def test_its_limit_asks_a_node_for_no_room() -> None:
    stated = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    container = engine(made(ALL_ENGINES, backend="transformers", device="cpu", resources=stated))
    assert container["resources"] == {part: {**stated[part], **LIMITED[part]} for part in stated}


def test_a_limit_that_is_stated_as_a_resource_is_the_one() -> None:
    stated = {"limits": {"ephemeral-storage": "5Gi"}}
    container = engine(made(ALL_ENGINES, backend="transformers", device="cpu", resources=stated))
    assert container["resources"] == stated


def test_what_somebody_mounts_at_the_same_place_is_kept() -> None:
    added: dict[str, Any] = {
        "volumes": [{"name": "fast", "ephemeral": {"volumeClaimTemplate": {}}}],
        "volumeMounts": [{"name": "fast", "mountPath": "/tmp"}],
    }
    pod = made(ALL_ENGINES, backend="transformers", device="cpu", pod=added)
    assert [each["mountPath"] for each in engine(pod)["volumeMounts"]] == ["/models", "/tmp"]
    assert [each["name"] for each in pod["spec"]["volumes"]] == ["models", "fast"]
