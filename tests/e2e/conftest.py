"""A release of Berth on a real node, installed as a user installs it: images, chart, models."""

import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace, missing
from tests.e2e.release import Release, install
from tests.kubectl import Kubectl

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Image reference by target, as `scripts/images --print` says it."""
    lines = os.environ.get("BERTH_TEST_IMAGES")
    if not lines:
        missing("the images", "run scripts/test e2e, which builds them")
    return dict(line.split("=", 1) for line in (lines or "").splitlines())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, images: dict[str, str]) -> Path:
    """Model directories on this machine: the real one in both formats, tiny ones, and those that cannot be served."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([ROOT / "scripts/sample-model", folder], check=True, timeout=300)
    subprocess.run(
        [ROOT / "scripts/sample-safetensors", "--tiny", folder, images["transformers"]], check=True, timeout=300
    )
    real = folder / "SmolLM2-135M-Instruct"
    [gguf] = real.glob("*.gguf")
    # A header that promises more than the file holds: the launcher takes it, the engine does not.
    (folder / "cut-off").mkdir()
    (folder / "cut-off" / "model.gguf").write_bytes(gguf.read_bytes()[:1_000_000])
    (folder / "not-a-gguf").mkdir()
    (folder / "not-a-gguf" / "model.gguf").write_text("<!doctype html><title>Sign in</title>")
    return folder


@pytest.fixture(scope="session")
def release(test_cluster: Kubectl, crds: None, images: dict[str, str], models: Path) -> Iterator[Release]:
    """The release that most tests share."""
    if shutil.which("helm") is None:
        missing("helm", 'eval "$(scripts/cluster env)" has one, or install it')
    namespace = make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}")
    installed = install(namespace, images, "compileCache.enabled=true")
    for model in sorted(models.iterdir()):
        installed.load_model(model)
    yield installed
    installed.uninstall()


@pytest.fixture
async def berth(release: Release) -> AsyncIterator[Release]:
    """The release with no deployment in it, watched by Berth's own client."""
    cluster = await KubernetesCluster.connect(release.kubectl.namespace)
    release.watch_with(cluster)
    await release.clear()
    yield release
    await release.close_clients()
    await cluster.close()
