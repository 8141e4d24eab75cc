"""Who reaches whom where the cluster's network enforces policies, and what holds where it does not."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from berth_api.model_deployment import ModelDeployment
from tests.conftest import missing
from tests.e2e.release import MODEL, RELEASE, Release, user
from tests.kubectl import Kubectl, KubectlError
from tests.waiting import until

BODY = {"model": MODEL, "messages": user("Hello"), "max_tokens": 1}

CONNECT = """
import os, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
host = os.environ["KUBERNETES_SERVICE_HOST"] if host == "kubernetes" else host
socket.create_connection((host, port), timeout=2).close()
print("connected")
"""
"""A program that says so when it has reached a host at a port."""

ASK = """
import json, sys, urllib.error, urllib.request
url, key = sys.argv[1], sys.argv[2]
request = urllib.request.Request(url, sys.stdin.buffer.read(), {"content-type": "application/json"})
if key:
    request.add_header("authorization", f"Bearer {key}")
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
"""
"""A program that prints the status with which a request is answered."""


class Stranger:
    """A pod of the namespace that has nothing to do with Berth, with a Python in it."""

    def __init__(self, kubectl: Kubectl, image: str) -> None:
        self._kubectl = kubectl
        self._image = image

    def start(self) -> None:
        """Returns when it runs."""
        restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        pod: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "stranger"},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "stranger",
                        "image": self._image,
                        "command": ["sleep", "infinity"],
                        "securityContext": restricted,
                    }
                ],
            },
        }
        self._kubectl.apply(pod)
        self._kubectl.run("wait", "--for=condition=Ready", "--timeout=60s", "pod/stranger")

    def stop(self) -> None:
        """Returns when it is gone."""
        self._kubectl.run("delete", "pod", "stranger")

    def reaches(self, host: str, port: int) -> bool:
        """Whether a connection comes about."""
        return reaches(self._kubectl, "stranger", host, port)

    def asks(self, url: str, key: str = "") -> int:
        """The status with which a request to compute is answered."""
        command = ("exec", "--stdin", "stranger", "--", "python3", "-c", ASK, url, key)
        return int(self._kubectl.run(*command, stdin=json.dumps(BODY)))


def reaches(kubectl: Kubectl, pod: str, host: str, port: int) -> bool:
    """Whether a connection from the pod comes about; "kubernetes" is the API server."""
    try:
        return "connected" in kubectl.run("exec", pod, "--", "python3", "-c", CONNECT, host, str(port))
    except KubectlError as failed:
        if "exit code 1" in str(failed):
            return False
        raise


@pytest.fixture
def stranger(release: Release, images: dict[str, str]) -> Iterator[Stranger]:
    pod = Stranger(release.kubectl, images["router"])
    pod.start()
    yield pod
    pod.stop()


def address_of(ready: ModelDeployment) -> tuple[str, int]:
    """Where the deployment's engine listens."""
    assert ready.status.endpoint is not None
    host, _, port = ready.status.endpoint.removeprefix("http://").partition(":")
    return host, int(port)


async def test_an_engine_is_reached_by_its_release_alone_and_reaches_nobody(berth: Release, stranger: Stranger) -> None:
    status, answer, _ = await berth.post("/v1/chat/completions", BODY)
    assert status == 200, answer
    ready = await berth.until_phase("Ready")
    engine = address_of(ready)
    own_cluster = "BERTH_TEST_STORE" in os.environ
    if not own_cluster and stranger.reaches(*engine):
        missing("a network that enforces policies", "the one that scripts/cluster makes does")
    await until(lambda: not stranger.reaches(*engine))
    # It is not that the stranger has no network: others answer it.
    service = berth.kubectl.json("get", "service", RELEASE)["spec"]
    assert stranger.reaches(service["clusterIP"], service["ports"][0]["port"])
    assert stranger.reaches("kubernetes", 443)
    [pod] = await berth.engine_pods()
    await until(lambda: not reaches(berth.kubectl, pod["metadata"]["name"], "kubernetes", 443))
    assert not reaches(berth.kubectl, pod["metadata"]["name"], service["clusterIP"], service["ports"][0]["port"])
    status, answer, _ = await berth.post("/v1/chat/completions", BODY)
    assert status == 200, answer


async def test_where_no_policy_is_enforced_the_engines_key_keeps_others_out(berth: Release, stranger: Stranger) -> None:
    kubectl = berth.kubectl
    policy = kubectl.json("get", "networkpolicy", f"{RELEASE}-engines")
    kubectl.run("delete", "networkpolicy", f"{RELEASE}-engines")
    try:
        await berth.post("/v1/chat/completions", BODY)
        ready = await berth.until_phase("Ready")
        host, port = address_of(ready)
        await until(lambda: stranger.reaches(host, port))
        url = f"http://{host}:{port}/v1/chat/completions"
        assert stranger.asks(url) == 401
        assert stranger.asks(url, "guessed") == 401
        assert stranger.asks(url, berth.engine_key(ready.name)) == 200
    finally:
        del policy["metadata"]["resourceVersion"], policy["metadata"]["uid"]
        kubectl.apply(policy)
