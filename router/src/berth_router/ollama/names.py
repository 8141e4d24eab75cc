"""A model's name, as Ollama's clients write it and as Berth does.

| a client writes | Berth's name |
| --- | --- |
| `NAME`, `NAME:latest`, `registry.ollama.ai/library/NAME` | `NAME` |
| `NAME@PROFILE`, `NAME@PROFILE:latest` | `NAME@PROFILE` |
| `/models/NAME:latest` | `/models/NAME` |
| `NAME:Q4_K_M` | `NAME-Q4_K_M`, as a download calls its folder |
| `hf.co/ORG/REPO:Q4_K_M` | `REPO-Q4_K_M`, as a download calls its folder |
"""

import re
from dataclasses import dataclass

from berth_api.model_deployment import MODEL_PATH_PATTERN, MODEL_STORE
from berth_api.model_download import default_destination
from berth_formats.names import quantization_of
from berth_router.ollama.errors import model_not_found

DEFAULT_TAG = "latest"
"""What a name without a tag means to Ollama. Clients add it, and look it up in the list of models."""

_HUB_HOSTS = ("hf.co/", "huggingface.co/")
_LIBRARY = ("registry.ollama.ai/library/", "library/")
_SCHEMES = ("https://", "http://")

_PATH = re.compile(MODEL_PATH_PATTERN)
_PROFILE = re.compile(r"[A-Za-z0-9-]{1,63}")


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository of the hub, as a name of a model."""

    repository: str
    """`ORG/REPO`, not checked."""
    quantization: str | None
    """Such as Q4_K_M; None where the name has no tag, or `latest`."""


def berth_name(name: str) -> str:
    """Berth's name for the model. Raises OllamaError (404) where no model can have it."""
    model, at, profile = name.strip().rpartition("@")
    if not at:
        model, profile = profile, ""
    profile = without_default_tag(profile)
    path = _path_below_store(model)
    if not _is_path(path) or (at and not _PROFILE.fullmatch(profile)):
        raise model_not_found(name)
    return f"{path}@{profile}" if at else path


def ollama_name(path: str) -> str:
    """The name for lists of models. `path`: the model's path in Berth's store, with or without `/models/` before it."""
    name = path.removeprefix(f"{MODEL_STORE}/")
    return name if ":" in name else f"{name}:{DEFAULT_TAG}"  # an alias may have a tag


def hub_name(name: str) -> HubName | None:
    """The repository that a name with the hub's host stands for; None where it has another host, or none."""
    bare = _without_scheme(name.strip())
    host = next((host for host in _HUB_HOSTS if bare.lower().startswith(host)), None)
    if host is None:
        return None
    repository, tag = split_tag(bare[len(host) :])
    return HubName(repository, quantization_of_tag(tag) if tag else None)


def split_tag(name: str) -> tuple[str, str | None]:
    """The name before its tag, and the tag; None where it has none, or `latest`."""
    before, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, None
    return before, None if tag.lower() == DEFAULT_TAG else tag


def without_default_tag(name: str) -> str:
    """The name without `:latest`."""
    return name[: -len(DEFAULT_TAG) - 1] if name.lower().endswith(f":{DEFAULT_TAG}") else name


def quantization_of_tag(tag: str) -> str:
    """The quantization that a tag names: itself, or the one in a file's name, which the hub takes as a tag too."""
    return (quantization_of(tag) or tag) if tag.lower().endswith(".gguf") else tag


def _path_below_store(model: str) -> str:
    of_hub = hub_name(model)
    if of_hub:
        return default_destination(of_hub.repository, of_hub.quantization)
    bare = _without_scheme(model)
    library = next((prefix for prefix in _LIBRARY if bare.lower().startswith(prefix)), "")
    base, tag = split_tag(bare[len(library) :])
    if tag is None:
        return base
    is_quantization = quantization_of(tag) == tag.upper()
    return f"{base}-{tag.upper() if is_quantization else tag}"


def _is_path(path: str) -> bool:
    whole = path if path.startswith("/") else f"{MODEL_STORE}/{path}"
    return _PATH.fullmatch(whole) is not None


def _without_scheme(name: str) -> str:
    return next((name[len(scheme) :] for scheme in _SCHEMES if name.lower().startswith(scheme)), name)
