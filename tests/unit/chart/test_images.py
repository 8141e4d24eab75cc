"""The list of images that a release needs: for a registry of a cluster without the internet."""

import os
import subprocess

import yaml

from tests.unit.chart.rendering import APP_VERSION, CHART, ROOT, helm


def listed(*arguments: str) -> list[str]:
    done = subprocess.run(
        [ROOT / "scripts/images", "--list", *arguments],
        env={**os.environ, "HELM": helm()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_has_the_release_and_what_its_operator_makes() -> None:
    names = ["download", "llamacpp", "operator", "router", "transformers", "vllm"]
    assert listed() == [f"berth/{name}:{APP_VERSION}" for name in names]


def test_the_chart_says_the_same() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert [each["image"] for each in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])] == listed()


def test_it_follows_the_values() -> None:
    digest = f"sha256:{'0' * 64}"
    found = listed(
        *("--set", "image.registry=registry.example.com/ml"),
        *("--set", "engines.vllm=null,engines.transformers=null"),
        *("--set", f"engines.llamacpp.cuda.image.repository=llamacpp-cuda,router.image.digest={digest}"),
    )
    assert found == [
        f"registry.example.com/ml/berth/download:{APP_VERSION}",
        f"registry.example.com/ml/berth/llamacpp:{APP_VERSION}",
        f"registry.example.com/ml/berth/operator:{APP_VERSION}",
        f"registry.example.com/ml/berth/router@{digest}",
        f"registry.example.com/ml/llamacpp-cuda:{APP_VERSION}",
    ]
