"""What engines request of a node by default, and among which contexts the nodes' room decides."""

from dataclasses import replace
from typing import Any

import pytest

from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_api.room.snapshot import RoomNode
from berth_cluster.cluster import MADE_FROM_ANNOTATION, MEMORY_ANNOTATION, Object
from berth_operator.objects.parts import annotations_of
from berth_operator.resources import make_pod
from berth_operator.resources.made_from import difference
from berth_operator.room.estimates import ContextChoice, MemoryEstimate
from berth_operator.room.places import NodePlaces
from berth_operator.room.shapes import engine_shapes
from berth_operator.settings import DeviceSettings, EngineImage
from tests.unit.operator.building import ENGINES, SETTINGS, deployment

MIB = 1 << 20
CPU = {Device.CPU: DeviceSettings(cpu_request="250m")}
NODES = (RoomNode("one", {"cpu": 2000, "memory": 8000 * MIB}),)
ONE = MemoryEstimate((ContextChoice(300 * MIB, 2048, 300 * MIB),), 8192)
AUTO = MemoryEstimate(
    tuple(ContextChoice(size * MIB, context, size * MIB) for size, context in ((900, 8192), (500, 4096), (300, 2048))),
    8192,
)


def made(**spec: Any) -> tuple[ModelDeploymentSpec, Object]:
    of = deployment(spec)
    return of.spec, make_pod(of, ENGINES[of.spec.backend], EngineImage(image="engine:1"), SETTINGS)


def requests_of(pod: Object) -> dict[str, Any]:
    return pod["spec"]["containers"][0].get("resources", {}).get("requests", {})


def context_of(pod: Object) -> str:
    arguments: list[str] = pod["spec"]["containers"][0]["args"]
    return arguments[arguments.index("--context-size") + 1]


@pytest.mark.parametrize(
    ("resources", "requested"),
    [
        (None, {"memory": "300Mi", "cpu": "250m"}),
        ({"requests": {"memory": "1Gi"}}, {"memory": "1Gi", "cpu": "250m"}),
        ({"limits": {"memory": "1Gi"}}, {"cpu": "250m"}),
        ({"limits": {"cpu": 4}}, {"memory": "300Mi"}),
        ({"requests": {"cpu": 2, "memory": "2Gi"}}, {"cpu": 2, "memory": "2Gi"}),
    ],
    ids=["nothing stated", "a request", "a limit, which is requested too", "processors", "both"],
)
def test_an_engine_requests_what_it_is_estimated_to_take_and_nobody_has_stated(
    resources: dict[str, Any] | None, requested: dict[str, Any]
) -> None:
    spec, pod = made(**({"resources": resources} if resources else {}))
    [shape] = engine_shapes(spec, pod, ONE, CPU, None)
    assert requests_of(shape) == requested
    assert annotations_of(shape)[MEMORY_ANNOTATION] == str(300 * MIB)


def test_without_an_estimate_only_processors_are_requested() -> None:
    spec, pod = made()
    assert [requests_of(each) for each in engine_shapes(spec, pod, None, CPU, None)] == [{"cpu": "250m"}]
    assert engine_shapes(spec, pod, None, {}, None) == (pod,)


def test_a_better_estimate_is_no_reason_to_replace_an_engine_that_runs() -> None:
    spec, pod = made()
    [runs] = engine_shapes(spec, pod, ONE, CPU, None)
    assert annotations_of(runs)[MADE_FROM_ANNOTATION] == annotations_of(pod)[MADE_FROM_ANNOTATION]
    assert difference(runs, pod) is None


def test_where_nodes_are_known_their_room_decides_about_the_context_and_each_shape_requests_its_own() -> None:
    spec, pod = made(llamacpp={"contextSize": "auto"})
    shapes = engine_shapes(spec, pod, AUTO, CPU, NODES)
    assert [(context_of(each), requests_of(each)["memory"]) for each in shapes] == [
        ("8192", "900Mi"),
        ("4096", "500Mi"),
        ("2048", "300Mi"),
    ]
    assert [NodePlaces().holds(each)["memory"] for each in shapes] == [900 * MIB, 500 * MIB, 300 * MIB]


def test_where_they_are_not_the_engine_decides_itself_and_requests_the_least() -> None:
    spec, pod = made(llamacpp={"contextSize": "auto"})
    [shape] = engine_shapes(spec, pod, AUTO, CPU, None)
    assert (context_of(shape), requests_of(shape)["memory"]) == ("auto", "300Mi")
    assert MEMORY_ANNOTATION not in annotations_of(shape)


@pytest.mark.parametrize(
    ("resources", "context"),
    [
        ({"limits": {"memory": "600Mi"}}, "4096"),
        ({"requests": {"memory": "1Gi"}}, "8192"),
        ({"limits": {"memory": "100Mi"}}, "2048"),
    ],
)
def test_memory_that_is_stated_decides_about_the_context(resources: dict[str, Any], context: str) -> None:
    spec, pod = made(llamacpp={"contextSize": "auto"}, resources=resources)
    for nodes in (None, NODES):
        assert [context_of(each) for each in engine_shapes(spec, pod, AUTO, CPU, nodes)] == [context]


@pytest.mark.parametrize(
    ("memory", "context"), [(None, "8192"), ("700Mi", "4096"), ("100Mi", "2048")], ids=["unknown", "small", "too small"]
)
def test_on_a_gpu_its_size_decides_and_what_is_requested_is_memory_of_the_machine(
    memory: str | None, context: str
) -> None:
    spec, pod = made(device="cuda", llamacpp={"contextSize": "auto"})
    on_gpu = replace(AUTO, choices=tuple(replace(each, machine_bytes=200 * MIB) for each in AUTO.choices))
    device = DeviceSettings(resource_name="nvidia.com/gpu", memory=memory)
    [shape] = engine_shapes(spec, pod, on_gpu, {Device.CUDA: device}, None)
    assert (context_of(shape), requests_of(shape)["memory"]) == (context, "200Mi")


GIB = 1024 * MIB
WEIGHTS = MemoryEstimate((ContextChoice(None, None, 2 * GIB),), 8192, weights_bytes=8 * GIB)


def cache_of(pod: Object) -> int | None:
    arguments: list[str] = pod["spec"]["containers"][0]["args"]
    option = "--kv-cache-memory-bytes"
    return int(arguments[arguments.index(option) + 1]) if option in arguments else None


@pytest.mark.parametrize(
    ("spec", "device", "cache"),
    [
        ({}, {"shares": 2, "memory": "80Gi"}, 19 * GIB),
        ({"vllm": {"gpuMemoryUtilization": 0.9}}, {"shares": 2, "memory": "80Gi"}, 27 * GIB),
        ({"devices": 2}, {"shares": 2, "memory": "80Gi"}, 23 * GIB),
        ({}, {"shares": 4, "memory": "48Gi"}, None),
        ({}, {"shares": 2}, None),
        ({}, {"memory": "80Gi"}, None),
    ],
    ids=["half of it", "more of the half", "two halves", "too little", "memory not known", "not shared"],
)
def test_vllm_measures_nothing_on_a_gpu_that_others_use_too(
    spec: dict[str, Any], device: dict[str, Any], cache: int | None
) -> None:
    wanted, pod = made(backend="vllm", device="cuda", engineArgs=["--dtype", "half"], **spec)
    cuda = DeviceSettings(resource_name="nvidia.com/gpu", **device)
    [shape] = engine_shapes(wanted, pod, WEIGHTS, {Device.CUDA: cuda}, None)
    assert cache_of(shape) == cache
    assert difference(shape, pod) is None, "another estimate replaces no engine that runs"


def test_where_gpus_differ_a_share_of_the_smallest_has_room_for_the_cache() -> None:
    spec, pod = made(backend="vllm", device="cuda")
    nodes = [
        RoomNode(name, {"nvidia.com/gpu": 2}, {"nvidia.com/gpu.memory": str(gib * 1024)})
        for name, gib in (("a", 80), ("b", 40))
    ]
    cuda = DeviceSettings(resource_name="nvidia.com/gpu", shares=2)
    [shape] = engine_shapes(spec, pod, WEIGHTS, {Device.CUDA: cuda}, nodes)
    assert cache_of(shape) == 5 * GIB
