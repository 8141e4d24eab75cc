"""kubectl, as a user has it."""

import json
import subprocess
from dataclasses import dataclass, replace
from typing import Any


class KubectlError(Exception):
    """kubectl failed; the message is what it printed."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl in one namespace."""

    namespace: str = "default"

    def within(self, namespace: str) -> "Kubectl":
        """The same in another namespace."""
        return replace(self, namespace=namespace)

    def run(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        """What it printed on standard output, then on standard error; KubectlError where it failed."""
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode:
            raise KubectlError(done.stderr.strip() or done.stdout.strip())
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """What it printed with -o json."""
        command = ["kubectl", "--namespace", self.namespace, *arguments, "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise KubectlError(done.stderr.strip())
        return json.loads(done.stdout)

    def apply(self, *manifests: dict[str, Any]) -> str:
        """Applies the manifests."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return self.run("apply", "-f", "-", stdin=json.dumps(items))
