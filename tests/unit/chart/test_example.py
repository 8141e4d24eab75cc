"""The examples that people start from."""

import yaml

from berth_api.model_deployment import IdleAction, ModelDeploymentSpec
from berth_api.model_download import ModelDownloadSpec, default_destination
from tests.unit.chart.rendering import ROOT


def test_the_example_says_what_its_comments_say() -> None:
    manifest = yaml.safe_load((ROOT / "examples/modeldeployment.yaml").read_text())
    spec = ModelDeploymentSpec.model_validate(manifest["spec"])
    assert (manifest["kind"], spec.model) == ("ModelDeployment", "/models/SmolLM2-135M-Instruct")
    assert spec.llamacpp is not None
    assert spec.llamacpp.context_size == 4096
    assert (spec.idle.ttl_seconds, spec.idle.action) == (600, IdleAction.SLEEP)


def test_the_example_of_a_download_is_one() -> None:
    manifest = yaml.safe_load((ROOT / "examples/modeldownload.yaml").read_text())
    spec = ModelDownloadSpec.model_validate(manifest["spec"])
    assert (manifest["kind"], spec.quantization, spec.destination) == (
        "ModelDownload",
        "Q4_K_M",
        "SmolLM2-135M-Instruct-Q4_K_M",
    )
    assert default_destination(spec.repository, spec.quantization) == "SmolLM2-135M-Instruct-GGUF-Q4_K_M"
