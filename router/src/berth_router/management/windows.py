"""How many tokens of context a deployment has: prompt and answer together."""

from berth_api.identity import with_defaults
from berth_api.model_deployment import ModelDeploymentSpec
from berth_formats.model import ModelDescription


def window_of(spec: ModelDeploymentSpec, description: ModelDescription | None) -> int | None:
    """The tokens, as the settings have it, or else as the model was made for. None: that is not known."""
    settings = with_defaults(spec)
    stated = settings.llamacpp.context_size if settings.llamacpp else None
    if settings.vllm:
        stated = settings.vllm.max_model_len
    return stated or (description.context_length if description else None)
