"""Rows about what engines refuse: which of their errors are the caller's, and what they are in the caller's API.

llama.cpp answers much with 500 that is wrong in a request. OpenAI's and Anthropic's clients send such a request again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from berth_api.inference import (
    CHAT_COMPLETIONS,
    CHAT_INPUT_TOKENS,
    COMPLETIONS,
    DETOKENIZE,
    EMBEDDINGS,
    INFILL,
    MESSAGES,
    MESSAGES_COUNT_TOKENS,
    RERANK,
    RESPONSES,
    RESPONSES_INPUT_TOKENS,
)
from berth_api.model_deployment import Backend
from berth_router.repairs.repair import EVERY_ENGINE

TOO_LONG = "context_length_exceeded"
"""OpenAI's code for a prompt that is longer than the context."""

_PROMPTS: Mapping[str, str] = {
    CHAT_COMPLETIONS: "messages",
    MESSAGES: "messages",
    COMPLETIONS: "prompt",
    RESPONSES: "input",
    EMBEDDINGS: "input",
    RERANK: "documents",
    CHAT_INPUT_TOKENS: "messages",
    RESPONSES_INPUT_TOKENS: "input",
    MESSAGES_COUNT_TOKENS: "messages",
    DETOKENIZE: "tokens",
    INFILL: "input_prefix",
}


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """Errors of engines that are the caller's: 400, with the field and the code."""

    name: str
    """What tests call it."""
    engines: frozenset[Backend]
    text: re.Pattern[str]
    """How the engine says it. A group `field` is the field's name."""
    says: str
    """For the docs."""
    param: str | None = None
    """The field. None: the one with the prompt, if `text` names no other."""
    code: str = "invalid_value"
    instead: str | None = None
    """What the client reads in place of the engine's words, where those are for whoever starts the engine.

    It may have the groups of `text` in it, as {most}."""


@dataclass(frozen=True, slots=True)
class CallersFault:
    """An engine's refusal that is the caller's fault."""

    param: str | None
    code: str
    tokens: int | None = None
    """Tokens of a prompt that is too long."""
    window: int | None = None
    """Tokens of the context."""
    message: str | None = None
    """What the client reads. None: the engine's words."""


_WRONG_MODEL = "unsupported_model"
"""The code of what the model was not made for."""

_LLAMACPP, _VLLM = frozenset({Backend.LLAMACPP}), frozenset({Backend.VLLM})
_TRANSFORMERS = frozenset({Backend.TRANSFORMERS})

_NO_TOOL_PARSER = (
    "tool_choice: vLLM runs this model without a parser for its calls of tools, as Berth knows none for its family. Set"
    " spec.vllm.toolCallParser in its ModelDeployment to one of vLLM's parsers, or send tool_choice none."
)

_INPUT_TOO_LONG = (
    "An input exceeds the available context size. Send shorter ones, or ask for a larger context (n_ctx), up to what"
    " the model was made for."
)

REFUSALS = (
    RefusalRow(
        "no-tool-parser",
        _VLLM,
        re.compile(r"requires (?:--enable-auto-tool-choice and )?--tool-call-parser to be set"),
        "Tools, if vLLM has no parser for the model's calls of them. The message says what to set.",
        param="tool_choice",
        code="unsupported_value",
        instead=_NO_TOOL_PARSER,
    ),
    RefusalRow(
        "too-many-tokens",
        _VLLM,
        re.compile(r"'max_tokens' or 'max_completion_tokens' is too large"),
        "A limit of tokens that the context has no room for.",
        param="max_tokens",
    ),
    RefusalRow(
        "no-such-field",
        _TRANSFORMERS,
        re.compile(r"Unexpected fields in the request: \{'(?P<field>\w+)'"),
        "A field that Transformers does not have, such as `top_k`.",
        code="unsupported_value",
    ),
    RefusalRow(
        "input-too-long",
        _LLAMACPP,
        re.compile(r"input (?:\(\d+ tokens\) )?is too large to process"),
        "An input for embeddings or ranking that is longer than the context. The message says what to ask for.",
        code=TOO_LONG,
        instead=_INPUT_TOO_LONG,
    ),
    RefusalRow(
        "too-long",
        EVERY_ENGINE,
        re.compile(
            r"exceeds the available context size|larger than the (?:max|context)"
            r"|maximum context length|longer than the maximum model length|too long to fit into the model"
        ),
        "A prompt that is longer than the context.",
        code=TOO_LONG,
    ),
    RefusalRow(
        "no-sight",
        _LLAMACPP,
        re.compile(r"(?:image|audio|video) input is not supported"),
        "Images or sound, if the model has no projector for them.",
        code="unsupported_value",
    ),
    RefusalRow(
        "no-image",
        _LLAMACPP,
        re.compile(r"[Ff]ailed to (?:load|decode|download|process) (?:the )?(?:image|audio|media|bitmap)"),
        "An image that is none.",
    ),
    RefusalRow(
        "schema",
        _LLAMACPP,
        re.compile(r"JSON schema error|[Ff]ailed to parse json_schema"),
        "A JSON schema that the engine cannot make its answer follow.",
        param="response_format",
    ),
    RefusalRow(
        "grammar",
        _LLAMACPP,
        re.compile(r"failed to parse grammar"),
        "A grammar that is none.",
        param="grammar",
    ),
    RefusalRow(
        "unforced-token",
        _LLAMACPP,
        re.compile(r"Unexpected empty grammar stack"),
        "`echo` with `logprobs` of a prompt with a control token, or a token that is a part of a character.",
        code="unsupported_value",
        instead=(
            "The prompt has a token that llama.cpp cannot be made to say: a control token, or one that is a part of a"
            " character. How likely such a prompt is cannot be told with backend llamacpp."
        ),
    ),
    RefusalRow(
        "no-content",
        _LLAMACPP,
        re.compile(r"must contain (?:either )?'content'"),
        "A message of the assistant that has neither a content nor calls of tools.",
    ),
    RefusalRow("tools", _LLAMACPP, re.compile(r"Failed to parse tools"), "Malformed tools.", param="tools"),
    RefusalRow(
        "template",
        _LLAMACPP,
        re.compile(r"Failed to parse messages|Jinja Exception|[Jj]inja|chat template|roles must alternate"),
        "Messages that the model's template does not take.",
    ),
    RefusalRow(
        "no-vectors",
        _LLAMACPP,
        re.compile(r"Pooling type 'none'|does not support embeddings"),
        "Embeddings of a model that makes none.",
        param="model",
        code=_WRONG_MODEL,
        instead="This model makes no vectors: that takes an embedding model, and it was made for something else.",
    ),
    RefusalRow(
        "no-input",
        _LLAMACPP,
        re.compile(
            r"[Pp]rompt contains invalid tokens|[Ii]nput content cannot be empty|must not be empty"
            r"|elements must be a string"
        ),
        "A prompt or an input that is empty, or has something else than text and the model's tokens.",
    ),
    RefusalRow(
        "encoding-format",
        _LLAMACPP,
        re.compile(r"format to return the embeddings in"),
        "A form of vectors that the engine does not know.",
        param="encoding_format",
        instead="`encoding_format` must be float or base64.",
    ),
    RefusalRow(
        "no-order",
        _LLAMACPP,
        re.compile(r"does not support reranking"),
        "An order of texts of a model that is no rerank model.",
        param="model",
        code=_WRONG_MODEL,
        instead="This model orders no texts: that takes a rerank model, and it was made for something else.",
    ),
    RefusalRow(
        "no-infill",
        _LLAMACPP,
        re.compile(r"Infill is not supported by this model"),
        "A text to be filled in by a model that has no tokens for that.",
        param="model",
        code=_WRONG_MODEL,
        instead="This model fills in no text: that takes one that was trained for it, such as those for code.",
    ),
    RefusalRow(
        "no-such-path",
        _VLLM,
        re.compile(r"The model does not support [\w ()]+ API"),
        "A path that the model was not made for.",
        param="model",
        code=_WRONG_MODEL,
    ),
    RefusalRow(
        "no-token",
        _LLAMACPP,
        re.compile(r"vector::_M_range_check"),
        "A number that is none of the model's tokens.",
        instead="One of the numbers is none of the model's tokens.",
    ),
    RefusalRow(
        "too-many-answers",
        _LLAMACPP,
        re.compile(r"^(?:Field )?'?n'?: Value must be between 1 <= value <= (?P<most>\d+)"),
        "An `n` of more answers than the engine makes at once. The message says how many that are.",
        param="n",
        instead="`n` is more than this model's engine answers at once, which is {most}: ask for {most} at most, and"
        " send the request again for more.",
    ),
    RefusalRow(
        "field",
        _LLAMACPP,
        re.compile(r"^(?:Field |Invalid )'?(?P<field>\w+)'?:"),
        "A field that is out of its bounds.",
    ),
    RefusalRow(
        "type",
        _LLAMACPP,
        re.compile(r"\[json\.exception\."),
        "A value of another type.",
    ),
)
"""In this order: the first that fits counts."""

_TOKENS = re.compile(
    r"request \((\d+) tokens|requested (\d+)|length (\d+)\) is|has (\d+) input tokens|^input \((\d+) tokens"
)
_WINDOW = re.compile(
    r"context size \((\d+)|maximum context length is (\d+)|maximum model length of (\d+)|context length (\d+)"
    r"|current batch size: (\d+)"
)


def callers_fault(engine: Backend, path: str, text: str) -> CallersFault | None:
    """What of a request an engine refuses with these words. None: it may be the engine's own fault."""
    for row in REFUSALS:
        found = row.text.search(text) if engine in row.engines else None
        if found:
            named = found.groupdict().get("field")
            param = row.param or named or _PROMPTS.get(path)
            too_long = row.code == TOO_LONG
            return CallersFault(
                param,
                row.code,
                _number(_TOKENS, text) if too_long else None,
                _number(_WINDOW, text) if too_long else None,
                row.instead and row.instead.format_map(found.groupdict()),
            )
    return None


_CONTEXT_SETTINGS = {Backend.LLAMACPP: "n_ctx", Backend.VLLM: "max_model_len"}


def context_advice(engine: Backend, window: int | None, made_for: int | None) -> str:
    """What to do about a prompt that is too long. `window`: tokens of the context; `made_for`: those of the model."""
    setting = _CONTEXT_SETTINGS.get(engine)
    if setting is None or (made_for and window and window >= made_for):
        most = f", which was made for {made_for} tokens" if made_for else ""
        return f"Send a shorter prompt: the model{most}, has no larger context." if most else "Send a shorter prompt."
    most = f"up to {made_for}, which the model was made for" if made_for else "up to what the model was made for"
    return f"Send a shorter prompt, or ask for a larger context by `{setting}`, {most}."


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return next((int(group) for group in found.groups() if group), None) if found else None
