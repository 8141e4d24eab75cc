"""What a model can do, judged by what its files say: its architecture, its chat template, what lies beside it. Pure.

llama.cpp tries out a template, and Ollama looks which variables one has. Both come to what the words in it say, for the
templates that models have.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from berth_formats.names import is_projector

ModelKind = Literal["chat", "completion", "embedding", "rerank"]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model can do."""

    kind: ModelKind
    """What it is for. `completion`: it generates text, and brings no template for conversations."""
    tools: bool = False
    """Whether its chat template tells it of tools."""
    vision: bool = False
    """Whether it takes images."""
    thinking: bool = False
    """Whether its chat template knows of thoughts before an answer."""

    @property
    def names(self) -> list[str]:
        """In Ollama's words: completion and what else it can do, or the kind of a model that generates no text."""
        if self.kind in ("embedding", "rerank"):
            return [self.kind]
        more = {"tools": self.tools, "vision": self.vision, "thinking": self.thinking}
        return ["completion", *(name for name, has in more.items() if has)]


_KIND_OF_POOLING: Mapping[int | None, ModelKind] = {1: "embedding", 2: "embedding", 3: "embedding", 4: "rerank"}
"""By GGUF's `pooling_type`: the mean, the first or the last token makes one vector of a text; 4 ranks it; 0 is none."""

_ENCODERS = re.compile(r"bert|t5.?encoder|gemma-embedding|gemma3_text_embedding|llama-embed", re.IGNORECASE)
"""Architectures without a decoder: nomic-bert-moe, xlm-roberta, ModernBertModel, ..."""

_RANKING_CLASSES = re.compile(r"For(SequenceClassification|Ranking)$")
_GENERATING_CLASSES = re.compile(r"LMHeadModel$|For(CausalLM|ConditionalGeneration)$")
_EMBEDDING_CLASSES = re.compile(r"Model$|Encoder$|ForMaskedLM$")
"""Ends of the names of Transformers' classes; the first of these patterns that fits counts."""

_RANKING_NAME = re.compile(r"rerank", re.IGNORECASE)
_EMBEDDING_NAME = re.compile(r"embed|(?<![a-z0-9])(bge|e5|gte)(?![a-z0-9])", re.IGNORECASE)
"""What the names of models say whose files say nothing of it: many conversions lose it."""

_TOOLS = re.compile(r"\btools\b")
_THINKING = re.compile(
    r"</?think>|\[/?THINK\]|_THINKING\||<seed:think>|enable_thinking|reasoning_content|reasoning_effort"
    r"|\{[%{][^{}]*\bthinking\b"
)
_IMAGES = re.compile(r"""['"]image(_url)?['"]""")
"""What chat templates of models with these abilities have in them."""


def gguf_abilities(
    name: str,
    architecture: str,
    pooling: int | None,
    template: str | None,
    files: Iterable[str],
    *,
    has_tool_template: bool = False,
) -> Abilities:
    """What a GGUF model can do. A projector among its files gives it sight; a template alone does not.

    `name`: the model's. `pooling`: its `pooling_type`. `has_tool_template`: whether it has a second one, for tools.
    """
    kind = _KIND_OF_POOLING.get(pooling) or _kind_by_name(name)
    if kind is None and _ENCODERS.search(architecture):
        kind = "embedding"
    sees = any(is_projector(file) for file in files)
    return _abilities(kind, template, sees=sees, has_tool_template=has_tool_template)


def checkpoint_abilities(
    name: str,
    config: Mapping[str, Any],
    template: str | None,
    files: Iterable[str],
    *,
    has_tool_template: bool = False,
) -> Abilities:
    """What a model in Hugging Face's format can do. `config`: its config.json. Otherwise as `gguf_abilities`."""
    sees = isinstance(config.get("vision_config"), dict) or _IMAGES.search(template or "") is not None
    kind = _checkpoint_kind(name, config, frozenset(files))
    return _abilities(kind, template, sees=sees, has_tool_template=has_tool_template)


def _checkpoint_kind(name: str, config: Mapping[str, Any], files: frozenset[str]) -> ModelKind | None:
    match config.get("architectures"):
        case [str(class_name), *_]:
            pass
        case _:
            class_name = ""
    if _RANKING_CLASSES.search(class_name):
        return "rerank"
    if "modules.json" in files:  # sentence-transformers' description of a model that makes vectors
        return _kind_by_name(name) or "embedding"
    if _GENERATING_CLASSES.search(class_name):
        return _kind_by_name(name)
    model_type = config.get("model_type")
    if _EMBEDDING_CLASSES.search(class_name) or (isinstance(model_type, str) and _ENCODERS.search(model_type)):
        return "embedding"
    return _kind_by_name(name)


def _kind_by_name(name: str) -> ModelKind | None:
    if _RANKING_NAME.search(name):
        return "rerank"
    return "embedding" if _EMBEDDING_NAME.search(name) else None


def _abilities(kind: ModelKind | None, template: str | None, *, sees: bool, has_tool_template: bool) -> Abilities:
    """`kind`: None for a model that generates text."""
    if kind is not None:
        return Abilities(kind, vision=sees)
    if not template:
        return Abilities("completion", vision=sees)
    tools = has_tool_template or _TOOLS.search(template) is not None
    return Abilities("chat", tools, sees, _THINKING.search(template) is not None)
