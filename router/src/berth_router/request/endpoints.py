"""The inference paths: what a request to each must have, and which of the API's own fields it may have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

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
    TOKENIZE,
)
from berth_router.errors import Dialect, InvalidRequestError, wrong_value

_JSON_NAMES = {str: "a string", list: "a list", dict: "an object"}

FieldTypes = tuple[type[str] | type[list[Any]] | type[dict[str, Any]], ...]
"""The JSON types that a field may have."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One inference path of the API."""

    path: str
    """The path, the router's and the engine's alike."""
    summary: str
    """What it does, for the API's page."""
    prompts: tuple[str, ...]
    """A request must have one of these fields."""
    prompt_types: FieldTypes
    """The types that such a field may have."""
    output_limit: str | None = None
    """The field that limits the tokens of the answer. None: the answer has no tokens."""
    output_limit_required: bool = False
    """Whether the API requires that field, so that it has no default."""
    samples: bool = False
    """Whether the API's sampling defaults apply."""
    streams: bool = False
    """Whether `stream` makes the answer server-sent events."""
    dialect: Dialect = Dialect.OPENAI
    """The shape of errors that its clients understand."""
    also: tuple[tuple[str, FieldTypes], ...] = ()
    """Further fields that a request must have."""
    aliases: tuple[str, ...] = ()
    """Other paths of the router that are the same. The engine is asked at `path`."""

    def check_prompt(self, body: Mapping[str, Any]) -> None:
        """Raises InvalidRequestError where the body has nothing to answer."""
        for name in self.prompts:
            if name in body and isinstance(body[name], self.prompt_types):
                break
        else:
            name = next((name for name in self.prompts if name in body), self.prompts[0])
            others = "".join(f", or send `{other}`" for other in self.prompts if other != name)
            raise _wrong_type(name, self.prompt_types, others)
        for name, types in self.also:
            if not isinstance(body.get(name), types):
                raise _wrong_type(name, types, "")
        if "stream_options" in body and body["stream_options"] not in _USUAL_STREAM_OPTIONS:
            _check_stream_options(body["stream_options"])


_USUAL_STREAM_OPTIONS = ({"include_usage": True}, None)


def _check_stream_options(options: object) -> None:
    """Raises InvalidRequestError. The options are llama.cpp's to ignore, whatever they are."""
    if not isinstance(options, dict):
        raise wrong_value("stream_options", "must be an object", options)
    usage = cast("dict[str, object]", options).get("include_usage")
    if usage is not None and not isinstance(usage, bool):
        raise wrong_value("stream_options.include_usage", "must be true or false", usage)


def _wrong_type(name: str, types: FieldTypes, otherwise: str) -> InvalidRequestError:
    kinds = " or ".join(_JSON_NAMES[kind] for kind in types)
    return InvalidRequestError(f"`{name}` must be {kinds}{otherwise}.", param=name, code="invalid_value")


INFERENCE_PATHS: Mapping[str, Endpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint(
            CHAT_COMPLETIONS,
            "Answer a conversation",
            ("messages",),
            (list,),
            output_limit="max_tokens",
            samples=True,
            streams=True,
        ),
        Endpoint(
            COMPLETIONS,
            "Continue a text",
            ("prompt",),
            (str, list),
            output_limit="max_tokens",
            samples=True,
            streams=True,
        ),
        Endpoint(
            RESPONSES,
            "Answer, by the Responses API",
            ("input",),
            (str, list),
            "max_output_tokens",
            samples=True,
            streams=True,
        ),
        # Anthropic's API has other defaults than OpenAI's. The engine applies them.
        Endpoint(
            MESSAGES,
            "Answer a conversation, by Anthropic's API",
            ("messages",),
            (list,),
            "max_tokens",
            output_limit_required=True,
            streams=True,
            dialect=Dialect.ANTHROPIC,
        ),
        Endpoint(
            MESSAGES_COUNT_TOKENS,
            "Count the tokens of a conversation, by Anthropic's API",
            ("messages",),
            (list,),
            dialect=Dialect.ANTHROPIC,
        ),
        Endpoint(CHAT_INPUT_TOKENS, "Count the tokens of a conversation", ("messages",), (list,)),
        Endpoint(RESPONSES_INPUT_TOKENS, "Count the tokens of a request of the Responses API", ("input",), (str, list)),
        Endpoint(EMBEDDINGS, "Turn texts into vectors", ("input",), (str, list)),
        # The query of vLLM may be an object, with images.
        Endpoint(
            RERANK,
            "Order texts by how well they fit a query",
            ("query",),
            (str, dict),
            also=(("documents", (list,)),),
            aliases=("/rerank", "/reranking", "/v1/reranking", "/v2/rerank"),
        ),
        # vLLM takes `prompt` or `messages`, llama-server `content`.
        Endpoint(TOKENIZE, "Turn a text into the model's tokens", ("prompt", "content", "messages"), (str, list)),
        Endpoint(DETOKENIZE, "Turn the model's tokens into a text", ("tokens",), (list,)),
        Endpoint(
            INFILL,
            "Fill in the text between two others",
            ("input_prefix",),
            (str,),
            output_limit="max_tokens",
            samples=True,
            streams=True,
            also=(("input_suffix", (str,)),),
        ),
    )
}
"""Every inference path that the router offers."""
