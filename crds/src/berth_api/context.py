"""How much context a deployment has: what of it is known, and whether that is enough for a request."""

from berth_api.engine_settings import AUTO, LEAST_AUTO_CONTEXT, MOST_AUTO_CONTEXT, ContextSize
from berth_api.identity import with_defaults
from berth_api.model_deployment import ModelDeployment


def context_of(deployment: ModelDeployment) -> int | None:
    """Tokens of context of one request. None: the model and the memory decide, and the engine has not told yet."""
    if deployment.status.context_size is not None:
        return deployment.status.context_size
    stated = _stated(deployment)
    if stated is None:
        return None
    size = LEAST_AUTO_CONTEXT if stated == AUTO else stated
    return min(size, deployment.status.trained_context_size or size)


def has_context(deployment: ModelDeployment, wanted: ContextSize) -> bool:
    """Whether a deployment of llama.cpp has as much context as is wanted, or as its model was made for.

    It has what its spec states, even if the model was made for less: more is not to be had.
    """
    stated, trained = _stated(deployment), deployment.status.trained_context_size
    if stated is None or stated == AUTO == wanted:
        return stated == wanted
    most = trained or MOST_AUTO_CONTEXT
    needed = min(MOST_AUTO_CONTEXT, most) if wanted == AUTO else min(wanted, trained or wanted)
    size = (deployment.status.context_size or LEAST_AUTO_CONTEXT) if stated == AUTO else stated
    return size >= needed


def _stated(deployment: ModelDeployment) -> ContextSize | None:
    """What the spec states, with defaults. None: nothing, and the engine takes what the model was made for."""
    spec = deployment.spec
    if spec.llamacpp is None or spec.llamacpp.context_size is None:  # what a router made has its defaults filled in
        spec = with_defaults(spec)
    if spec.llamacpp:
        return spec.llamacpp.context_size
    return spec.vllm.max_model_len if spec.vllm else None
