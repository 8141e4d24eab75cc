"""The definition of HTTPRoute, as the Gateway API publishes it."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import missing
from tests.kubectl import Kubectl, KubectlError

MODULE = "sigs.k8s.io/gateway-api@v1.6.3"
SUM = "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc="
"""What Go says of the module's content, as in a go.sum."""

ROUTES = "gateway.networking.k8s.io_httproutes.yaml"


def define_routes(kubectl: Kubectl) -> None:
    """Has the API server know HTTPRoutes. A cluster that does is left as it is; the definition stays."""
    try:
        kubectl.run("get", "crd", "httproutes.gateway.networking.k8s.io")
    except KubectlError:
        definition = str(_module() / "config/crd/standard" / ROUTES)
        kubectl.run("apply", "--server-side", "--filename", definition)
        kubectl.run("wait", "--for=condition=Established", "--timeout=30s", "--filename", definition)
        kubectl.run("get", "httproutes.gateway.networking.k8s.io", "--all-namespaces")


def _module() -> Path:
    """The module's folder. It is fetched once, 1 MB, and kept where Go keeps them."""
    go = shutil.which("go")
    if go is None:
        missing("go", "see https://go.dev/doc/install")
    command = [str(go), "mod", "download", "-json", MODULE]
    with tempfile.TemporaryDirectory() as nowhere:  # what a go.mod says that is found above must not count
        done = subprocess.run(
            command,
            cwd=nowhere,
            env=os.environ | {"GOWORK": "off", "GOFLAGS": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["Sum"] == SUM, "the module is another one"
    return Path(said["Dir"])
