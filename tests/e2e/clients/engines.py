"""The engines that clients are run against: what `berth up` needs for each, and the models in its store."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from berth_api.model_deployment import Backend
from berth_local.cli.sample_model import FILE, MODEL
from berth_local.engines.discovery import ENVIRONMENT_VARIABLES, TRANSFORMERS, VLLM_CPU
from berth_local.engines.python_environment import Packages, ensure
from tests.e2e.clients.catalog import FOLDER, TOOLS_MODEL
from tests.e2e.wide_model import TEMPLATE, WIDE_MODEL, WINDOW, make_wide_model
from tests.integration.local.running import Berth

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("BERTH_CACHE") or Path.home() / ".cache/berth")
MAKING_SECONDS = 900

ENGINES = (Backend.LLAMACPP, Backend.VLLM, Backend.TRANSFORMERS)
"""Those that clients are run against, in the order of the page."""

OPTIONS = ("--max-tokens", "256")
"""Of `berth up`. Without a limit the small model fills its context with the answer to a client that states none."""

_PACKAGES: Mapping[Backend, Packages] = {Backend.VLLM: VLLM_CPU, Backend.TRANSFORMERS: TRANSFORMERS}

_RESPONSE_TEMPLATE: Mapping[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*<\|im_end\|>", "content": "text"},
    },
}
"""How the sample writes a call of a tool, in the words of Transformers, which reads calls of no other models."""


@asynccontextmanager
async def berth_with(engine: Backend, folder: Path) -> AsyncGenerator[Berth]:
    """A `berth up` with this engine and the models that clients ask. Everything of it is in the folder."""
    make_models(engine, folder / "models")
    environment: dict[str, str] = {}
    if engine in _PACKAGES:
        environment[ENVIRONMENT_VARIABLES[engine]] = str(python_environment(engine))
        environment["BERTH_PROFILES"] = json.dumps({engine.value: {"backend": engine.value}})
    async with Berth(folder, real_engine=True, options=OPTIONS, environment=environment) as running:
        yield running


def name_in(engine: Backend, model: str) -> str:
    """The model as clients name it: where several engines take its files, with the profile that names one."""
    return f"{model}@{engine.value}" if engine in _PACKAGES else model


def python_environment(engine: Backend) -> Path:
    """The engine's Python environment, which is installed once for each set of packages."""
    packages = _PACKAGES[engine]
    made = CACHE / "engines" / f"{engine.value}-{hashlib.sha256(packages.to_json().encode()).hexdigest()[:12]}"
    ensure(made, packages)
    return made


def make_models(engine: Backend, store: Path) -> None:
    """Puts the models that clients ask into a store, in the format that the engine takes."""
    sample = CACHE / "clients" / "models"
    subprocess.run([sys.executable, ROOT / "scripts/sample-model", sample], check=True, timeout=MAKING_SECONDS)
    if engine is Backend.LLAMACPP:
        _make_gguf_models(sample, store)
    else:
        _make_checkpoints(_sample_checkpoint(sample), store)


def _make_gguf_models(sample: Path, store: Path) -> None:
    make_wide_model(sample / MODEL / FILE, store)
    (store / TOOLS_MODEL).mkdir(parents=True)
    subprocess.run(
        [
            Path(sys.executable).with_name("gguf-new-metadata"),
            "--chat-template-file",
            FOLDER / "tools.jinja",
            sample / MODEL / FILE,
            store / TOOLS_MODEL / "model.gguf",
        ],
        check=True,
        timeout=MAKING_SECONDS,
        capture_output=True,
    )


def _sample_checkpoint(sample: Path) -> Path:
    """The sample as safetensors: made once."""
    made = sample / "safetensors"
    if not made.is_dir():
        part = sample / f"safetensors.part-{os.getpid()}"
        subprocess.run(
            [
                python_environment(Backend.TRANSFORMERS) / "bin/python",
                ROOT / "scripts/sample-models/gguf_to_safetensors.py",
                sample / MODEL,
                part,
            ],
            check=True,
            timeout=MAKING_SECONDS,
            capture_output=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        part.replace(made)
    return made


def _make_checkpoints(sample: Path, store: Path) -> None:
    template = (FOLDER / "tools.jinja").read_text()
    _make_checkpoint(sample, store / TOOLS_MODEL, template, {})
    _make_checkpoint(sample, store / WIDE_MODEL, TEMPLATE, {"max_position_embeddings": WINDOW})


def _make_checkpoint(sample: Path, target: Path, template: str, config: Mapping[str, Any]) -> None:
    shutil.copytree(sample, target, ignore=shutil.ignore_patterns("*.safetensors"))
    (target / "model.safetensors").symlink_to(sample / "model.safetensors")
    (target / "chat_template.jinja").write_text(template)
    _change(target / "config.json", config)
    _change(target / "tokenizer_config.json", {"response_template": _RESPONSE_TEMPLATE})


def _change(file: Path, fields: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields, indent=1))
