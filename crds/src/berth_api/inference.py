"""Which inference paths each engine's server has, and under which name it answers.

Found in the servers themselves: vLLM 0.32, transformers serve 5.23, llama-server of llama-cpp-python 0.3.36.
"""

from collections.abc import Mapping

from berth_api.model_deployment import MODEL_STORE, Backend, ModelDeploymentSpec

CHAT_COMPLETIONS = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
TOKENIZE = "/tokenize"

ENGINE_PATHS: Mapping[Backend, frozenset[str]] = {
    # Embeddings come from embedding models; of others each engine refuses them itself.
    Backend.VLLM: frozenset({CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, TOKENIZE}),
    Backend.TRANSFORMERS: frozenset({CHAT_COMPLETIONS, COMPLETIONS, RESPONSES}),
    Backend.LLAMACPP: frozenset({CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, TOKENIZE}),
}
"""The paths that each engine answers to POST."""


ENDS_WITHOUT_DONE: frozenset[Backend] = frozenset({Backend.TRANSFORMERS})
"""The engines whose streams of completions lack the last event of OpenAI's, `data: [DONE]`."""


def samples_only_when_told(spec: ModelDeploymentSpec) -> bool:
    """Whether the engine is greedy, whatever a request's temperature, until the request or the model's own files turn sampling on.

    With continuous batching the server has one configuration for all requests, which a request cannot be let change.
    """
    batches = spec.transformers and spec.transformers.continuous_batching
    return spec.backend is Backend.TRANSFORMERS and not batches


def name_in_engine(spec: ModelDeploymentSpec, store: str) -> str:
    """What a deployment's engine calls its model, and wants to be asked for; `store` is where the engine has the model store."""
    # transformers serve takes no name but the place that it has loaded the model from.
    return store + spec.model.removeprefix(MODEL_STORE) if spec.backend is Backend.TRANSFORMERS else spec.model


def answered_models(backend: Backend, name: str) -> tuple[str, ...]:
    """What an engine's answers may have as `model`, where it calls it by this name."""
    # transformers serve adds a revision, which a local directory does not have.
    return (name, f"{name}@main") if backend is Backend.TRANSFORMERS else (name,)
