"""Pod status in, the reason that a person reads out."""

from datetime import timedelta
from typing import Any

import pytest

from berth_cluster.cluster import Object
from berth_operator.objects.pod_failure import Cause, disruption, pod_failure
from tests.unit.operator.building import NOW, at, ended_pod, pod, running_pod

GRACE = timedelta(seconds=5)


def waiting(reason: str, message: str = "") -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(status={"phase": "Pending", "containerStatuses": [{"image": "berth/llamacpp:1", "state": state}]})


def unschedulable(seconds: float) -> Object:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        "lastTransitionTime": at(seconds),
    }
    return pod(node=None, status={"phase": "Pending", "conditions": [condition]})


@pytest.mark.parametrize(
    ("name", "terminated", "expected"),
    [
        (
            "the launcher names its reason",
            {"exitCode": 78, "message": "ModelNotFound: /models/x does not exist"},
            Cause("ModelNotFound", "/models/x does not exist", ended=True),
        ),
        (
            "the engine's last lines",
            {"exitCode": 1, "message": "llama: loading\nerror: bad magic\n"},
            Cause(
                "EngineExited",
                "the engine exited with code 1; its last lines:\nllama: loading\nerror: bad magic",
                ended=True,
            ),
        ),
        (
            "out of memory names the limit",
            {"exitCode": 137, "reason": "OOMKilled"},
            Cause("OutOfMemory", "the engine needed more than its memory limit of 2Gi and was killed", ended=True),
        ),
        *(
            (
                "the GPU is full",
                {"exitCode": 1, "message": said},
                Cause(
                    "DeviceOutOfMemory",
                    f"the GPU has too little memory free for the engine; its last lines:\n{said}",
                    ended=True,
                ),
            )
            for said in (
                "E alloc_buffer: allocating 3853.02 MiB on device 0: cudaMalloc failed: out of memory",
                (
                    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 5.53 GiB."
                    " GPU 0 has a total capacity of 79.18 GiB"
                ),
                (
                    "raise\nValueError: Free memory on device cuda:0 (9/79 GiB) on startup"
                    " is less than desired GPU memory utilization (0.7)."
                ),
            )
        ),
        (
            "no GPU in the container",
            {"exitCode": 1, "message": 'error while handling argument "--device": invalid device: CUDA0\nusage:'},
            Cause(
                "DeviceNotFound",
                "the engine finds no GPU: is the driver in the container (devices.cuda.runtimeClassName),"
                " and are there as many GPUs?;"
                ' its last lines:\nerror while handling argument "--device": invalid device: CUDA0\nusage:',
                ended=True,
            ),
        ),
        ("killed", {"exitCode": 137}, Cause("EngineKilled", "the engine was ended by SIGKILL", ended=True)),
        ("crashed", {"exitCode": 139}, Cause("EngineCrashed", "the engine was ended by SIGSEGV", ended=True)),
        (
            "ended without an error",
            {"exitCode": 0},
            Cause("EngineExited", "the engine exited with code 0", ended=True),
        ),
    ],
)
def test_an_engine_that_ended(name: str, terminated: dict[str, Any], expected: Cause) -> None:
    assert pod_failure(ended_pod(**terminated), NOW, GRACE) == expected, name


def test_an_image_that_cannot_be_pulled_may_still_come() -> None:
    assert pod_failure(waiting("ErrImagePull", "not found"), NOW, GRACE) == Cause(
        "ImagePullFailed", "the image berth/llamacpp:1 cannot be pulled: not found", ended=False
    )


def test_a_container_that_cannot_be_created_is_blocked() -> None:
    failure = pod_failure(waiting("CreateContainerConfigError", 'secret "x" not found'), NOW, GRACE)
    assert failure is not None
    assert failure.reason == "ContainerNotCreated"
    assert 'secret "x" not found' in failure.message
    assert not failure.ended


@pytest.mark.parametrize(("seconds", "stalled"), [(-4, False), (-5, True), (-60, True)])
def test_a_pod_without_a_node_is_given_a_moment(seconds: float, *, stalled: bool) -> None:
    failure = pod_failure(unschedulable(seconds), NOW, GRACE)
    assert (failure is not None) == stalled
    if failure:
        assert failure.message == "no node can take the pod: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


def test_an_evicted_pod_says_so() -> None:
    killed = [{"name": "engine", "state": {"terminated": {"exitCode": 137, "message": "ModelNotFound: not this"}}}]
    status = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
        "containerStatuses": killed,
    }
    evicted = Cause("Evicted", "the node put the pod out: The node was low on resource: memory.", ended=True)
    assert pod_failure(pod(status=status), NOW, GRACE) == disruption(pod(status=status)) == evicted


def test_a_deleted_pod_says_so_and_who_did_it_where_that_is_known() -> None:
    assert disruption(running_pod()) is None
    assert disruption(ended_pod()) is None
    drained = running_pod(deletionTimestamp=at(30))
    assert disruption(drained) == Cause("PodDeleted", "the pod was deleted", ended=True)
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    drained["status"]["conditions"] = [told]
    assert disruption(drained) == Cause(
        "PodDeleted", "the pod was deleted (EvictionByEvictionAPI: Eviction API: evicting)", ended=True
    )


@pytest.mark.parametrize("healthy", [pod(), running_pod(), waiting("ContainerCreating"), pod(status={})])
def test_nothing_is_said_against_a_pod_on_its_way(healthy: Object) -> None:
    assert pod_failure(healthy, NOW, GRACE) is None


def test_who_waits_for_a_gpu_is_told_that_it_is_a_gpu() -> None:
    waiting = unschedulable(-6)
    waiting["spec"]["containers"][0]["resources"]["limits"] = {"memory": "2Gi", "nvidia.com/gpu": 1}
    failure = pod_failure(waiting, NOW, timedelta(seconds=5))
    assert failure is not None
    assert (failure.reason, failure.ended) == ("DevicesUnavailable", False)
    assert failure.message.startswith("no node has 1 nvidia.com/gpu free: it starts when a pod that holds one has gone")
    assert failure.message.endswith("(scheduler: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.)")
