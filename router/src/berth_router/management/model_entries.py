"""What the list of models says of each: pure. The fields are those that clients look for, under the names they know.

`context_length` is OpenRouter's, `max_model_len` vLLM's; `meta`, `architecture`, `aliases` and `status` are those of
llama.cpp's router, and `capabilities` has Ollama's words.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from berth_api.model_deployment import ModelDeployment, ModelDeploymentSpec, Phase
from berth_formats.abilities import ModelKind
from berth_formats.model import ModelDescription
from berth_router.management.windows import window_of

StatusValue = Literal["loaded", "loading", "sleeping", "unloaded"]


class ModelStatus(BaseModel):
    """Whether a model has an engine."""

    value: StatusValue = Field(description="loaded, loading, sleeping (a request wakes it) or unloaded.")
    failed: bool = Field(default=False, description="Whether its last start failed.")


class ModelMeta(BaseModel):
    """What the model's files say. null: that is not known."""

    n_ctx: int | None = Field(
        description="Tokens of context that a request may have: as its profile states, or else the most that something"
        " live has, or else what a request would start."
    )
    n_ctx_train: int | None = Field(description="Tokens of context that the model was made for.")
    n_params: int | None = Field(description="Numbers in all its tensors, as they are stored.")
    n_vocab: int | None = Field(description="Tokens that it knows.")
    n_embd: int | None = Field(description="Numbers in one of its vectors.")
    size: int | None = Field(description="Bytes of its weights.")


class ModelArchitecture(BaseModel):
    """What goes into a model, and what comes out."""

    input_modalities: list[str] = Field(description="text, and image where it takes images.")
    output_modalities: list[str] = Field(description="text, embeddings or rerank.")


class ModelEntry(BaseModel):
    """One model, as OpenAI describes it, and what else clients want to know of it."""

    id: str = Field(description="What to send as `model`.")
    aliases: list[str] = Field(description="Other names for the same.")
    object: Literal["model"] = "model"
    created: int = Field(description="When the model was last changed in the store, in seconds since 1970.")
    owned_by: str = "berth"
    context_length: int | None = Field(description="As `meta.n_ctx`.")
    max_model_len: int | None = Field(description="As `meta.n_ctx`.")
    kind: ModelKind | None = Field(description="chat, completion, embedding or rerank. null: not read yet.")
    capabilities: list[str] = Field(description="completion, tools, vision and thinking; or embedding, or rerank.")
    tools: bool | None = Field(description="Whether its chat template tells it of tools.")
    vision: bool | None = Field(description="Whether it takes images.")
    thinking: bool | None = Field(description="Whether its chat template knows of thoughts before an answer.")
    architecture: ModelArchitecture
    meta: ModelMeta
    status: ModelStatus


@dataclass(frozen=True, slots=True)
class Listed:
    """A name that a request can have, and what is known of the model behind it."""

    name: str
    aliases: tuple[str, ...]
    """Other names for the same."""
    created: int
    """Seconds since 1970."""
    description: ModelDescription | None
    """What its files say; None where they are not read yet, or cannot be."""
    deployment: ModelDeployment | None
    """The one that a request with this name would use. None: it would start one."""
    would_start: ModelDeploymentSpec | None
    """What a request would start where nothing runs. None: nothing."""
    able: tuple[ModelDeployment, ...] = ()
    """Those that a request with this name may use: a long one goes to one that has room for it."""
    stated: int | None = None
    """Tokens of context that the name states, by its profile."""


_STATUS: dict[Phase | None, ModelStatus] = {
    Phase.READY: ModelStatus(value="loaded"),
    Phase.UNRESPONSIVE: ModelStatus(value="loaded"),
    Phase.STARTING: ModelStatus(value="loading"),
    Phase.PENDING: ModelStatus(value="loading"),
    None: ModelStatus(value="loading"),
    Phase.SLEEPING: ModelStatus(value="sleeping"),
    Phase.STALLED: ModelStatus(value="unloaded", failed=True),
}
_UNLOADED = ModelStatus(value="unloaded")

_OUTPUT: dict[ModelKind, str] = {"chat": "text", "completion": "text", "embedding": "embeddings", "rerank": "rerank"}


def status_of(deployment: ModelDeployment | None) -> ModelStatus:
    """The status of a model. `deployment`: the one that a request would use; None: there is none."""
    return _STATUS[deployment.status.phase] if deployment else _UNLOADED


def _window(listed: Listed) -> int | None:
    """What the profile states; else the most that something live has; else what would be started. None: not known."""
    says, live = listed.description, listed.deployment
    if live:
        sizes = [window_of(one.spec, says, one.status) for one in listed.able or (live,)]
        window = max((size for size in sizes if size is not None), default=None)
    else:
        window = window_of(listed.would_start, says) if listed.would_start else None
    if listed.stated is None or window is None:
        return window
    return min(listed.stated, window)


def entry(listed: Listed) -> ModelEntry:
    """The entry of one name."""
    says = listed.description
    abilities = says.abilities if says else None
    live = listed.deployment
    window = _window(listed)
    return ModelEntry(
        id=listed.name,
        aliases=list(listed.aliases),
        created=listed.created,
        context_length=window,
        max_model_len=window,
        kind=abilities.kind if abilities else None,
        capabilities=abilities.names if abilities else [],
        tools=abilities.tools if abilities else None,
        vision=abilities.vision if abilities else None,
        thinking=abilities.thinking if abilities else None,
        architecture=ModelArchitecture(
            input_modalities=["text", "image"] if abilities and abilities.vision else ["text"],
            output_modalities=[_OUTPUT[abilities.kind] if abilities else "text"],
        ),
        meta=ModelMeta(
            n_ctx=window,
            n_ctx_train=says.context_length if says else None,
            n_params=says.parameters if says else None,
            n_vocab=says.vocabulary_size if says else None,
            n_embd=says.attention.embedding_length if says and says.attention else None,
            size=says.file_bytes if says else None,
        ),
        status=status_of(live),
    )
