"""The settings of the router and the operator on one machine. All others come from the environment, as in a cluster."""

import os
from pathlib import Path
from typing import Any

from berth_api.model_deployment import Backend
from berth_local.engines.discovery import Engines
from berth_operator.settings import Settings as OperatorSettings
from berth_router.auth import KeyScope
from berth_router.settings import Settings as RouterSettings

DOWNLOADER = "berth-download"
"""What stands for the downloader's image here. An engine's is its backend's name."""

_REPLICA = "local"
_KEY_NAME = "berth"
_DRAIN_SECONDS = 5
"""What running answers get to end at a shutdown: somebody sits before the terminal."""

_GRACE_SECONDS = 5
"""What an engine gets to end in. It has nothing to save."""


def operator_settings(engines: Engines, router: RouterSettings) -> OperatorSettings:
    """The operator's settings: images are names of programs. What both have is the router's, from the environment."""
    images = {backend: {device: {"image": backend.value} for device in devices} for backend, devices in engines.items()}
    downloads: dict[str, Any] = {
        "image": DOWNLOADER,
        "hubEndpoint": router.hub_endpoint,
        "minFreeBytes": router.min_free_bytes,
        "allowPickle": router.allow_pickle,
        # Where Kubernetes has a Secret, this process has its environment.
        "tokenSecret": {"name": "environment", "key": "HF_TOKEN"},
    }
    timing = {"terminationGrace": _GRACE_SECONDS}
    return OperatorSettings.model_validate({"engines": images, "downloads": downloads, "timing": timing})


def router_settings(engines: Engines, store: Path, host: str, port: int) -> RouterSettings:
    """The router's settings; what is not given here is the environment's. Raises SettingsError."""
    backend = Backend.LLAMACPP if Backend.LLAMACPP in engines else next(iter(engines))
    settings: dict[str, Any] = {
        "HOST": host,
        "PORT": port,
        "POD_NAME": _REPLICA,
        "BERTH_MODEL_STORE": str(store),
        "BERTH_ENGINE_STORE": str(store),
        "BERTH_ENGINES": engines,
        "BERTH_DEFAULT_BACKEND": backend,
        "BERTH_DEFAULT_DEVICE": engines[backend][0],
        "BERTH_STORE_WRITABLE": True,
        "BERTH_DRAIN_SECONDS": os.environ.get("BERTH_DRAIN_SECONDS") or _DRAIN_SECONDS,
    }
    return RouterSettings.of_environment(**settings)


def with_key(settings: RouterSettings, key: str, folder: Path) -> RouterSettings:
    """The settings, so that every request must carry the key, which is put into a file of the folder."""
    folder.mkdir(mode=0o700)
    (folder / _KEY_NAME).write_text(key)
    return settings.model_copy(update={"api_keys_dir": folder, "api_key_scopes": {_KEY_NAME: list(KeyScope)}})
