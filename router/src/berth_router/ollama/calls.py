"""What a request of Ollama's API asks of Berth."""

from dataclasses import dataclass
from typing import Any

from berth_router.ollama.writing import written


@dataclass(frozen=True, slots=True)
class EngineWishes:
    """Engine settings that clients send with every request, whatever the model. None: not wished.

    Both are part of a deployment's identity, and of llama.cpp alone. Taken as stated they would start a deployment for
    each client, and refuse every model that is not GGUF.
    """

    context_size: int | None = None
    """`num_ctx`, in tokens: Berth's `n_ctx`."""
    gpu_layers: int | None = None
    """`num_gpu`: Berth's `n_gpu_layers`."""


@dataclass(frozen=True, slots=True)
class CallTarget:
    """Which model a request is for."""

    name: str
    """The model as the client wrote it: answers repeat it."""
    fields: dict[str, Any]
    """`model`, and Berth's own fields as far as they are stated: `ttl`, `backend`, `device`, `n_ctx`, ..."""
    wishes: EngineWishes
    """Settings that the client would like."""


@dataclass(frozen=True, slots=True)
class InferenceCall:
    """A request that an engine answers."""

    target: CallTarget
    path: str
    """The inference path, such as `/v1/chat/completions`."""
    body: dict[str, Any]
    """The body for that path, with the target's fields. `max_tokens` is always there: None is without a limit."""
    streams: bool
    """Whether the client wants lines as the answer is made, and the engine sends events."""
    unloads: bool
    """Whether the model is to be unloaded when the answer is complete."""
    thinks: bool = False
    """Whether the client wants the model to think, which not every model can."""

    cuts: bool = False
    """Whether an input that is too long is to be cut, and not refused."""

    def content(self) -> bytes:
        """The body as JSON. Raises OllamaError where it is nested too deeply."""
        return written(self.body)


@dataclass(frozen=True, slots=True)
class LoadCall:
    """A request without a prompt: the model is to be started, and to stay for its TTL."""

    target: CallTarget


@dataclass(frozen=True, slots=True)
class UnloadCall:
    """A request without a prompt whose `keep_alive` is 0: the model is to be unloaded now."""

    target: CallTarget


Call = InferenceCall | LoadCall | UnloadCall
