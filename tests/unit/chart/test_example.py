"""The example that people start from."""

import yaml

from berth_api.model_deployment import IdleAction, ModelDeploymentSpec
from tests.unit.chart.rendering import ROOT


def test_the_example_says_what_its_comments_say() -> None:
    manifest = yaml.safe_load((ROOT / "examples/modeldeployment.yaml").read_text())
    spec = ModelDeploymentSpec.model_validate(manifest["spec"])
    assert (manifest["kind"], spec.model) == ("ModelDeployment", "/models/SmolLM2-135M-Instruct")
    assert spec.llamacpp is not None
    assert spec.llamacpp.context_size == 4096
    assert (spec.idle.ttl_seconds, spec.idle.action) == (600, IdleAction.SLEEP)
