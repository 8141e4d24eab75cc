"""What `kubectl get` finds the resources by."""

from typing import Any

import pytest

from berth_api.crd import custom_resource_definitions


@pytest.mark.parametrize("crd", custom_resource_definitions(), ids=lambda crd: crd["spec"]["names"]["plural"])
def test_kubectl_get_berth_shows_every_resource_of_berth(crd: dict[str, Any]) -> None:
    assert "berth" in crd["spec"]["names"]["categories"]
    assert "all" in crd["spec"]["names"]["categories"], "and so does `kubectl get all`"


def test_the_short_name_that_another_project_has_too_comes_with_the_exact_one() -> None:
    (crd,) = (each for each in custom_resource_definitions() if each["spec"]["names"]["kind"] == "ModelDeployment")
    (version,) = crd["spec"]["versions"]
    assert crd["spec"]["names"]["shortNames"] == ["md"]
    description = version["schema"]["openAPIV3Schema"]["description"]
    assert "MachineDeployment" in description
    assert crd["metadata"]["name"] in description, "`kubectl explain modeldeployments` says which name is exact"
