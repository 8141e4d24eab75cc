"""What /set takes, and what it says of what it does not take."""

from typing import Any

import pytest

from berth_api.engine_settings import LEAST_CONTEXT, MOST_CONTEXT
from berth_local.cli.chat.settings import value_of, value_words
from berth_local.cli.errors import UsageError

CONTEXT = f"a whole number from {LEAST_CONTEXT} to {MOST_CONTEXT}, or auto"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.5", ("temperature", 0.5)),
        ("temperature", "", ("temperature", None)),
        ("num_predict", "100", ("max_tokens", 100)),
        ("n_ctx", "auto", ("n_ctx", "auto")),
        ("num_ctx", "4096", ("n_ctx", 4096)),
        ("n_ctx", f"{MOST_CONTEXT}", ("n_ctx", MOST_CONTEXT)),
        ("think", "off", ("think", False)),
        ("think", "", ("think", None)),
        ("verbose", "", ("verbose", True)),
        ("system", "Be brief.", ("system", "Be brief.")),
        ("system", "", ("system", None)),
    ],
)
def test_a_setting_has_a_value(name: str, text: str, value: tuple[str, Any]) -> None:
    assert value_of(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("temperature", "3", "temperature is '3': it must be a number from 0 to 2"),
        ("temperature", "nan", "temperature is 'nan': it must be a number from 0 to 2"),
        ("max_tokens", "many", "max_tokens is 'many': it must be a whole number from 1"),
        ("n_ctx", f"{MOST_CONTEXT + 1}", f"n_ctx is '{MOST_CONTEXT + 1}': it must be {CONTEXT}"),
        ("n_ctx", f"{LEAST_CONTEXT - 1}", f"n_ctx is '{LEAST_CONTEXT - 1}': it must be {CONTEXT}"),
        ("think", "hard", "think is 'hard': it must be on or off"),
        ("temprature", "1", "there is no setting temprature: did you mean temperature?"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_right(name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        value_of(name, text)
    assert raised.value.message == told


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (0, "0"),
        (1, "1"),
        (True, "on"),
        (False, "off"),
        (None, "the default again"),
        ("", "nothing"),
    ],
)
def test_a_value_is_said_as_what_it_is(value: Any, words: str) -> None:
    assert value_words(value) == words
