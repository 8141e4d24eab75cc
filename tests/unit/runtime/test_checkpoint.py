"""Which directories vLLM and Transformers get to see, and what is said of the others."""

import json
from pathlib import Path

import pytest

from berth_runtime.checkpoint import find_checkpoint
from berth_runtime.errors import (
    LaunchError,
    ModelIncompleteError,
    ModelMissingError,
    ModelUnreadableError,
    WrongFormatError,
)
from tests.unit.runtime.model_files import put

INDEX = "model.safetensors.index.json"


def with_config(directory: Path) -> Path:
    return put(directory, "config.json", content=b'{"model_type": "llama"}')


def index_of(*shards: str) -> bytes:
    return json.dumps({"weight_map": {f"layer.{number}": shard for number, shard in enumerate(shards)}}).encode()


def test_one_file(tmp_path: Path) -> None:
    model = with_config(put(tmp_path / "model", "model.safetensors", "model.gguf"))
    assert find_checkpoint(model, "vllm") == (model, {"model_type": "llama"})


def test_all_shards_of_the_index(tmp_path: Path) -> None:
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    model = put(with_config(put(tmp_path / "model", *shards)), INDEX, content=index_of(*shards))
    assert find_checkpoint(model, "vllm").directory == model


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    model = with_config(put(tmp_path / "model", "a.safetensors"))
    put(model, INDEX, content=index_of("a.safetensors", "b.safetensors"))
    with pytest.raises(ModelIncompleteError, match=r"lacks 1 of 2 shards: b\.safetensors$"):
        find_checkpoint(model, "vllm")


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        ([], WrongFormatError, "is empty; backend transformers needs config.json and safetensors weights"),
        (
            ["model.gguf"],
            WrongFormatError,
            "holds no safetensors weights, which backend transformers needs, but model.gguf; GGUF files run",
        ),
        (["Q4_0/model.gguf"], WrongFormatError, "GGUF files run with backend llamacpp"),
        (["pytorch_model.bin", "config.json"], WrongFormatError, "but config.json, pytorch_model.bin$"),
        (
            ["model.safetensors", "tokenizer.json"],
            ModelIncompleteError,
            r"has no config.json, which backend transformers needs, but model.safetensors, tok",
        ),
        (["model.safetensors", "config.json"], WrongFormatError, "config.json is not JSON"),
        (["model.safetensors", INDEX, "config.json"], WrongFormatError, f"{INDEX} is not JSON"),
    ],
)
def test_what_is_no_model_for_it(tmp_path: Path, names: list[str], error: type[LaunchError], said: str) -> None:
    with pytest.raises(error, match=said):
        find_checkpoint(put(tmp_path / "model", *names), "transformers")


def test_an_index_that_is_none(tmp_path: Path) -> None:
    model = put(with_config(put(tmp_path / "model", "a.safetensors")), INDEX, content=b'{"weight_map": []}')
    with pytest.raises(WrongFormatError, match="has no weight_map"):
        find_checkpoint(model, "vllm")


def test_weights_that_are_empty(tmp_path: Path) -> None:
    model = put(with_config(tmp_path / "model"), "model.safetensors", content=b"")
    with pytest.raises(ModelIncompleteError, match="is empty: the download did not finish"):
        find_checkpoint(model, "vllm")


def test_a_file(tmp_path: Path) -> None:
    file = put(tmp_path, "model.gguf") / "model.gguf"
    with pytest.raises(
        WrongFormatError, match=r"needs a directory with config.json.*; GGUF files run with backend llamacpp"
    ):
        find_checkpoint(file, "vllm")


def test_nothing(tmp_path: Path) -> None:
    put(tmp_path, "other")
    with pytest.raises(ModelMissingError, match=r"does not exist; .* holds other"):
        find_checkpoint(tmp_path / "model", "vllm")


def test_a_directory_that_cannot_be_read(tmp_path: Path) -> None:
    loop = tmp_path / "model"
    loop.symlink_to(loop)
    with pytest.raises(ModelUnreadableError, match="symbolic links"):
        find_checkpoint(loop, "vllm")
