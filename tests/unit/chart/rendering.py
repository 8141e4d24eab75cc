"""The chart as helm renders it."""

import functools
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/berth"
APP_VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]

Manifest = dict[str, Any]


class RefusedError(Exception):
    """Helm did not render the chart; the message is helm's."""


@dataclass(frozen=True)
class Release:
    """What one `helm template` gave."""

    manifests: list[Manifest]

    def one(self, kind: str, name: str) -> Manifest:
        """The one object of this kind and name."""
        [found] = [manifest for manifest in self.of_kind(kind) if manifest["metadata"]["name"] == name]
        return found

    def of_kind(self, kind: str) -> list[Manifest]:
        """All objects of this kind."""
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def pod_specs(self) -> dict[str, dict[str, Any]]:
        """Name of a Deployment or Pod → the spec of its pods."""
        templates = {
            found["metadata"]["name"]: found["spec"]["template"]["spec"] for found in self.of_kind("Deployment")
        }
        return templates | {found["metadata"]["name"]: found["spec"] for found in self.of_kind("Pod")}


_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: the schemas of the CRDs are long."""


@functools.cache
def helm() -> str:
    """Path of helm: $HELM, the one on PATH, or the one that was built for the test cluster.

    Skips the test without any of them.
    """
    found = os.environ.get("HELM") or shutil.which("helm") or _helm_of_test_cluster()
    if not found:
        missing = "no helm: install it, name it in $HELM, or have it built with `scripts/cluster up`"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def _helm_of_test_cluster() -> str:
    script = 'eval "$(scripts/cluster env)"; command -v helm'
    return subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def render(*, release: str = "berth", namespace: str = "models", **values: object) -> Release:
    """Renders the chart with these values beside its own. Raises RefusedError with helm's words."""
    return _render(release, namespace, json.dumps(values))


@functools.cache  # most tests look at the same release
def _render(release: str, namespace: str, values: str) -> Release:
    command = [helm(), "template", release, str(CHART), "--namespace", namespace, "--values", "-"]
    done = subprocess.run(command, input=values, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(done.stderr)
    return Release([manifest for manifest in yaml.load_all(done.stdout, _YAML_LOADER) if manifest])


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The container's variables that have a plain value."""
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
