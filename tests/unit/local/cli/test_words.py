"""What is said while a model starts, and when it does not."""

from typing import Any

import pytest

from berth_local.cli.api_errors import error_of
from berth_local.cli.commands.show import lines
from berth_local.cli.words import failure_words, plan_words, waiting_words

TOLD = "waiting for /models/org/tiny"
NEVER_FITS = "tiny-9d4fcf1a5d needs at least 2 GB of memory, and the nearest node, this machine, has 1 GB of memory"
FITS_NOT = (
    "it needs at least 2 GB of memory, and this machine has 1 GB of memory for models:"
    " a smaller quantization or --n-ctx needs less"
)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (TOLD, "loading org/tiny"),
        (f"{TOLD}: Pending", "loading org/tiny"),
        (f"{TOLD}: Starting: the engine loads the model", "loading org/tiny"),
        (
            f"{TOLD}: Starting: installing vllm, once: 3 of 90 packages",
            "org/tiny: installing vllm, once: 3 of 90 packages",
        ),
        (f"{TOLD}: Stalled: it waits for memory: third is busy", "org/tiny: it waits for memory: third is busy"),
        ("the same engine is asked again", "the same engine is asked again"),
    ],
)
def test_every_start_is_one_line_and_what_is_special_is_told(reason: str, shown: str) -> None:
    assert waiting_words(reason) == shown


def test_the_size_of_the_model_says_how_long_it_may_take() -> None:
    assert waiting_words(TOLD, 98_000_000) == "loading org/tiny (98 MB)"
    assert waiting_words(f"{TOLD}: Starting: installing vllm", 98_000_000) == "org/tiny: installing vllm"


def test_a_plan_speaks_of_the_model() -> None:
    plan = {
        "model": "/models/tiny",
        "deployment": "tiny-9d4fcf1a5d",
        "message": "it has room for tiny-9d4fcf1a5d: 1 GB",
    }
    assert plan_words(plan) == "it has room for tiny: 1 GB"
    assert plan_words({"message": "no engine"}) == "no engine"
    assert plan_words({**plan, "message": NEVER_FITS}).startswith(FITS_NOT)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("/models/tiny cannot start: WrongFormat: it is a page", "tiny cannot start: it is a page (WrongFormat)"),
        (
            "/models/tiny cannot start: EngineExited: the engine exited with code 1; its last lines:\nmuch\nno room\n",
            "tiny cannot start: the engine exited with code 1 (EngineExited); its last line: no room",
        ),
        (
            f"/models/tiny cannot start: NeverFits: {NEVER_FITS}; a smaller quantization or contextSize needs less",
            f"tiny cannot start: {FITS_NOT} (NeverFits)",
        ),
        ("/models/tiny cannot start: Stalled", "/models/tiny cannot start: Stalled"),
        ("The model is not here.", "The model is not here."),
    ],
)
def test_a_sentence_comes_before_its_code_and_a_log_is_not_squeezed_into_it(message: str, shown: str) -> None:
    assert failure_words(message) == shown


@pytest.mark.parametrize(("size_gb", "shown"), [(0.0000024, "2 kB"), (0.000000999, "999 B"), (0.098362432, "98 MB")])
def test_a_small_model_has_a_size_too(size_gb: float, shown: str) -> None:
    told: dict[str, Any] = {"name": "small", "size_gb": size_gb, "recommended_backends": [], "template": None}
    assert lines({**told, "plan": {"outcome": "fits", "message": ""}})["Size"] == shown


def test_of_a_broken_model_nobody_says_that_it_fits() -> None:
    model = {"name": "half", "size_gb": 0.001, "recommended_backends": ["llamacpp"], "template": None}
    plan = {"outcome": "fits", "message": "nothing of what it needs is counted"}
    assert lines({**model, "plan": plan})["Now"] == "fits: nothing of what it needs is counted"
    broken = lines({**model, "plan": plan, "broken": "the download did not finish"})
    assert broken["Broken"] == "the download did not finish"
    assert "Now" not in broken


def test_the_endpoint_that_deletes_a_model_is_the_command_that_does() -> None:
    told = "Delete that model first with DELETE /v1/models/inventory/org/tiny-1.5B."
    error = error_of(409, {"error": {"message": told}}, "/v1/models/download")
    assert error.message == "Delete that model first with `berth rm org/tiny-1.5B`."
