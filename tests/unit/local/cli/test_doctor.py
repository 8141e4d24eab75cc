"""What is said of a machine: what is there, what works with less, what is missing."""

from pathlib import Path
from typing import Any

import pytest

from berth_local.cli.commands.doctor import of_machine
from berth_local.cli.commands.status import machine_lines
from berth_local.cli.gpu_words import gpu_lines, gpu_note
from tests.unit.local.cli.conftest import run_command

LLAMACPP = {"name": "llamacpp", "devices": ["cpu"], "where": "/usr/bin/llama-server", "installed": True}
MACHINE: dict[str, Any] = {
    "store": "/models",
    "store_free_bytes": 9_000_000_000,
    "memory": [{"device": "cpu", "budget_bytes": 8_000_000_000}],
    "engines": [LLAMACPP],
    "gpus": [],
    "gpus_found_by": None,
}
WITH_GPU: dict[str, Any] = {
    **MACHINE,
    "gpus": [{"name": "NVIDIA RTX 4090", "total_bytes": 25_000_000_000, "budget_bytes": 24_000_000_000}],
    "gpus_found_by": "NVML (driver 580)",
}


@pytest.mark.parametrize(
    ("machine", "what", "state", "told"),
    [
        (MACHINE, "llama.cpp", "ok", "/usr/bin/llama-server (cpu)"),
        (MACHINE, "gpu", "note", "compute on the processor"),
        (MACHINE, "memory", "ok", "8.0 GB for all models"),
        (MACHINE, "vllm", "note", "no build for this machine"),
        (
            {**MACHINE, "engines": []},
            "llama.cpp",
            "missing",
            "put llama-server on PATH, or install the package xllamacpp",
        ),
        (WITH_GPU, "llama.cpp", "note", "cannot use the GPU; `pixi global install llama-cpp`"),
        (WITH_GPU, "gpu", "ok", "NVIDIA RTX 4090, 24.0 GB of 25.0 GB free for models; NVML (driver 580) tells"),
        ({**MACHINE, "store_free_bytes": 100_000_000}, "disk", "note", "100 MB free for models in /models"),
    ],
)
def test_each_thing_is_told(machine: dict[str, Any], what: str, state: str, told: str) -> None:
    (finding,) = [each for each in of_machine(machine, has_uv=True) if each.what == what]
    assert finding.state == state
    assert told in finding.message


def test_an_engine_that_is_installed_by_uv_needs_it() -> None:
    engine = {"name": "transformers", "devices": ["cpu"], "where": "/x", "installed": False}
    machine = {**MACHINE, "engines": [LLAMACPP, engine]}
    states = {
        has_uv: {each.what: each.state for each in of_machine(machine, has_uv=has_uv)} for has_uv in (True, False)
    }
    assert (states[True]["transformers"], states[False]["transformers"]) == ("ok", "note")


def test_status_tells_memory_and_engines() -> None:
    assert machine_lines(MACHINE, 388_000_000) == {
        "Memory": "388 MB of 8.0 GB for models",
        "Engines": "llamacpp (/usr/bin/llama-server; cpu)",
    }


def test_status_tells_of_the_gpu() -> None:
    assert machine_lines(WITH_GPU, 0)["GPU"] == gpu_lines(WITH_GPU)[0]


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        (["cpu", "cuda"], "unless `--device cuda` is asked for: llamacpp can"),
        (["cpu"], "which no engine here can do; `pixi global install llama-cpp`"),
    ],
)
def test_who_starts_a_server_reads_what_will_use_the_gpu(devices: list[str], told: str) -> None:
    note = gpu_note({**WITH_GPU, "engines": [{**LLAMACPP, "devices": devices}]})
    assert note
    assert note.startswith("GPU: NVIDIA RTX 4090. Models compute on the processor")
    assert told in note
    assert gpu_note(MACHINE) is None


def test_it_looks_at_this_machine(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    server = tmp_path / "bin/llama-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    home = {"BERTH_HOME": str(tmp_path / "home"), "PATH": str(server.parent)}
    ran = run_command(("doctor",), home)
    assert ran.code == 0
    assert f"{server} (cpu)" in ran.out
    assert "none runs: `berth up -d` starts one" in ran.out
    assert {line[:8].strip() for line in ran.out.splitlines()} <= {"ok", "note"}  # nothing else is printed
