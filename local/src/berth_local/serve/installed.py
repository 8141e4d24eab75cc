"""Installs and removes the Python engines of this machine, before or after their use."""

import shutil
import sys
from pathlib import Path

from berth_api.model_deployment import Backend
from berth_local.engines.discovery import ENVIRONMENT_VARIABLES, PythonEngine, available_engines, python_engine
from berth_local.engines.python_environment import PROXY_HINT, InstallerFailedError, ensure, is_complete, removing
from berth_local.serve.state import StartError, WrongOptionError
from berth_runtime.errors import EngineNotInstalledError


def install(home: Path, name: str) -> Path:
    """Installs the engine; its folder. What uv says goes to stderr. Raises WrongOptionError and StartError."""
    engine = _engine(home, name)
    if Backend(name) not in available_engines():
        raise StartError(f"{name} has no build for this machine")
    if engine.packages is None:
        raise WrongOptionError(_named(name, engine, "nothing is installed there"))
    try:
        ensure(engine.directory, engine.packages, output=sys.stderr)
    except InstallerFailedError:
        raise StartError(f"{name} is not installed: uv says above why. {PROXY_HINT}") from None
    except EngineNotInstalledError as error:
        raise StartError(f"{name} is not installed: {error}") from None
    return engine.directory


def remove(home: Path, name: str) -> Path | None:
    """Removes the engine; its folder. None: it is not installed. Raises WrongOptionError."""
    engine = _engine(home, name)
    if engine.packages is None:
        raise WrongOptionError(_named(name, engine, "it is yours to remove"))
    if not engine.directory.is_dir():
        return None
    with removing(engine.directory):
        shutil.rmtree(engine.directory)
    return engine.directory


def is_installed(engine: PythonEngine) -> bool:
    """Whether a start needs to install nothing."""
    if engine.packages is None:
        return engine.directory.is_dir()
    return is_complete(engine.directory, engine.packages)


def _engine(home: Path, name: str) -> PythonEngine:
    known = [each.value for each in ENVIRONMENT_VARIABLES]
    if name == Backend.LLAMACPP:
        raise WrongOptionError("llamacpp comes with Berth, and a llama-server on PATH is taken before it")
    if name not in known:
        raise WrongOptionError(f"there is no engine {name}: those to install are {' and '.join(known)}")
    return python_engine(Backend(name), home)


def _named(name: str, engine: PythonEngine, what: str) -> str:
    return f"{ENVIRONMENT_VARIABLES[Backend(name)]} names {engine.directory}: {what}"
