"""How much context an engine says that it has, in its list of models."""

from typing import Any, NamedTuple

MODELS_PATH = "/v1/models"


class EngineContext(NamedTuple):
    """Tokens of context. None: the engine does not tell."""

    size: int | None = None
    """What one request has, prompt and answer together."""
    trained: int | None = None
    """What the model was made for."""


def read_context(models: Any) -> EngineContext:
    """What the list says of its first model: llama-server in `meta`, vLLM in `max_model_len`."""
    try:
        first: Any = models["data"][0]
        meta: Any = first.get("meta") or {}
        return EngineContext(_tokens(meta.get("n_ctx") or first.get("max_model_len")), _tokens(meta.get("n_ctx_train")))
    except (AttributeError, IndexError, KeyError, TypeError):
        return EngineContext()


def _tokens(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
