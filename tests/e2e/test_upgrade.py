"""An upgrade from the last landed state, as the page about it says, while clients ask without a pause."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.e2e.crowd import crowd
from tests.e2e.release import CHART, DEADLINE, MODEL, RELEASE, ROOT, Release, install, user
from tests.kubectl import Kubectl

CLIENTS = 6
STORY_TOKENS = 100
EARLIER_COMMIT = os.environ.get("BERTH_TEST_EARLIER_COMMIT", "HEAD^")
"""The last landed state: its chart is what the upgrade begins with."""

EARLIER_IMAGES = os.environ.get("BERTH_TEST_EARLIER_IMAGES", "")
"""Its images of the operator and the router, a line each as `scripts/images --print` has them. Building them takes
minutes, so without these the present ones are taken, under the earlier chart.
"""


@pytest.fixture
def earlier_chart(tmp_path: Path) -> Path:
    """The chart of the last landed state; the present one where git does not know that, as in a shallow clone."""
    archive = tmp_path / "earlier.tar"
    command = ["git", "archive", "--output", str(archive), EARLIER_COMMIT, "charts/berth"]
    if subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode:
        return CHART
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", tmp_path], check=True)
    return tmp_path / "charts/berth"


@pytest.fixture
async def earlier(
    test_cluster: Kubectl, images: dict[str, str], release: Release, earlier_chart: Path
) -> AsyncIterator[Release]:
    """A release of the last landed state."""
    del release  # its models are used
    then = images | dict(line.split("=", 1) for line in EARLIER_IMAGES.splitlines())
    namespace = make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}")
    marks = [f"{part}.podAnnotations.release=earlier" for part in ("operator", "router")]
    installed = install(namespace, then, *marks, chart=earlier_chart)
    cluster = await KubernetesCluster.connect(namespace.namespace)
    installed.watch_with(cluster)
    yield installed
    await installed.close_clients()
    await cluster.close()
    installed.uninstall()


def upgrade(berth: Release, images: dict[str, str], folder: Path) -> None:
    """The commands of docs/how-to/upgrade.md: the release's own values, and the new images."""
    helm = ["helm", "--namespace", berth.kubectl.namespace]
    values = subprocess.run([*helm, "get", "values", RELEASE, "--output", "yaml"], check=True, capture_output=True)
    (folder / "values.yaml").write_bytes(values.stdout)
    settings: list[str] = []
    for part, path in (("operator", "operator.image"), ("router", "router.image")):
        repository, tag = images[part].rsplit(":", 1)
        settings += ["--set-string", f"{path}.repository={repository},{path}.tag={tag}"]
        settings += ["--set-string", f"{part}.podAnnotations.release=present"]
    command = [*helm, "upgrade", RELEASE, str(CHART), "--values", str(folder / "values.yaml"), *settings]
    done = subprocess.run(
        [*command, "--wait", "--timeout", "5m"], capture_output=True, text=True, check=False, timeout=330
    )
    assert done.returncode == 0, done.stderr


def programs(berth: Release) -> set[str]:
    """The uids of the operator's and the routers' pods."""
    return {pod["metadata"]["uid"] for part in ("operator", "router") for pod in berth.pods_of(part)}


async def stories(berth: Release, router: str) -> list[str | None]:
    """How each long stream through this router ends, one after the other until it takes no more.

    So one is on its way when the router is told to end. Raises openai.APIError where one breaks off.
    """
    client = berth.openai(base_url=f"http://{router}:8080/v1", max_retries=0)
    told: list[str | None] = []
    while True:
        try:
            stream = await client.chat.completions.create(
                model=MODEL,
                messages=user("Tell a story."),
                max_tokens=STORY_TOKENS,
                stream=True,
                extra_body={"ignore_eos": True},
            )
        except openai.APIError:
            return told  # it drains, or is gone
        told.append([part.choices[0].finish_reason async for part in stream if part.choices][-1])


async def test_an_upgrade_from_the_last_landed_state_costs_nobody_anything(
    earlier: Release, images: dict[str, str], tmp_path: Path
) -> None:
    await earlier.post("/v1/chat/completions", {"model": MODEL, "messages": user("Hello"), "max_tokens": 1})
    [engine] = await earlier.engine_pods()
    [deployment] = await earlier.deployments()
    before = programs(earlier)
    routers = [pod["status"]["podIP"] for pod in earlier.pods_of("router")]
    assert len(routers) == 2
    async with crowd(earlier, "helm upgrade from the last landed state", clients=CLIENTS) as clients:
        telling = [asyncio.create_task(stories(earlier, router)) for router in routers]
        await clients.served()
        await asyncio.to_thread(upgrade, earlier, images, tmp_path)
        await clients.served()
        await earlier.until_gone("router")
        await clients.served()
        async with asyncio.timeout(DEADLINE):
            told = await asyncio.gather(*telling)
    assert clients.tally.failed == 0, str(clients.tally)
    assert [set(each) for each in told] == [{"length"}, {"length"}], "a stream was cut"
    assert not before & programs(earlier), "nothing was upgraded"
    [after] = await earlier.deployments()
    assert [pod["metadata"]["uid"] for pod in await earlier.engine_pods()] == [engine["metadata"]["uid"]]
    assert (after.uid, after.status.attempt) == (deployment.uid, 1)
