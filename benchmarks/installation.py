"""A release of Berth to measure, in a cluster that is for tests."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from tests.conftest import make_namespace
from tests.e2e.release import ROOT, Release, install
from tests.guard import refusal
from tests.kubectl import Kubectl


def require_test_cluster() -> Kubectl:
    """kubectl on a cluster whose nodes all say that it is for tests.

    Ends the program, saying what is missing, where there is none; BERTH_TEST_ANY_CLUSTER=1 says that any may be used.
    """
    hint = 'run scripts/cluster up, then eval "$(scripts/cluster env)"; or'
    if not os.environ.get("KUBECONFIG"):
        raise SystemExit(f"no cluster: {hint} set KUBECONFIG")
    for tool in ("kubectl", "helm"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing: {hint} install it")
    kubectl = Kubectl()
    if refused := refusal(kubectl.json("get", "nodes")["items"]):
        raise SystemExit(refused)
    return kubectl


def built_images() -> dict[str, str]:
    """Image reference by target: those of BERTH_TEST_IMAGES, or built now."""
    lines = os.environ.get("BERTH_TEST_IMAGES")
    if not lines:
        command = [ROOT / "scripts/images", "--print"]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=3600).stdout
    return dict(line.split("=", 1) for line in lines.splitlines())


@contextlib.contextmanager
def installed(kubectl: Kubectl, images: dict[str, str]) -> Generator[Release]:
    """A release in a namespace of its own, with the sample model in its store, in both formats."""
    namespace = f"berth-bench-{secrets.token_hex(3)}"
    within = make_namespace(kubectl, namespace)
    try:
        release = install(within, images)
        with tempfile.TemporaryDirectory() as folder:
            for call in (["sample-model", folder], ["sample-safetensors", folder, images["transformers"]]):
                subprocess.run([ROOT / "scripts" / call[0], *call[1:]], check=True, timeout=300, stdout=sys.stderr)
            for model in sorted(Path(folder).iterdir()):
                release.load_model(model)
        yield release
    finally:
        kubectl.run("delete", "namespace", namespace, "--wait=false")
