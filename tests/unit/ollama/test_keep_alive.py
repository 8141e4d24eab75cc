"""How long a model stays, in Ollama's words."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_router.ollama.errors import OllamaError
from berth_router.ollama.keep_alive import LONGEST_TTL, KeepAlive, keep_alive_of
from tests.unit.examples import examples

TABLE: list[tuple[Any, KeepAlive]] = [
    (None, KeepAlive()),
    ("", KeepAlive()),
    ("5m", KeepAlive(ttl=300)),
    ("300s", KeepAlive(ttl=300)),
    ("1h30m", KeepAlive(ttl=5400)),
    ("1.5h", KeepAlive(ttl=5400)),
    ("100ms", KeepAlive(ttl=1)),
    ("300", KeepAlive(ttl=300)),
    (300, KeepAlive(ttl=300)),
    (0.2, KeepAlive(ttl=1)),
    (-1, KeepAlive(ttl=0)),
    ("-1", KeepAlive(ttl=0)),
    ("-1m", KeepAlive(ttl=0)),
    (0, KeepAlive(unload=True)),
    (0.0, KeepAlive(unload=True)),
    ("0", KeepAlive(unload=True)),
    ("0s", KeepAlive(unload=True)),
    ("99999h", KeepAlive(ttl=LONGEST_TTL)),
    (1e300, KeepAlive(ttl=LONGEST_TTL)),
]


@pytest.mark.parametrize(("written", "means"), TABLE)
def test_keep_alive_is_a_ttl_for_ever_or_an_unload(written: Any, means: KeepAlive) -> None:
    assert keep_alive_of(written) == means


@pytest.mark.parametrize("written", [True, False, "five minutes", "m", "5 m", "5d", "\u0665m", [], {}, "1h" * 50])
def test_other_values_are_refused_by_name(written: Any) -> None:
    with pytest.raises(OllamaError, match="`keep_alive`"):
        keep_alive_of(written)


@given(st.text() | st.floats() | st.integers() | st.from_regex(r"[-+]?[0-9.]*(h|m|s|ms|us|ns)?", fullmatch=True))
@settings(max_examples=examples(500))
def test_any_value_is_a_ttl_that_berth_takes_or_refused(written: Any) -> None:
    try:
        meant = keep_alive_of(written)
    except OllamaError:
        return
    assert meant.ttl is None or 0 <= meant.ttl <= LONGEST_TTL
