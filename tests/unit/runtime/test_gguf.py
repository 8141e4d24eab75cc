"""Which file of a model directory is loaded, and what a person is told when none can be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from berth_runtime.errors import (
    AmbiguousModelError,
    LaunchError,
    ModelIncompleteError,
    ModelMissingError,
    ModelUnreadableError,
    QuantizationMissingError,
    WrongFormatError,
)
from berth_runtime.gguf import find_gguf
from berth_runtime.model_path import readable_size
from tests.unit.process.test_sizes import SIZES
from tests.unit.runtime.model_files import GGUF_BYTES, put

SHARDS = ("big-Q8_0-00001-of-00003.gguf", "big-Q8_0-00002-of-00003.gguf", "big-Q8_0-00003-of-00003.gguf")
TWO = ("Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-Q4_K_S.gguf")


@pytest.mark.parametrize(
    ("names", "quantization", "picked"),
    [
        pytest.param(["SmolLM2.Q4_1.gguf"], None, "SmolLM2.Q4_1.gguf", id="the only file"),
        pytest.param(["model.gguf", "config.json", "README.md"], None, "model.gguf", id="beside other files"),
        pytest.param(["MODEL.GGUF"], None, "MODEL.GGUF", id="suffix in capitals"),
        pytest.param(SHARDS, None, SHARDS[0], id="first of the shards"),
        pytest.param(TWO, "Q4_K_M", TWO[0], id="the quantization named"),
        pytest.param(TWO, "q4_k_s", TWO[1], id="the quantization in any case"),
        pytest.param([*TWO, *SHARDS], "Q8_0", SHARDS[0], id="a sharded quantization among others"),
        pytest.param(["m.IQ2_XXS.gguf", "m.IQ2_XS.gguf"], "IQ2_XS", "m.IQ2_XS.gguf", id="one that begins like another"),
        pytest.param(["m-UD-Q4_K_XL.gguf", "m-Q4_K_M.gguf"], "UD-Q4_K_XL", "m-UD-Q4_K_XL.gguf", id="a dynamic one"),
        pytest.param(["m_BF16.gguf", "m_F16.gguf"], "f16", "m_F16.gguf", id="F16 is not BF16"),
        pytest.param(["BF16/a.gguf", "Q8_0/a.gguf"], "Q8_0", "Q8_0/a.gguf", id="a directory per quantization"),
        pytest.param(
            ["m-Q4_0.gguf", ".cache/m-Q8_0.gguf"], None, "m-Q4_0.gguf", id="hidden leftovers are not looked at"
        ),
    ],
)
def test_picks(tmp_path: Path, names: list[str], quantization: str | None, picked: str) -> None:
    directory = put(tmp_path / "model", *names)
    assert find_gguf(directory, quantization) == (directory / picked, None)


def test_a_projector_goes_with_the_model_of_its_directory_and_is_never_the_model(tmp_path: Path) -> None:
    directory = put(tmp_path, "vision-Q4_K_M.gguf", "mmproj-vision-F16.gguf")
    assert find_gguf(directory) == (directory / "vision-Q4_K_M.gguf", directory / "mmproj-vision-F16.gguf")
    assert find_gguf(directory / "vision-Q4_K_M.gguf").projector is None


def test_a_file_of_a_sharded_model_means_the_whole_model(tmp_path: Path) -> None:
    directory = put(tmp_path, *SHARDS, "other-Q4_0.gguf")
    assert find_gguf(directory / SHARDS[1]).model == directory / SHARDS[0]


@pytest.mark.parametrize(
    ("names", "quantization", "error", "said"),
    [
        pytest.param(
            TWO,
            None,
            AmbiguousModelError,
            "several quantizations: Q4_K_M (1 kB), Q4_K_S (1 kB); name one",
            id="several quantizations",
        ),
        pytest.param(
            ["a.gguf", "b.gguf"], None, AmbiguousModelError, "several models: a (1 kB), b (1 kB)", id="several models"
        ),
        pytest.param(
            ["a-Q4_0.gguf", "b-Q4_0.gguf"], "Q4_0", AmbiguousModelError, "a-Q4_0", id="one quantization of two models"
        ),
        pytest.param(TWO, "Q4_K", QuantizationMissingError, "no Q4_K but Q4_K_M (1 kB), Q4_K_S", id="half a name"),
        pytest.param(
            ["m.gguf"], "Q4_0", QuantizationMissingError, "no Q4_0 but m (1 kB)", id="a name that says nothing"
        ),
        pytest.param(
            SHARDS[:2], None, ModelIncompleteError, f"lacks 1 of 3 shards: {SHARDS[2]}", id="last shard missing"
        ),
        pytest.param(
            SHARDS[1:], None, ModelIncompleteError, f"lacks 1 of 3 shards: {SHARDS[0]}", id="first shard missing"
        ),
        pytest.param(["mmproj-F16.gguf"], None, WrongFormatError, "only a multimodal projector", id="only a projector"),
        pytest.param(
            ["model.safetensors", "config.json"],
            None,
            WrongFormatError,
            "but config.json, model.safetensors; safetensors weights run with backend vllm or transformers",
            id="another format",
        ),
        pytest.param([], None, WrongFormatError, "is empty", id="empty directory"),
    ],
)
def test_refuses_a_directory(
    tmp_path: Path, names: list[str], quantization: str | None, error: type[LaunchError], said: str
) -> None:
    directory = put(tmp_path / "model", *names)
    with pytest.raises(error) as refusal:
        find_gguf(directory, quantization)
    assert said in str(refusal.value)
    assert str(directory) in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: the download did not finish"),
        (bytes(4096), "begins with zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "is an HTML or XML page"),
        (b'{"error": "Invalid credentials"}', "is a JSON document"),
        (b"PK\x03\x04", "is a ZIP archive"),
        (b"\x01\x02\x03\x04", "begins with 01 02 03 04 instead of"),
    ],
)
def test_says_what_a_file_is_that_is_not_gguf(tmp_path: Path, content: bytes, said: str) -> None:
    directory = put(tmp_path, "model.gguf", content=content)
    with pytest.raises(WrongFormatError, match=r"model\.gguf") as refusal:
        find_gguf(directory)
    assert said in str(refusal.value)


def test_looks_into_every_shard(tmp_path: Path) -> None:
    directory = put(tmp_path, *SHARDS)
    (directory / SHARDS[2]).write_bytes(b"<html>")
    with pytest.raises(WrongFormatError, match=SHARDS[2]):
        find_gguf(directory)


def test_a_missing_model_names_what_there_is(tmp_path: Path) -> None:
    store = put(tmp_path / "models", "SmolLM2/a.gguf", "Qwen3/a.gguf")
    with pytest.raises(ModelMissingError) as refusal:
        find_gguf(store / "Llama")
    assert str(refusal.value) == f"{store}/Llama does not exist; {store} holds Qwen3, SmolLM2"
    with pytest.raises(ModelMissingError, match=f"{store} holds"):
        find_gguf(store / "Llama" / "Q4_0" / "model.gguf")


def test_of_many_names_a_few_are_shown(tmp_path: Path) -> None:
    put(tmp_path, *(f"model-{number:03}/a.gguf" for number in range(500)))
    with pytest.raises(ModelMissingError, match=r"model-007 and 492 more$"):
        find_gguf(tmp_path / "other")


def test_a_link_to_nothing_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to("/gone")
    with pytest.raises(ModelMissingError, match="link to /gone"):
        find_gguf(tmp_path / "model")


@pytest.mark.parametrize("hidden", ["model/model.gguf", "model", "."])
def test_a_model_that_may_not_be_read_says_for_whom(tmp_path: Path, hidden: str) -> None:
    put(tmp_path / "store", "model/model.gguf")
    (tmp_path / "store" / hidden).chmod(0)
    find = """
import os, pathlib
from berth_runtime.gguf import find_gguf
if os.getuid() == 0:  # root may read everything
    os.setuid(65532)
find_gguf(pathlib.Path("store/model"))
"""
    user = os.getuid() or 65532
    tmp_path.chmod(0o755)
    result = subprocess.run(
        [sys.executable, "-c", find],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    (tmp_path / "store" / hidden).chmod(0o755)
    assert "store" in result.stderr
    assert f"permission denied for user {user}" in result.stderr


def test_a_dangling_file_of_a_model_is_unreadable_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to("/gone/blob")
    with pytest.raises(ModelUnreadableError, match=r"model\.gguf: No such file"):
        find_gguf(tmp_path)


@pytest.mark.parametrize(("size", "text"), SIZES)
def test_sizes_read_as_all_of_berth_writes_them(size: int, text: str) -> None:
    assert readable_size(size) == text


def test_a_named_file_needs_no_suffix_but_the_right_content(tmp_path: Path) -> None:
    blob = put(tmp_path, "blob") / "blob"
    assert blob.read_bytes() == GGUF_BYTES
    assert find_gguf(blob).model == blob
