"""An engine that ends on files that are cut off says so in words of its own; a person reads what is wrong with them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, Object
from berth_operator.deployments.actions import ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.deployments.reconciler import DeploymentReconciler
from berth_operator.deployments.view import DeploymentView
from berth_operator.objects.parts import condition, status_of
from berth_operator.room.memory_estimates import fault_in
from berth_operator.room.model_files import ModelFiles
from tests.unit.formats.weights import write_gguf
from tests.unit.operator.building import NOW, SETTINGS, deployment, ended_pod, loaded
from tests.unit.operator.world import Operator, World
from tests.unit.virtual_time import run_in_virtual_time, wall_clock

FAULT = "model.gguf has 1000 of 2000 bytes: the download did not finish"


@pytest.mark.parametrize(
    ("terminated", "fault", "reason"),
    [
        pytest.param({"exitCode": 1, "message": "failed to load"}, FAULT, "WrongFormat", id="it exited"),
        pytest.param({"exitCode": 134, "message": "Aborted"}, FAULT, "WrongFormat", id="it crashed"),
        pytest.param({"exitCode": 1, "message": "failed to load"}, None, "EngineExited", id="the files are whole"),
        pytest.param({"exitCode": 137}, FAULT, "EngineKilled", id="somebody killed it"),
        pytest.param({"exitCode": 137, "reason": "OOMKilled"}, FAULT, "OutOfMemory", id="it lacked memory"),
        pytest.param(
            {"exitCode": 1, "message": "QuantizationNotFound: no Q8"}, FAULT, "QuantizationNotFound", id="told"
        ),
    ],
)
def test_what_is_wrong_with_the_files_comes_before_an_engines_last_lines(
    terminated: dict[str, Any], fault: str | None, reason: str
) -> None:
    plan = make_plan(ObservedDeployment(deployment(), [ended_pod(**terminated)], None, fault=fault), SETTINGS, NOW)
    failure = plan.status.last_failure
    assert failure
    assert failure.reason == reason
    assert (failure.message == FAULT) == (reason == "WrongFormat")


def test_files_are_not_to_blame_where_an_engine_had_loaded_them() -> None:
    crashed = [ended_pod(exitCode=139)]
    plan = make_plan(ObservedDeployment(deployment(status=loaded(100)), crashed, None, fault=FAULT), SETTINGS, NOW)
    failure = plan.status.last_failure
    assert failure
    assert failure.reason == "EngineCrashed"


def as_it_is(_: Path) -> None:
    """Leaves it whole."""


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def removed_with_its_folder(file: Path) -> None:
    file.unlink()
    file.parent.rmdir()


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (as_it_is, None),
        (cut_off, "the download did not finish"),
        (Path.unlink, "it holds no files"),
        (removed_with_its_folder, None),  # it may be the store that cannot be read
    ],
)
async def test_the_fault_of_files(tmp_path: Path, done: Callable[[Path], object], said: str | None) -> None:
    done(write_gguf(tmp_path / "tiny" / "tiny.gguf"))
    fault = await ModelFiles(tmp_path).fault("/models/tiny", None)
    assert fault is None if said is None else said in (fault or "")


def test_of_a_model_that_was_cut_off_the_operator_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(work: Callable[[], Any]) -> Any:
        """Files are read on the loop: its clock must not run ahead meanwhile."""
        return work()

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    cut_off(write_gguf(tmp_path / "tiny" / "tiny.gguf"))

    def begin(cluster: Any, world: World) -> Operator:
        view = DeploymentView(cluster)
        fault_of = fault_in(ModelFiles(tmp_path))
        reconciler = DeploymentReconciler(view, world, SETTINGS, wall_clock, fault_of=fault_of)
        return Operator([view.run()], reconciler.close)

    async def told() -> Object:
        async with World(begin, MODEL_DEPLOYMENTS) as world:
            spec = {"model": "/models/tiny", "backend": "llamacpp", "device": "cpu"}
            kind = {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind}
            await world.cluster.create(MODEL_DEPLOYMENTS, {**kind, "metadata": {"name": "smol"}, "spec": spec})
            await world.until_pods(lambda pods: any(status_of(pod).get("podIP") for pod in pods))
            world.node_dies()
            await world.container_ends(exitCode=1, message="llama_model_load: error loading model")
            found = await world.until(lambda each: each and status_of(each).get("phase") == "Stalled")
            world.check()
            assert found
            return found

    stalled = condition(run_in_virtual_time(told()), "Stalled")
    assert stalled
    assert stalled["reason"] == "WrongFormat"
    assert "tiny.gguf has" in stalled["message"]
    assert stalled["message"].endswith("the download did not finish")
