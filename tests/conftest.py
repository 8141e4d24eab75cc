"""Fixtures for the levels that need a cluster."""

import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from typing import NoReturn

import pytest

from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.guard import refusal
from tests.kubectl import Kubectl


def pytest_configure() -> None:
    """Has the programs of the tests hear signals that were ignored when the tests were started.

    A shell has what it runs in the background ignore Ctrl-C, nohup ignores SIGHUP, and programs inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which cluster, how much is tried of what is tried at random, and what was tried before."""
    parser.addoption(
        "--cluster",
        choices=("memory", "kubernetes"),
        default="memory",
        help="what holds the objects of the unit level's tests; with kubernetes, only those that have any are run",
    )
    storm = parser.getgroup("storm")
    storm.addoption("--storm-seconds", type=float, default=25, help="how long each storm of clients lasts")
    storm.addoption("--storm-seed", type=int, help="the seed of an earlier storm, to have the same clients again")
    worlds = parser.getgroup("worlds")
    worlds.addoption("--worlds", type=int, default=40, help="how many orders of events the leases are put through")
    worlds.addoption("--worlds-seed", type=int, help="the seed of earlier ones, to have the same again")


def missing(what: str, how: str) -> NoReturn:
    """Skips for want of a tool; where everything must run (CI=true) that is a failure."""
    text = f"{what} is missing: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def test_cluster() -> Kubectl:
    """kubectl on a cluster that tests may use: one that says so by its nodes' label, unless told otherwise."""
    if not os.environ.get("KUBECONFIG"):
        missing("a cluster", "run scripts/test, or set KUBECONFIG")
    if shutil.which("kubectl") is None:
        missing("kubectl", 'eval "$(scripts/cluster env)" has one, or install it')
    kubectl = Kubectl()
    if refused := refusal(kubectl.json("get", "nodes")["items"]):
        pytest.exit(refused, returncode=3)
    return kubectl


@pytest.fixture(scope="session")
def crds(test_cluster: Kubectl) -> None:
    """The CRDs as they are in this checkout."""
    test_cluster.run("apply", "--server-side", "--force-conflicts", "-f", "crds/")
    test_cluster.run("wait", "--for=condition=Established", "--timeout=30s", "-f", "crds/")
    # Established says that there is a schema. For a moment more the API server gets its storage ready, and kubectl
    # waits that out.
    test_cluster.run("get", "modeldeployments,modeldownloads", "--all-namespaces")


@pytest.fixture
def namespace(test_cluster: Kubectl, crds: None) -> Iterator[Kubectl]:
    """kubectl in a namespace of this test's own, with the strictest pod security."""
    name = f"berth-test-{secrets.token_hex(4)}"
    kubectl = make_namespace(test_cluster, name)
    yield kubectl
    test_cluster.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def cluster(namespace: Kubectl) -> AsyncIterator[KubernetesCluster]:
    """Berth's own view of that namespace."""
    connected = await KubernetesCluster.connect(namespace.namespace)
    yield connected
    await connected.close()


def make_namespace(kubectl: Kubectl, name: str) -> Kubectl:
    """A namespace that enforces the restricted pod security standard, and warns by it."""
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")},
            },
        }
    )
    return kubectl.within(name)
