"""What engines' keys are made from: one Secret of the release, which routers and operator have as a file."""

import base64
from typing import Any

import pytest

from berth_api.engine_key import EngineKeyring
from tests.unit.chart.rendering import environment, render

PARTS = ("berth-operator", "berth-router")


def volumes(part: str, **values: Any) -> dict[str, Any]:
    spec = render(**values).pod_specs()[part]
    return {volume["name"]: volume for volume in spec["volumes"]}


def test_the_chart_makes_a_secret_that_is_long_enough_and_another_one_for_another_release() -> None:
    made = [render(release=name).one("Secret", f"{name}-engine-keys")["data"] for name in ("berth", "other-berth")]
    secrets = [base64.b64decode(data["secret"]).decode() for data in made]
    keys = {EngineKeyring(secret).key("uid") for secret in secrets}
    assert len(keys) == 2


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("existing", "name"), [("", "berth-engine-keys"), ("mine", "mine")])
def test_routers_and_operator_have_it_as_a_file(part: str, existing: str, name: str) -> None:
    release = render(engineKeys={"existingSecret": existing})
    [container] = release.pod_specs()[part]["containers"]
    assert environment(container)["BERTH_ENGINE_KEY_SECRET_FILE"] == "/etc/berth-engine-keys/secret"
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "engine-keys"]
    assert mount == {"name": "engine-keys", "mountPath": "/etc/berth-engine-keys", "readOnly": True}
    source = volumes(part, engineKeys={"existingSecret": existing})["engine-keys"]["secret"]
    assert source == {"secretName": name, "items": [{"key": "secret", "path": "secret"}]}
    made = [each["metadata"]["name"] for each in release.of_kind("Secret")]
    assert ("berth-engine-keys" in made) is not existing


@pytest.mark.parametrize("part", PARTS)
def test_engines_without_keys_are_a_choice(part: str) -> None:
    release = render(engineKeys={"enabled": False})
    [container] = release.pod_specs()[part]["containers"]
    assert "BERTH_ENGINE_KEY_SECRET_FILE" not in environment(container)
    assert "engine-keys" not in volumes(part, engineKeys={"enabled": False})
    role = release.one("Role", "berth-operator")
    assert not [rule for rule in role["rules"] if "secrets" in rule["resources"]]
