"""The bodies of Ollama's requests: which fields are read, and of what types they must be.

What is not listed is ignored, as Ollama does; null is as good as absent.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from berth_router.engine_answers.json_values import as_object
from berth_router.ollama.calls import CallTarget, EngineWishes
from berth_router.ollama.errors import OllamaError, wrong_field
from berth_router.ollama.keep_alive import KeepAlive
from berth_router.ollama.names import berth_name

BERTH_FIELDS = ("backend", "device", "ttl", "n_ctx", "n_gpu_layers", "gpu_memory_utilization", "max_model_len")
"""Berth's own fields of an inference request, which may stand beside Ollama's and then count more."""

_MOST_GPU_LAYERS = 999
"""The most that Berth's `n_gpu_layers` takes."""


def _whole(value: object) -> object:
    """A whole number that was written as a fraction, such as 8192.0, as Ollama takes it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _texts(value: object) -> object:
    """One text, where a list of them may stand; an empty one is none."""
    if isinstance(value, str):
        return [value] if value else []
    return value


_MOST = 2**53
"""The whole numbers that every program reads as such from JSON."""

Whole = Annotated[int, BeforeValidator(_whole), Field(ge=-_MOST, le=_MOST)]
Texts = Annotated[list[str], BeforeValidator(_texts)]


class OllamaBody(BaseModel):
    """What the parts of all bodies have in common."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class OllamaOptions(OllamaBody):
    """`options`, as far as Berth knows them: sampling, and wishes for the engine.

    Left out are those that only Ollama's runner has: num_thread, num_batch, use_mmap, main_gpu, num_keep, mirostat.
    """

    num_ctx: Whole | None = None
    num_gpu: Whole | None = None
    num_predict: Whole | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Whole | None = None
    min_p: float | None = None
    typical_p: float | None = None
    seed: Whole | None = None
    stop: Texts | None = None
    repeat_penalty: float | None = None
    repeat_last_n: Whole | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    def wishes(self) -> EngineWishes:
        """The settings that an engine has from its start. Negative is the engine's own choice."""
        layers = None if self.num_gpu is None or self.num_gpu < 0 else min(self.num_gpu, _MOST_GPU_LAYERS)
        return EngineWishes(context_size=self.num_ctx if (self.num_ctx or 0) > 0 else None, gpu_layers=layers)


class CalledFunction(OllamaBody):
    """A call of a tool, within a message."""

    name: str
    arguments: Any = None
    """An object, or its JSON as a text."""


class OllamaToolCall(OllamaBody):
    """A call of a tool, in a message of the assistant."""

    function: CalledFunction
    id: str | None = None


class OllamaMessage(OllamaBody):
    """A message of a conversation."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[OllamaToolCall] | None = None
    tool_name: str | None = None
    name: str | None = None
    """An older name of `tool_name`."""
    tool_call_id: str | None = None


class InferenceBody(OllamaBody):
    """What requests to engines have in common."""

    model: str
    stream: bool | None = None
    keep_alive: Any = None
    options: OllamaOptions | None = None


class AnswerBody(InferenceBody):
    """What /api/chat and /api/generate have in common."""

    format: Any = None
    """"json", or a JSON schema."""
    think: Any = None
    """true, false, "low", "medium", "high" or "max"."""
    logprobs: bool | None = None
    top_logprobs: Whole | None = None


class ChatBody(AnswerBody):
    """POST /api/chat."""

    messages: list[OllamaMessage] | None = None
    tools: list[dict[str, Any]] | None = None


class GenerateBody(AnswerBody):
    """POST /api/generate."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    images: list[str] | None = None
    context: list[Any] | None = None


class EmbedBody(InferenceBody):
    """POST /api/embed."""

    input: Texts | None = None
    truncate: bool | None = None
    dimensions: Whole | None = None


class EmbeddingsBody(InferenceBody):
    """POST /api/embeddings, the older path for one text."""

    prompt: str | None = None


class ModelBody(OllamaBody):
    """A body that names a model: of /api/show, /api/pull and /api/delete."""

    model: str | None = None
    name: str | None = None
    """The older name of `model`, which counts where `model` is empty."""
    stream: bool | None = None


ReadBody = TypeVar("ReadBody", bound=OllamaBody)


def read(form: type[ReadBody], body: object) -> ReadBody:
    """The body's fields. `body`: parsed JSON. Raises OllamaError, which names the first field that is wrong."""
    if not isinstance(body, dict):
        raise OllamaError("The body must be a JSON object.")
    try:
        return form.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = _path(first["loc"])
        if first["type"] == "missing":
            raise OllamaError(f"`{field}` is missing.", field=field) from None
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise wrong_field(field, f"is not valid: {message}") from None


def model_of(body: object) -> str:
    """The model that a body names by `model`, or by the older `name`. Raises OllamaError."""
    fields = read(ModelBody, body)
    name = fields.model or fields.name
    if not name:
        raise OllamaError("`model` is missing.", field="model")
    return name


def naming_field(body: object) -> str:
    """The field by which a body names its model: see `model_of`."""
    return "model" if read(ModelBody, body).model else "name"


def target_of(fields: InferenceBody, body: object, keep_alive: KeepAlive) -> CallTarget:
    """Which model a request is for, and on what terms. Raises OllamaError.

    `body`: the same request before it was read, in which Berth's own fields stand.
    """
    if not fields.model:
        raise OllamaError("`model` is missing.", field="model")
    stated: dict[str, Any] = {"model": berth_name(fields.model)}
    if keep_alive.ttl is not None:
        stated["ttl"] = keep_alive.ttl
    own = as_object(body)
    stated |= {name: own[name] for name in BERTH_FIELDS if own.get(name) is not None}
    return CallTarget(fields.model, stated, (fields.options or OllamaOptions()).wishes())


def _path(location: tuple[int | str, ...]) -> str:
    """`messages[0].content`, for ("messages", 0, "content")."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")
