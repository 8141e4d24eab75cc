"""What a folder is to the engines, by its files' names: the inventory, its descriptions and the launcher all agree."""

from pathlib import Path

import pytest

from berth_formats.contents import contents_of
from berth_formats.describe import describe_files
from berth_formats.errors import FormatError
from berth_router.store.model_store import ModelStore
from berth_runtime.checkpoint import find_checkpoint
from berth_runtime.errors import LaunchError, WrongFormatError
from berth_runtime.gguf import find_gguf
from tests.unit.runtime.model_files import put

CHECKPOINT = ("config.json", "model.safetensors")

FOLDERS = [
    pytest.param(["m-Q4_K_M.gguf"], {"gguf"}, id="one file"),
    pytest.param(["M.GGUF"], {"gguf"}, id="suffix in capitals"),
    pytest.param(["m-Q4_K_M.gguf", "m-Q8_0.gguf"], {"gguf"}, id="two quantizations"),
    pytest.param(["Q4_K_M/m.gguf", "Q8_0/m.gguf"], {"gguf"}, id="a folder for each quantization"),
    pytest.param(["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"], {"gguf"}, id="shards"),
    pytest.param(["m-Q4_0.gguf", "mmproj-F16.gguf"], {"gguf"}, id="with a projector"),
    pytest.param(["mmproj-F16.gguf"], set[str](), id="only a projector"),
    pytest.param(["a/b/m.gguf"], set[str](), id="too deep"),
    pytest.param([".m.gguf", ".cache/m.gguf", "README.md"], set[str](), id="hidden leftovers"),
    pytest.param(CHECKPOINT, {"safetensors"}, id="a checkpoint"),
    pytest.param(["model.safetensors"], {"safetensors"}, id="a checkpoint without its configuration"),
    pytest.param([*CHECKPOINT, "m.gguf"], {"gguf", "safetensors"}, id="both"),
    pytest.param(["config.json", "weights/model.safetensors"], set[str](), id="weights below the top"),
    pytest.param(["config.json", "model.SAFETENSORS"], set[str](), id="a suffix that the engines do not look for"),
    pytest.param(["config.json", ".model.safetensors"], set[str](), id="hidden weights"),
    pytest.param(["config.json", "pytorch_model.bin"], set[str](), id="pickles only"),
    pytest.param(["config.json"], set[str](), id="no weights"),
]


@pytest.mark.parametrize(("names", "formats"), FOLDERS)
async def test_inventory_and_launcher_agree(tmp_path: Path, names: list[str], formats: set[str]) -> None:
    folder = put(tmp_path / "m", *names)
    assert contents_of((name, 1) for name in names).formats == formats
    assert (await ModelStore(tmp_path).lookup("/models/m")).weights == formats
    listed = [model for model in await ModelStore(tmp_path).models() if model.name == "m"]
    assert [model.formats for model in listed] == [formats] * len(listed)
    assert {name for name in ("gguf", "safetensors") if launcher_finds(name, folder)} == formats
    for model in listed if not formats else ():
        with pytest.raises(FormatError, match=r"^its? "):
            describe_files(folder, [(file.name, file.size) for file in model.files])


def launcher_finds(format: str, folder: Path) -> bool:  # noqa: A002 (the word for it)
    """Whether the launcher finds weights of this format, complete or not."""
    try:
        find_gguf(folder) if format == "gguf" else find_checkpoint(folder, "vllm")
    except WrongFormatError as error:
        return "config.json is not JSON" in str(error)
    except LaunchError:
        return True
    return True
