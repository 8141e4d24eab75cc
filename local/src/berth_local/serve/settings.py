"""The settings of the router and the operator on one machine. All others come from the environment, as in a cluster."""

import os
import socket
from pathlib import Path
from typing import Any

from berth_api.model_deployment import Backend
from berth_local.engines.discovery import Engines
from berth_local.serve.options import ServeOptions
from berth_operator.settings import OperatorSettings
from berth_router.auth import KeyScope
from berth_router.settings import RouterSettings

DOWNLOADER = "berth-download"
"""The name of the downloader's image. The name of an engine's image is its backend's."""

_REPLICA = "local"
_KEY_NAME = "berth"
_DRAIN_SECONDS = 5
"""The time that answers under way get at a shutdown. It is short, because a user sits at the terminal."""

_DEFAULTS = {"DEFAULT_N_CTX": "auto", "DEFAULT_MAX_TOKENS": "auto"}
"""One user's machine cuts nothing off: its memory is there to be used, and who watches an answer grow can end it."""

_OWN_NAMES = f"localhost,*.localhost,{socket.gethostname()}"

_GRACE_SECONDS = 5
"""The time that an engine gets to end. It has nothing to save."""


_DOWNLOAD_TRIES = 3
"""Each asks a hub that does not answer for a minute. Somebody sits and waits, and can ask again."""


def operator_settings(engines: Engines, router: RouterSettings) -> OperatorSettings:
    """The operator's settings. Images are names of programs; settings that the router has too are taken from it."""
    images = {backend: {device: {"image": backend.value} for device in devices} for backend, devices in engines.items()}
    downloads: dict[str, Any] = {
        "image": DOWNLOADER,
        "hubEndpoint": router.hub_endpoint,
        "minFreeBytes": router.min_free_bytes,
        "allowPickle": router.allow_pickle,
        "backoffLimit": _DOWNLOAD_TRIES - 1,
        # In Kubernetes the token is in a Secret, here in the environment of this process.
        "tokenSecret": {"name": "environment", "key": "HF_TOKEN"},
    }
    timing = {"terminationGrace": _GRACE_SECONDS}
    return OperatorSettings.model_validate({"engines": images, "downloads": downloads, "timing": timing})


def router_settings(engines: Engines, store: Path, options: ServeOptions) -> RouterSettings:
    """The router's settings. Those not given here come from the environment. Raises SettingsError."""
    backend = Backend.LLAMACPP if Backend.LLAMACPP in engines else next(iter(engines))
    settings: dict[str, Any] = {
        "HOST": options.host,
        "PORT": options.port,
        "POD_NAME": _REPLICA,
        "BERTH_MODEL_STORE": str(store),
        "BERTH_ENGINE_STORE": str(store),
        "BERTH_ENGINES": engines,
        "BERTH_DEFAULT_BACKEND": backend,
        "BERTH_DEFAULT_DEVICE": engines[backend][0],
        "BERTH_STORE_WRITABLE": True,
        # Only this machine can connect without a key. A web page must not do so under a name of its own.
        "BERTH_ALLOWED_HOSTS": os.environ.get("BERTH_ALLOWED_HOSTS") or _OWN_NAMES,
        "BERTH_DRAIN_SECONDS": os.environ.get("BERTH_DRAIN_SECONDS") or _DRAIN_SECONDS,
        **{name: os.environ.get(name) or value for name, value in _DEFAULTS.items()},
        **options.defaults,
    }
    return RouterSettings.of_environment(**settings)


def with_key(settings: RouterSettings, key: str, folder: Path) -> RouterSettings:
    """The settings with a key that every request must carry. Writes the key into a file of this folder."""
    folder.mkdir(mode=0o700)
    (folder / _KEY_NAME).write_text(key)
    return settings.model_copy(update={"api_keys_dir": folder, "api_key_scopes": {_KEY_NAME: list(KeyScope)}})
