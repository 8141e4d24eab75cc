"""Which model a name means that no model has."""

import pytest

from berth_local.cli.model_lookup import meant, similar

NAMES = ["SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct-Q8_0", "Qwen3-0.6B", "Qwen3-0.6B@fast"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("qwen3", "Qwen3-0.6B"),
        ("QWEN3-0.6b:LATEST", "Qwen3-0.6B"),
        ("smollm2-135m-instruct:latest", "SmolLM2-135M-Instruct"),
        ("smollm2", None),
        ("", None),
    ],
)
def test_one_is_meant_whatever_the_case_and_with_ollamas_tag(name: str, model: str | None) -> None:
    assert meant(name, NAMES) == model


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("smollm2", NAMES[:2]),
        ("smolm2", NAMES[:2]),
        ("quen3", ["Qwen3-0.6B", "Qwen3-0.6B@fast"]),
        ("llama", []),
        ("x", []),
    ],
)
def test_those_are_named_that_may_be_meant_also_by_a_mistyped_beginning(name: str, models: list[str]) -> None:
    assert similar(name, NAMES) == models
