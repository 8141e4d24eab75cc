"""Which inference paths each engine's server has, and under which name it answers.

Found in the servers themselves: vLLM 0.32, transformers serve 5.23, llama-server of llama-cpp-python 0.3.36.
"""

from collections.abc import Mapping

from berth_api.model_deployment import Backend

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


def answered_models(backend: Backend, model: str) -> tuple[str, ...]:
    """What an engine's answers may have as `model`, where `model` is the path it was started with and asked for."""
    # transformers serve adds a revision, which a local directory does not have.
    return (model, f"{model}@main") if backend is Backend.TRANSFORMERS else (model,)
