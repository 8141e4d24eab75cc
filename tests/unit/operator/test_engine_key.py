"""How an engine gets its key: from a Secret of its deployment, and from nothing that others can read."""

import json
from pathlib import Path

import pytest

from berth_operator.engines import ENGINES
from berth_operator.resources import make_pod
from berth_operator.resources.engine_key import VARIABLE, make_key_secret
from berth_operator.settings import OperatorSettings
from berth_process.settings_error import SettingsError
from berth_runtime.engines.engine import ENGINE_KEY
from tests.unit.operator.building import SETTINGS, UID, deployment

SECRET = "0123456789abcdef0123456789abcdef"
KEYED = SETTINGS.model_copy(
    update={"engine_keys": OperatorSettings.model_validate({"engineKeys": {"secret": SECRET}}).engine_keys}
)


def test_the_launcher_looks_for_the_key_where_the_pod_has_it() -> None:
    assert VARIABLE == ENGINE_KEY


def test_a_pod_names_the_secret_and_shows_no_key() -> None:
    made_for = deployment()
    keyring = KEYED.engine_keys.keyring
    assert keyring is not None
    image = KEYED.image_for(made_for.spec.backend, made_for.spec.device)
    assert image is not None
    pod = make_pod(made_for, ENGINES[made_for.spec.backend], image, KEYED)
    secret = make_key_secret(made_for, keyring, "berth-operator")
    [variable] = [each for each in pod["spec"]["containers"][0]["env"] if each["name"] == VARIABLE]
    name = secret["metadata"]["name"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": name, "key": "key"}}
    assert secret["stringData"] == {"key": keyring.key(UID)}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == UID
    shown = json.dumps(pod)
    assert keyring.key(UID) not in shown
    assert SECRET not in shown + repr(KEYED) + str(KEYED.model_dump())


def test_the_secret_comes_from_a_file(tmp_path: Path) -> None:
    settings, secret = tmp_path / "operator.yaml", tmp_path / "secret"
    settings.write_text("{}")
    secret.write_text(f"{SECRET}\n")
    environment = {"BERTH_ENGINE_KEY_SECRET_FILE": str(secret)}
    assert OperatorSettings.load(settings, {}).engine_keys.keyring is None
    loaded = OperatorSettings.load(settings, environment).engine_keys.keyring
    assert loaded is not None
    assert KEYED.engine_keys.keyring is not None
    assert loaded.key(UID) == KEYED.engine_keys.keyring.key(UID)


@pytest.mark.parametrize("content", [None, "short"])
def test_a_secret_that_cannot_be_used_is_told(tmp_path: Path, content: str | None) -> None:
    settings, secret = tmp_path / "operator.yaml", tmp_path / "secret"
    settings.write_text("{}")
    if content is not None:
        secret.write_text(content)
    with pytest.raises(SettingsError, match=r"BERTH_ENGINE_KEY_SECRET_FILE is .*, which cannot be used"):
        OperatorSettings.load(settings, {"BERTH_ENGINE_KEY_SECRET_FILE": str(secret)})
