"""Names of models, as Ollama's clients write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_router.ollama.errors import OllamaError
from berth_router.ollama.names import berth_name, ollama_name
from tests.unit.examples import examples

NAMES = [
    ("SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct"),
    ("SmolLM2-135M-Instruct:latest", "SmolLM2-135M-Instruct"),
    ("SmolLM2-135M-Instruct:LATEST", "SmolLM2-135M-Instruct"),
    (" SmolLM2-135M-Instruct ", "SmolLM2-135M-Instruct"),
    ("/models/SmolLM2-135M-Instruct", "/models/SmolLM2-135M-Instruct"),
    ("/models/SmolLM2-135M-Instruct:latest", "/models/SmolLM2-135M-Instruct"),
    ("team/llama:latest", "team/llama"),
    ("llama@fast", "llama@fast"),
    ("llama@fast:latest", "llama@fast"),
    ("llama:latest@fast", "llama@fast"),
    ("library/llama3.2", "llama3.2"),
    ("registry.ollama.ai/library/llama3.2:latest", "llama3.2"),
    ("llama3.2:1b", "llama3.2-1b"),
    ("SmolLM2-GGUF:q8_0", "SmolLM2-GGUF-Q8_0"),
    ("hf.co/bartowski/SmolLM2-GGUF", "SmolLM2-GGUF"),
    ("hf.co/bartowski/SmolLM2-GGUF:latest", "SmolLM2-GGUF"),
    ("hf.co/bartowski/SmolLM2-GGUF:Q4_K_M", "SmolLM2-GGUF-Q4_K_M"),
    ("hf.co/bartowski/SmolLM2-GGUF:q4_k_m", "SmolLM2-GGUF-Q4_K_M"),
    ("hf.co/bartowski/SmolLM2-GGUF:SmolLM2-IQ3_M.gguf", "SmolLM2-GGUF-IQ3_M"),
    ("HF.co/bartowski/SmolLM2-GGUF@gpu:latest", "SmolLM2-GGUF@gpu"),
    ("https://huggingface.co/bartowski/SmolLM2-GGUF:Q4_K_M", "SmolLM2-GGUF-Q4_K_M"),
]


@pytest.mark.parametrize(("written", "name"), NAMES)
def test_a_name_means_a_model_of_the_store(written: str, name: str) -> None:
    assert berth_name(written) == name


@pytest.mark.parametrize(
    "written", ["", ":", ":latest", "a b", "../etc", ".hidden", "a//b", "llama@", "@fast", "a@b c", "ä"]
)
def test_what_no_model_can_be_called_is_not_found(written: str) -> None:
    with pytest.raises(OllamaError) as refused:
        berth_name(written)
    assert (refused.value.status, refused.value.message) == (404, f"model '{written}' not found")


@pytest.mark.parametrize("path", ["/models/llama", "/models/team/llama", "/models/qwen-2.5+x=1"])
def test_a_listed_name_leads_back_to_its_model(path: str) -> None:
    listed = ollama_name(path)
    assert listed.endswith(":latest")
    assert f"/models/{berth_name(listed)}" == path


@given(st.text() | st.from_regex(r"(hf\.co/|library/)?[a-z./:@-]{0,20}", fullmatch=True))
@settings(max_examples=examples(500))
def test_any_name_is_a_path_without_a_tag_or_not_found(written: str) -> None:
    try:
        name = berth_name(written)
    except OllamaError:
        return
    assert ":" not in name
    assert ".." not in name.split("/")
