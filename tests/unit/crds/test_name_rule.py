"""A name that is too long is refused only for a new object: an older one must stay writable in its status."""

import pytest

from berth_api import model_deployment, model_download
from berth_api.crd import custom_resource_definitions


@pytest.mark.parametrize(
    ("kind", "longest"),
    [("ModelDeployment", model_deployment.NAME_LENGTH), ("ModelDownload", model_download.NAME_LENGTH)],
)
def test_the_rule_of_a_name_is_for_new_resources(kind: str, longest: int) -> None:
    (crd,) = (each for each in custom_resource_definitions() if each["spec"]["names"]["kind"] == kind)
    (version,) = crd["spec"]["versions"]
    (rule,) = version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    assert rule["rule"] == f"oldSelf.hasValue() || self.metadata.name.size() <= {longest}"
    assert rule["optionalOldSelf"], "without it the API server skips the rule where there is no old object"
    assert rule["message"].startswith(f"metadata.name: at most {longest} characters")
