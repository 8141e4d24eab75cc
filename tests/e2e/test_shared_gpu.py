"""One GPU that is advertised twice: two models run on it together, and start one after the other."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from berth_cluster.cluster import LABEL_DEPLOYMENT, PODS, Object
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.e2e.gpus import advertise, ask, load_copies
from tests.e2e.release import Release, install
from tests.kubectl import Kubectl

SHARE = "nvidia.com/gpu.shared"
MODELS = ("one", "two")


@pytest.fixture
async def two_shares(test_cluster: Kubectl, crds: None, images: dict[str, str], models: Path) -> AsyncIterator[Release]:
    """A release with two models, each of which fits into half of the GPU."""
    advertise(test_cluster, SHARE, 2)
    values = (
        f"devices.cuda.resourceName={SHARE}",
        "devices.cuda.shares=2",
        "devices.cuda.memory=8Gi",
        "router.defaultDevice=cuda",
    )
    installed = install(
        make_namespace(test_cluster, f"berth-share-{secrets.token_hex(3)}"),
        images,
        *values,
        more_images={"engines.llamacpp.cuda.image": "llamacpp"},
    )
    load_copies(installed, models, MODELS)
    cluster = await KubernetesCluster.connect(installed.kubectl.namespace)
    installed.watch_with(cluster)
    yield installed
    await cluster.close()
    installed.uninstall()
    advertise(test_cluster, SHARE, 0)


async def test_two_models_that_each_fit_half_of_a_gpu_run_together_and_start_one_after_the_other(
    two_shares: Release,
) -> None:
    async with two_shares.counting() as seen:
        answers = await asyncio.gather(*(ask(two_shares, model) for model in MODELS))
    assert all("Paris" in answer for answer in answers)
    loaded = {each.name: each.status.loaded_at for each in await two_shares.deployments()}
    pods = {pod["metadata"]["labels"][LABEL_DEPLOYMENT]: pod for pod in await two_shares.engine_pods()}
    assert len(loaded) == len(pods) == len(seen[PODS.plural]) == 2, "neither gave way to the other"
    first, second = sorted(pods, key=lambda name: created_at(pods[name]))
    ready = loaded[first]
    assert ready is not None
    # Of an object's creation, the API server writes whole seconds.
    assert created_at(pods[second]) >= ready.replace(microsecond=0)


def created_at(pod: Object) -> datetime:
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
