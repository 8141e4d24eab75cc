"""The keys of engines: one for each deployment, the same for all who have the release's secret."""

import pytest

from berth_api.engine_key import EngineKeyring
from berth_cluster.names import is_object_name

SECRET = "0123456789abcdef0123456789abcdef"


def test_routers_and_operator_make_the_same_key() -> None:
    assert EngineKeyring(SECRET).key("uid-1") == EngineKeyring(SECRET).key("uid-1")


def test_another_deployment_and_another_release_have_other_keys_and_other_secrets() -> None:
    mine, other = EngineKeyring(SECRET), EngineKeyring(SECRET[::-1])
    keys = {mine.key("uid-1"), mine.key("uid-2"), other.key("uid-1")}
    names = {mine.secret_name("smol", "uid-1"), mine.secret_name("smol", "uid-2"), other.secret_name("smol", "uid-1")}
    assert len(keys) == len(names) == 3


def test_a_key_is_long_and_fits_into_a_header() -> None:
    key = EngineKeyring(SECRET).key("uid-1")
    assert len(key) > 40
    assert key.isascii()
    assert key.isprintable()
    assert " " not in key
    assert key.endswith("-key"), "llama-server prints the last four characters"


def test_the_longest_name_of_a_deployment_gives_a_name_of_a_secret() -> None:
    assert is_object_name(EngineKeyring(SECRET).secret_name("a" * 63, "uid-1"))


def test_a_secret_that_could_be_guessed_is_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match="32 characters at least") as refused:
        EngineKeyring("hunter2")
    assert "hunter2" not in str(refused.value)
    assert SECRET not in repr(vars(EngineKeyring(SECRET))["key"])
