"""What is told of a model's directory, and why one is broken."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from berth_formats.describe import describe
from berth_formats.errors import FormatError
from berth_formats.gguf_model import GgufOpening, opening_of
from berth_formats.pooling import Pooling
from tests.tiny_bert import TRAINED_TOKENS, write_bert
from tests.unit.formats.weights import write_checkpoint, write_gguf


def test_a_gguf_file_tells_all_that_the_inventory_shows(tmp_path: Path) -> None:
    found = describe(write_gguf(tmp_path / "model.gguf"))
    assert (found.format, found.architecture, found.quantization, found.context_length) == (
        "gguf",
        "llama",
        "F16",
        2048,
    )
    assert (found.parameters, found.has_chat_template) == (300 * 64 + 64, True)
    assert found.file_bytes == (tmp_path / "model.gguf").stat().st_size


def test_a_gguf_file_tells_what_a_context_needs(tmp_path: Path) -> None:
    found = describe(write_gguf(tmp_path / "model.gguf"))
    assert found.attention is not None
    assert (found.attention.layers, found.attention.kv_heads, found.attention.key_length) == (2, (2, 2), 16)
    assert found.attention.kv_elements_per_token == 2 * 2 * (16 + 16)
    assert (found.feed_forward_length, found.vocabulary_size) == (128, 300)


def test_a_checkpoint_tells_the_same(tmp_path: Path) -> None:
    found = describe(write_checkpoint(tmp_path / "model"))
    assert (found.format, found.architecture, found.quantization, found.context_length) == (
        "safetensors",
        "llama",
        "F16",
        2048,
    )
    assert (found.parameters, found.has_chat_template) == (650, True)
    assert found.attention is not None
    assert (found.attention.layers, found.attention.kv_heads, found.attention.key_length) == (2, (2, 2), 16)
    assert (found.feed_forward_length, found.vocabulary_size) == (128, 300)


def test_the_language_models_part_of_a_models_configuration_counts(tmp_path: Path) -> None:
    found = describe(write_checkpoint(tmp_path, model_type="gemma3", text_config={"max_position_embeddings": 4096}))
    assert (found.architecture, found.context_length) == ("gemma3", 4096)


def test_the_method_of_quantization_is_named(tmp_path: Path) -> None:
    assert (
        describe(write_checkpoint(tmp_path, quantization_config={"quant_method": "awq", "bits": 4})).quantization
        == "awq"
    )


@pytest.mark.parametrize("template", [None, ""])
def test_a_model_without_a_chat_template(tmp_path: Path, template: str | None) -> None:
    assert not describe(write_checkpoint(tmp_path / "checkpoint", template=template)).has_chat_template
    assert not describe(write_gguf(tmp_path / "model.gguf", template=template)).has_chat_template


def test_a_long_chat_template_is_one(tmp_path: Path) -> None:
    assert describe(write_gguf(tmp_path / "model.gguf", template="x" * 100_000)).has_chat_template


def test_a_chat_template_in_a_file_of_its_own(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, template=None)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert describe(tmp_path).has_chat_template


@pytest.mark.covers("models[].quantization")
def test_the_quantization_is_what_the_name_says_and_else_what_the_header_says(tmp_path: Path) -> None:
    assert describe(write_gguf(tmp_path / "a" / "tiny.Q4_K_M.gguf")).quantization == "Q4_K_M"
    assert describe(write_gguf(tmp_path / "b" / "tiny.gguf", file_type=15)).quantization == "Q4_K_M"
    assert describe(write_gguf(tmp_path / "c" / "tiny.gguf", file_type=None)).quantization == "F16"


def test_of_several_quantizations_one_is_described_when_it_is_named(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.Q8_0.gguf")
    write_gguf(tmp_path / "tiny.Q4_K_M.gguf")
    assert describe(tmp_path).quantization is None
    assert describe(tmp_path, "q4_k_m").quantization == "Q4_K_M"
    with pytest.raises(FormatError, match="no GGUF model in Q2_K"):
        describe(tmp_path, "Q2_K")


def test_shards_count_together_whichever_is_named(tmp_path: Path) -> None:
    shards = [write_gguf(tmp_path / f"big-{number:05d}-of-00002.gguf") for number in (1, 2)]
    assert describe(tmp_path).parameters == describe(shards[1]).parameters == 2 * (300 * 64 + 64)
    assert describe(write_checkpoint(tmp_path / "checkpoint", shards=3)).parameters == 3 * 650


def test_a_projector_beside_the_model_is_not_the_model(tmp_path: Path) -> None:
    write_gguf(tmp_path / "vision-Q4_K_M.gguf")
    (tmp_path / "mmproj-F16.gguf").write_bytes(b"GGUF")
    assert describe(tmp_path).quantization == "Q4_K_M"


def test_a_model_in_both_formats_is_not_broken_when_one_is_whole(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "model.gguf").write_bytes(b"")
    assert describe(tmp_path).format == "safetensors"


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def test_why_a_directory_is_broken(tmp_path: Path) -> None:
    def reason() -> str:
        with pytest.raises(FormatError) as refusal:
            describe(tmp_path)
        return str(refusal.value)

    assert reason() == "it holds no files"
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    assert reason() == "it holds neither GGUF nor safetensors weights but pytorch_model.bin"
    write_checkpoint(tmp_path, shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert "lacks 1 of 2 shards" in reason()
    assert "model-00002-of-00002.safetensors" in reason()
    (tmp_path / "model.safetensors.index.json").unlink()
    assert "lacks 1 of 2 shards" in reason()
    (tmp_path / "model-00001-of-00002.safetensors").rename(tmp_path / "model.safetensors")
    describe(tmp_path)
    cut(tmp_path / "model.safetensors", 500)
    assert "model.safetensors has 500 bytes" not in reason()
    assert "the download did not finish" in reason()
    (tmp_path / "config.json").write_text("{")
    assert "config.json is not JSON" in reason()
    (tmp_path / "config.json").unlink()
    assert "it has no config.json" in reason()


def test_why_a_gguf_file_is_broken(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "model.gguf")
    whole = model.stat().st_size
    content = model.read_bytes()

    def reason() -> str:
        with pytest.raises(FormatError) as refusal:
            describe(model)
        return str(refusal.value)

    cut(model, whole - 1000)
    assert "bytes: the download did not finish" in reason()
    cut(model, 1000)
    assert reason() == "model.gguf ends after 1000 bytes, in the middle of its header: the download did not finish"
    cut(model, 0)
    assert reason() == "model.gguf is empty: the download did not finish"
    model.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0")
    assert "Git LFS pointer" in reason()
    model.write_bytes(b"GGUF" + bytes([0, 0, 0, 3]) + content[8:])
    assert "big-endian" in reason()
    model.write_bytes(b"GGUF" + bytes([1, 0, 0, 0]) + content[8:])
    assert "version 1" in reason()


def test_a_safetensors_file_that_is_something_else(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    for content, said in (
        (b"", "is empty"),
        (b"<html>" + bytes(100), "HTML"),
        (b"version https://git-lfs.github.com/", "LFS pointer"),
    ):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(FormatError, match=said):
            describe(tmp_path)


def test_a_pipe_and_a_closed_file_hold_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(FormatError, match=r"pipe\.gguf is not a file"):
        describe(tmp_path / "pipe.gguf")
    with pytest.raises(FormatError, match=r"absent\.gguf cannot be read: No such file"):
        describe(tmp_path / "absent.gguf")


def test_an_index_that_lists_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=2)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(FormatError, match="lists no files"):
        describe(tmp_path)


@pytest.mark.parametrize(("ranks", "how"), [(False, Pooling.MEAN), (True, Pooling.RANK)])
def test_how_a_model_pools_is_known_without_its_vocabulary(tmp_path: Path, ranks: bool, how: Pooling) -> None:
    model = write_bert(tmp_path / "bert.gguf", ranks=ranks)
    assert describe(model).pooling is how
    header = model.read_bytes()
    model.write_bytes(header[: header.index(b"tokenizer.ggml.tokens")])
    assert opening_of(model) == GgufOpening(how, TRAINED_TOKENS)


def test_a_file_that_cannot_be_read_says_nothing_first(tmp_path: Path) -> None:
    assert opening_of(tmp_path / "missing.gguf") == GgufOpening()
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF\x03\x00")
    assert opening_of(tmp_path / "damaged.gguf") == GgufOpening()
    assert opening_of(write_gguf(tmp_path / "llama.gguf")) == GgufOpening(None, 2048)


@pytest.mark.parametrize(
    ("config", "saves"),
    [
        ({}, False),
        ({"sliding_window": None}, False),
        ({"sliding_window": 4096}, True),
        ({"sliding_window": 4096, "use_sliding_window": False}, False),
        ({"layer_types": ["full_attention", "full_attention"]}, False),
        ({"layer_types": ["sliding_attention", "full_attention"]}, True),
        ({"kv_lora_rank": 512}, True),
        ({"text_config": {"sliding_window": 512}}, True),
    ],
    ids=str,
)
def test_a_model_may_keep_less_of_a_context_than_its_shape_says(
    tmp_path: Path, config: dict[str, Any], saves: bool
) -> None:
    assert describe(write_checkpoint(tmp_path / "checkpoint", **config)).saves_context is saves


def test_a_gguf_file_says_that_of_its_window(tmp_path: Path) -> None:
    assert not describe(write_gguf(tmp_path / "all.gguf")).saves_context
    assert describe(write_gguf(tmp_path / "window.gguf", window=512)).saves_context
