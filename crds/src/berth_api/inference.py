"""Which inference paths each engine's server has, and what it calls its model.

Read from the servers themselves: vLLM 0.32, transformers serve 5.23, llama-server of llama-cpp-python 0.3.36.
"""

from collections.abc import Mapping

from berth_api.model_deployment import MODEL_STORE, Backend, ModelDeploymentSpec

CHAT_COMPLETIONS = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
CHAT_INPUT_TOKENS = "/v1/chat/completions/input_tokens"
RESPONSES_INPUT_TOKENS = "/v1/responses/input_tokens"
MESSAGES = "/v1/messages"
MESSAGES_COUNT_TOKENS = "/v1/messages/count_tokens"
RERANK = "/v1/rerank"
TOKENIZE = "/tokenize"
DETOKENIZE = "/detokenize"
INFILL = "/infill"
"""llama.cpp's path for the text between two others."""

ENGINE_PATHS: Mapping[Backend, frozenset[str]] = {
    # Only embedding models give embeddings, and only rerank models an order. For other models each engine refuses the
    # request itself.
    Backend.VLLM: frozenset(
        {
            CHAT_COMPLETIONS,
            COMPLETIONS,
            EMBEDDINGS,
            RERANK,
            MESSAGES,
            MESSAGES_COUNT_TOKENS,
            TOKENIZE,
            DETOKENIZE,
        }
    ),
    Backend.TRANSFORMERS: frozenset({CHAT_COMPLETIONS, COMPLETIONS}),
    Backend.LLAMACPP: frozenset(
        {
            CHAT_COMPLETIONS,
            COMPLETIONS,
            EMBEDDINGS,
            RERANK,
            CHAT_INPUT_TOKENS,
            MESSAGES,
            MESSAGES_COUNT_TOKENS,
            TOKENIZE,
            DETOKENIZE,
            INFILL,
        }
    ),
}
"""The paths at which each engine answers a POST, and that requests reach.

RESPONSES is answered by CHAT_COMPLETIONS, and RESPONSES_INPUT_TOKENS by CHAT_INPUT_TOKENS.
"""


ENDS_WITHOUT_DONE: frozenset[Backend] = frozenset({Backend.TRANSFORMERS})
"""The engines whose streams of completions lack OpenAI's last event, `data: [DONE]`."""


def samples_only_when_told(spec: ModelDeploymentSpec) -> bool:
    """Whether the engine samples only where the request or the model's files say so, whatever the temperature is.

    With continuous batching the server has one configuration for all requests, and no request may change it.
    """
    batches = spec.transformers and spec.transformers.continuous_batching
    return spec.backend is Backend.TRANSFORMERS and not batches


def stops_at_window(backend: Backend) -> bool:
    """Whether an answer without a limit of tokens ends where the engine's context ends.

    transformers serve ends it after 1024 tokens, or after 20 if the request has a configuration of its own.
    """
    return backend is not Backend.TRANSFORMERS


def name_in_engine(spec: ModelDeploymentSpec, store: str) -> str:
    """The model's name in requests to the deployment's engine. `store`: where the engine has the model store."""
    # For transformers serve, the only name is the path that it has loaded the model from.
    return store + spec.model.removeprefix(MODEL_STORE) if spec.backend is Backend.TRANSFORMERS else spec.model


def answered_models(backend: Backend, name: str) -> tuple[str, ...]:
    """The values of `model` in an engine's answers, where the engine calls its model by this name."""
    # transformers serve adds a revision, which a local directory does not have.
    return (name, f"{name}@main") if backend is Backend.TRANSFORMERS else (name,)
