"""Which engines a machine has, and engines in environments of their own."""

import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from berth_api.model_deployment import Backend, Device
from berth_local.engines import REQUIREMENTS, EnvironmentLauncher, PythonEngine, available_engines, python_engine
from berth_local.environment import is_complete
from berth_local.process_output import Output
from berth_local.processes import Processes

PINS = Path(__file__).parents[3] / "runtime-image/python"


def program(directory: Path, name: str, script: str = "") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)
    return directory


@pytest.mark.parametrize(
    ("programs", "variables", "engines"),
    [
        ([], {}, {"llamacpp": ["cpu"], "transformers": ["cpu"]}),
        (["nvidia-smi"], {}, {"llamacpp": ["cpu"], "transformers": ["cpu", "cuda"], "vllm": ["cuda"]}),
        (["nvidia-smi", "llama-server"], {}, {"llamacpp": ["cpu", "cuda"], "transformers": ["cpu", "cuda"], "vllm": ["cuda"]}),
        ([], {"BERTH_VLLM_ENV": "/opt/vllm"}, {"llamacpp": ["cpu"], "transformers": ["cpu"], "vllm": ["cpu"]}),
    ],
)
def test_engines_follow_from_the_machine(
    tmp_path: Path, programs: list[str], variables: dict[str, str], engines: dict[str, list[str]]
) -> None:
    for name in programs:
        program(tmp_path, name)
    found = available_engines({"PATH": str(tmp_path), **variables})
    assert found == {Backend(engine): [Device(device) for device in devices] for engine, devices in engines.items()}


def test_engines_are_of_the_releases_that_the_images_have() -> None:
    pinned = {line.strip() for file in PINS.glob("*.in") for line in file.read_text().splitlines()}
    for requirement in (requirement for requirements in REQUIREMENTS.values() for requirement in requirements):
        assert requirement in pinned or not re.search("==", requirement), f"{requirement} is not in runtime-image/python"


def test_an_environment_that_is_named_is_left_as_it_is(tmp_path: Path) -> None:
    assert python_engine(Backend.VLLM, tmp_path, {"BERTH_VLLM_ENV": "/opt/vllm"}) == PythonEngine(Path("/opt/vllm"))
    assert python_engine(Backend.VLLM, tmp_path, {}) == PythonEngine(tmp_path / "engines/vllm", REQUIREMENTS[Backend.VLLM])


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    async with Processes() as opened:
        yield opened


def checkpoint(directory: Path) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_text("x")
    return directory


async def launched(processes: Processes, engine: PythonEngine, tmp_path: Path) -> tuple[int, Output, Path]:
    """The exit code, output and last words of Transformers' launcher."""
    last_words = tmp_path / "last-words"
    last_words.touch()
    output = Output()
    arguments = ["transformers", "--model", str(checkpoint(tmp_path / "model")), "--device", "cpu"]
    environment = {**os.environ, "BERTH_TERMINATION_LOG": str(last_words)}
    child = await EnvironmentLauncher(processes, engine).launch(arguments, environment, output)
    return await child.wait(), output, last_words


async def test_an_engine_comes_from_its_environment(processes: Processes, tmp_path: Path) -> None:
    program(tmp_path / "env/bin", "transformers", 'echo "this is $0 $1"; exit 5')
    code, output, _ = await launched(processes, PythonEngine(tmp_path / "env"), tmp_path)
    assert code == 5
    assert f"this is {tmp_path / 'env/bin/transformers'} serve" in output.lines()


async def test_an_environment_that_is_there_is_used_at_once(processes: Processes, tmp_path: Path) -> None:
    program(tmp_path / "env/bin", "transformers", "exit 6")
    (tmp_path / "env/berth-complete").write_text("a==1\nb")
    assert is_complete(tmp_path / "env", ["a==1", "b"])
    code, _, _ = await launched(processes, PythonEngine(tmp_path / "env", ("a==1", "b")), tmp_path)
    assert code == 6


async def test_what_cannot_be_installed_is_told_with_what_uv_said(processes: Processes, tmp_path: Path) -> None:
    engine = PythonEngine(tmp_path / "env", (f"nothing @ file://{tmp_path}/nothing-1-py3-none-any.whl",))
    code, output, last_words = await launched(processes, engine, tmp_path)
    assert code == 69
    assert last_words.read_text().startswith("EngineNotInstalled: uv pip ended with code")
    assert any("nothing-1" in line for line in output.lines()[1:])
    assert not is_complete(engine.directory, engine.requirements)


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
async def test_an_environment_without_its_engine_says_so(processes: Processes, tmp_path: Path) -> None:
    code, _, last_words = await launched(processes, PythonEngine(tmp_path / "env"), tmp_path)
    assert code == 69
    assert last_words.read_text().startswith("EngineNotInstalled: transformers cannot be run")
