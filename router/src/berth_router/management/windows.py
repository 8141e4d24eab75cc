"""How many tokens of context a deployment has: prompt and answer together."""

from berth_api.engine_settings import AUTO, MOST_AUTO_CONTEXT, ContextSize
from berth_api.identity import with_defaults
from berth_api.model_deployment import ModelDeploymentSpec, ModelDeploymentStatus
from berth_formats.model import ModelDescription


def window_of(
    spec: ModelDeploymentSpec, description: ModelDescription | None, status: ModelDeploymentStatus | None = None
) -> int | None:
    """The tokens, as its engine has them, else as the settings have it, or as the model was made for.

    None: that is not known. `status`: None where nothing runs.
    """
    if status and status.context_size:
        return status.context_size
    settings = with_defaults(spec)
    stated = settings.llamacpp.context_size if settings.llamacpp else None
    if settings.vllm:
        stated = settings.vllm.max_model_len
    return stated_window(stated, description)


def stated_window(stated: ContextSize | None, description: ModelDescription | None) -> int | None:
    """The tokens of a setting. With `auto` it is the most that there can be: the memory decides later."""
    trained = description.context_length if description else None
    if stated is None:
        return trained
    most = MOST_AUTO_CONTEXT if stated == AUTO else stated
    return min(most, trained or most)
