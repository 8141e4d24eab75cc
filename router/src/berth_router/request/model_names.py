"""The name of a model in a request, and its path in the store: pure."""

import re

from berth_api.model_deployment import MODEL_PATH_LENGTH, MODEL_PATH_PATTERN, MODEL_STORE
from berth_router.errors import InvalidRequestError

MODELS_LISTED = "GET /v1/models lists those there are."

_MODEL_PATH = re.compile(MODEL_PATH_PATTERN)


def is_model_path(model: str) -> bool:
    """Whether a model of the store can have this name."""
    try:
        model_path(model)
    except InvalidRequestError:
        return False
    return True


def model_path(model: str) -> str:
    """The path in the store of a model's name. Raises InvalidRequestError."""
    trimmed = model.rstrip("/")
    path = trimmed if trimmed.startswith("/") else f"{MODEL_STORE}/{trimmed}"
    if len(path) > MODEL_PATH_LENGTH:
        raise InvalidRequestError(
            f"`model` must have at most {MODEL_PATH_LENGTH} characters, {MODEL_STORE}/ included; it has {len(path)}.",
            param="model",
            code="invalid_value",
        )
    if not _MODEL_PATH.match(path) or path.endswith("\n"):
        raise InvalidRequestError(
            f"`model` must be a path in the model store, such as {MODEL_STORE}/SmolLM2-135M-Instruct, of letters,"
            f" digits and ._+=- with no segment that starts with a dot; got {model[:200]!r}."
            f" {MODELS_LISTED}",
            param="model",
            code="invalid_value",
        )
    return path
