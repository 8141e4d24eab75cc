"""API keys: made with the release, handed to the routers, and told to whoever installs it."""

import base64
import re
import subprocess
from typing import Any

import pytest

from berth_router.auth import KeyScope
from berth_router.settings import RouterSettings
from tests.unit.chart.rendering import CHART, environment, helm, render

MOUNT = {"name": "api-keys", "mountPath": "/etc/berth/api-keys", "readOnly": True}


def router(**values: Any) -> dict[str, Any]:
    return render(**values).pod_specs()["berth-router"]


def notes(*arguments: str) -> str:
    """What helm would print after an installation."""
    command = [helm(), "install", "berth", str(CHART), "--namespace", "models", "--dry-run=client", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition("NOTES:")[2]


def test_keys_are_made_at_random() -> None:
    made = [
        render(release="berth", fullnameOverride=name).one("Secret", f"{name}-api-keys")["data"]
        for name in ("one", "two")
    ]
    keys = [base64.b64decode(value).decode() for data in made for value in data.values()]
    assert [sorted(data) for data in made] == [["admin", "client"]] * 2
    assert all(re.fullmatch("berth-[A-Za-z0-9]{40}", key) for key in keys)
    assert len(set(keys)) == 4


@pytest.mark.covers("auth.enabled, auth.existingSecret", "auth.keys")
def test_the_routers_get_the_keys_and_their_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = router(auth={"keys": {"ci": {"scopes": ["inference"]}, "client": None}})
    [container] = spec["containers"]
    assert {"name": "api-keys", "secret": {"secretName": "berth-api-keys"}} in spec["volumes"]
    assert MOUNT in container["volumeMounts"]
    for name, value in environment(container).items():
        monkeypatch.setenv(name, value)
    settings = RouterSettings(POD_NAME="berth-router-0")
    assert str(settings.api_keys_dir) == MOUNT["mountPath"]
    assert settings.api_key_scopes == {"admin": [KeyScope.INFERENCE, KeyScope.MANAGE], "ci": [KeyScope.INFERENCE]}


def test_keys_of_ones_own_are_used_instead() -> None:
    values: dict[str, Any] = {"auth": {"existingSecret": "ours"}}
    assert render(**values, engineKeys={"enabled": False}).of_kind("Secret") == []
    assert {"name": "api-keys", "secret": {"secretName": "ours"}} in router(**values)["volumes"]


def test_no_authentication_is_a_choice_that_is_warned_of() -> None:
    values: dict[str, Any] = {"auth": {"enabled": False}}
    spec = router(**values)
    assert render(**values, engineKeys={"enabled": False}).of_kind("Secret") == []
    assert MOUNT not in spec["containers"][0]["volumeMounts"]
    assert not any(name.startswith("BERTH_API_KEY") for name in environment(spec["containers"][0]))
    assert "WARNING" in notes("--set", "auth.enabled=false")
    assert "WARNING" not in notes()


def test_the_notes_say_how_to_read_a_key() -> None:
    assert "The Secret berth-api-keys has admin (for inference and manage), client (for inference):" in notes()
    assert """get secret berth-api-keys --output go-template='{{index .data "client" | base64decode}}'""" in notes()
    assert "Authorization: Bearer $KEY" in notes()


def test_the_test_asks_with_the_key_that_allows_the_least() -> None:
    def key(**auth: Any) -> list[dict[str, Any]]:
        [container] = render(auth=auth).pod_specs()["berth-test"]["containers"]
        return [variable["valueFrom"]["secretKeyRef"] for variable in container["env"] if variable["name"] == "API_KEY"]

    assert key() == [{"name": "berth-api-keys", "key": "client"}]
    assert key(existingSecret="ours", keys={"client": None}) == [{"name": "ours", "key": "admin"}]
    assert key(enabled=False) == []
