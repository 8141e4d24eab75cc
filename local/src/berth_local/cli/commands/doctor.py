"""berth doctor: whether this machine has what Berth needs, and what is missing."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from berth_local.cli.gpu_words import GPU_SERVER, gpu_lines
from berth_local.cli.options import OutputFormat, output_option
from berth_local.cli.printing import facts, print_json, size, terminal_width
from berth_local.serve.interface import describe_machine, home_directory, running_server

_LITTLE_BYTES = 5_000_000_000
"""Less than a model of common size takes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at."""

    what: str
    state: str
    """ok; note: it works, with less; missing: Berth cannot serve without it."""
    message: str


@click.command()
@output_option
def doctor(output: OutputFormat) -> None:
    """Check this machine: what Berth finds here, and what is missing.

    It ends with 1 if Berth cannot serve here.
    """
    findings = [*_folder(home_directory()), *of_machine(describe_machine(), has_uv=_has_uv()), _server()]
    if output is OutputFormat.JSON:
        print_json([{"what": each.what, "state": each.state, "message": each.message} for each in findings])
    else:
        named = ((f"{each.state:<8} {each.what:<12}", each.message) for each in findings)
        print(facts(named, terminal_width()))
    if any(each.state == "missing" for each in findings):
        click.get_current_context().exit(1)


def of_machine(machine: dict[str, Any], *, has_uv: bool) -> Iterator[Finding]:
    """What there is to say of a machine, as the API describes it."""
    free = machine["store_free_bytes"]
    little = free is not None and free < _LITTLE_BYTES
    yield Finding("disk", "note" if little else "ok", f"{size(free)} free for models in {machine['store']}")
    budgets = {each["device"]: each["budget_bytes"] for each in machine["memory"]}
    yield Finding("memory", "ok", f"{size(budgets['cpu'])} for all models together; `berth up --memory` bounds it")
    engines = {each["name"]: each for each in machine["engines"]}
    yield _llamacpp(engines.get("llamacpp"), gpu=bool(machine["gpus"]))
    yield from _gpus(machine)
    for name in ("transformers", "vllm"):
        if engine := engines.get(name):
            yield _python_engine(name, engine, has_uv=has_uv)
        else:
            yield Finding(name, "note", "there is no build for this machine")


def _llamacpp(engine: dict[str, Any] | None, *, gpu: bool) -> Finding:
    if engine is None:
        return Finding(
            "llama.cpp",
            "missing",
            "put llama-server on PATH, or install the package xllamacpp beside Berth: it runs GGUF models",
        )
    if gpu and "cuda" not in engine["devices"]:
        return Finding("llama.cpp", "note", f"{engine['where']} cannot use the GPU; {GPU_SERVER}")
    return Finding("llama.cpp", "ok", f"{engine['where']} ({', '.join(engine['devices'])})")


def _gpus(machine: dict[str, Any]) -> Iterator[Finding]:
    for line in gpu_lines(machine):
        yield Finding("gpu", "ok", line)
    if not machine["gpus"]:
        yield Finding(
            "gpu", "note", "neither NVIDIA's driver nor a llama-server tells of one: models compute on the processor"
        )


def _python_engine(name: str, engine: dict[str, Any], *, has_uv: bool) -> Finding:
    if engine["installed"]:
        return Finding(name, "ok", f"{engine['where']} ({', '.join(engine['devices'])})")
    if has_uv:
        return Finding(name, "ok", "is installed at the first use, which takes some gigabytes")
    return Finding(name, "note", "uv is missing, which installs it at the first use")


def _folder(home: Path) -> Iterator[Finding]:
    there = next((folder for folder in (home, *home.absolute().parents) if folder.is_dir()), Path("/"))
    if os.access(there, os.W_OK):
        yield Finding("folder", "ok", f"{home}")
    else:
        yield Finding("folder", "missing", f"{home} cannot be written to: BERTH_HOME names another")


def _server() -> Finding:
    if running := running_server():
        return Finding("server", "ok", f"{running.url}/v1 (pid {running.pid}), models in {running.store}")
    return Finding("server", "note", "none runs: `berth up -d` starts one")


def _has_uv() -> bool:
    from uv import find_uv_bin  # noqa: PLC0415 (only where it is wanted)

    try:
        return bool(find_uv_bin())
    except FileNotFoundError:
        return shutil.which("uv") is not None
