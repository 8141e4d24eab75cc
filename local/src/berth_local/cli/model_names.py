"""Completes the names of models, engines and devices in a shell."""

import os
from pathlib import Path

import click

from berth_local.cli.errors import CommandError
from berth_process.settings_error import SettingsError


def complete_model(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of models that begin so: of the running server, or of this machine's store where no server answers."""
    from berth_local.cli.connection import Target, connect, running_url  # noqa: PLC0415 (only when Tab is pressed)
    from berth_local.cli.printing import model_name  # noqa: PLC0415
    from berth_local.serve.interface import default_store  # noqa: PLC0415

    try:
        url = os.environ.get("BERTH_URL") or running_url()
        if url is None:
            return sorted(name for name in _stored(default_store()) if name.startswith(incomplete))
        with connect(Target(url, os.environ.get("BERTH_API_KEY"))) as client:
            names = [model_name(model["id"]) for model in client.get("/v1/models")["data"]]
    except (CommandError, SettingsError):
        names = _stored(default_store())
    return sorted(name for name in names if name.startswith(incomplete))


def complete_engine(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The engines that begin so."""
    return [name for name in ("llamacpp", "transformers", "vllm") if name.startswith(incomplete)]


def complete_device(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The devices that begin so."""
    return [name for name in ("cpu", "cuda") if name.startswith(incomplete)]


def _stored(store: Path) -> list[str]:
    return [entry.name for entry in store.iterdir() if not entry.name.startswith(".")] if store.is_dir() else []
