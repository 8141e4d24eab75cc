"""A node that says it has GPUs, behind which engines compute on the CPU, and models that are asked for there."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.e2e.release import CAPITAL, Release
from tests.kubectl import Kubectl


def advertise(kubectl: Kubectl, resource: str, count: int) -> None:
    """Has the only node say that it has so much of the resource, and waits until the kubelet says so too."""
    [node] = kubectl.json("get", "nodes")["items"]
    name = node["metadata"]["name"]
    path = f"/status/capacity/{resource.replace('/', '~1')}"
    patch = [{"op": "add", "path": path, "value": str(count)}]
    kubectl.run("patch", "node", name, "--subresource=status", "--type=json", "--patch", json.dumps(patch))
    allocatable = f"{{.status.allocatable.{resource.replace('.', chr(92) + '.')}}}"
    kubectl.run("wait", "node", name, f"--for=jsonpath={allocatable}={count}", "--timeout=60s")


def load_copies(installed: Release, models: Path, names: Iterable[str]) -> None:
    """Puts the sample model into the release's store under each of these names."""
    for name in names:
        folder = models.parent / "copies" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in (models / "SmolLM2-135M-Instruct").iterdir():
            if not (folder / file.name).exists():
                (folder / file.name).hardlink_to(file)
        installed.load_model(folder)


async def ask(berth: Release, model: str, **fields: object) -> str:
    """The answer to the question. `model`: its directory's name."""
    body = {"model": model, "messages": CAPITAL, "max_tokens": 8, "temperature": 0, **fields}
    status, answer, _ = await berth.post("/v1/chat/completions", body)
    assert status == 200, answer
    return answer["choices"][0]["message"]["content"]
