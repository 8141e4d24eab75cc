"""An engine's refusal → an error in the caller's API."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import orjson

from berth_api.model_deployment import Backend
from berth_router.engine_answers.error_text import error_text
from berth_router.errors import APIError, Dialect, EngineFailedError, UnknownPathError
from berth_router.repairs.refusals import TOO_LONG, CallersFault, callers_fault, context_advice

_MAX_ENGINE_TEXT = 1000
"""Bytes of an engine's own text that are passed on where the engine sends no error object."""

_OTHER_KEY_SECONDS = 10
"""After which a client may try again: the next engine starts, with the key that routers have now."""

_SHAPE = ("message", "type", "param", "code")


class EngineRefusalError(APIError):
    """An engine refused the request, or failed before it began to answer."""

    def __init__(self, message: str, status: int, sent: dict[str, Any], fault: CallersFault | None) -> None:
        """`sent`: the engine's error object, empty where it sent none."""
        code = sent.get("code") if isinstance(sent.get("code"), str) else None
        param = sent.get("param") if isinstance(sent.get("param"), str) else None
        message = (fault and fault.message) or message
        super().__init__(message, code=fault.code if fault else code, param=(fault and fault.param) or param)
        self.status = HTTPStatus.BAD_REQUEST.value if fault else status
        sent_type = sent.get("type")
        if HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self.type = "invalid_request_error"
        elif isinstance(sent_type, str):
            self.type = sent_type
        self._more = {name: value for name, value in sent.items() if name not in _SHAPE}
        self._fault = fault

    @property
    def excess(self) -> tuple[int, int] | None:
        """Of a prompt that is too long, where the engine tells: its tokens, and those of the context."""
        fault = self._fault
        if fault is None or fault.code != TOO_LONG or not fault.tokens or not fault.window:
            return None
        return fault.tokens, fault.window

    def content(self, dialect: Dialect = Dialect.OPENAI) -> dict[str, Any]:
        """The JSON object that a client reads, with what the engine's error has besides."""
        content = super().content(dialect)
        if dialect is Dialect.OLLAMA:
            return content
        content["error"] |= self._more
        if self._fault and self._fault.code == TOO_LONG:
            too_long = self._too_long(self._fault) if dialect is Dialect.ANTHROPIC else f"{self.message} ({TOO_LONG})"
            content["error"]["message"] = too_long  # some clients of OpenAI's API look for the code in the text
        return content

    def _too_long(self, fault: CallersFault) -> str:
        """In the words that Anthropic's clients look for, to shorten the conversation."""
        numbers = f"{fault.tokens} tokens > {fault.window} maximum. " if fault.tokens and fault.window else ""
        return f"prompt is too long: {numbers}{self.message}"


def engine_refusal(
    engine: Backend, path: str, status: int, content: bytes, made_for: Callable[[], int | None] = lambda: None
) -> APIError:
    """The error for an engine's refusal at a path. `content`: its body, with an error object or without.

    `made_for`: gives the tokens of context that the model was made for, None where that is not known.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return _other_key()
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        parsed = None
    answer = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    sent = answer.get("error")
    if sent:
        message = error_text(answer)
        fields = cast("dict[str, Any]", sent) if isinstance(sent, dict) else {}
        fault = callers_fault(engine, path, message)
        if fault and fault.code == TOO_LONG and fault.message is None:
            # What an engine advises may be impossible.
            message = message.rstrip(".").removesuffix(", try increasing it")
            message = f"{message}. {context_advice(engine, fault.window, made_for())}"
        return EngineRefusalError(message, status, fields, fault)
    detail = answer.get("detail")  # FastAPI's field
    if status == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        # vLLM has only the paths that the model is made for.
        return UnknownPathError(
            "The model's engine does not have this path for this model: embeddings come from embedding models,"
            " an order of texts from rerank models, answers from others.",
            code="path_not_served",
        )
    text = detail if isinstance(detail, str) else content[:_MAX_ENGINE_TEXT].decode(errors="replace")
    fault = callers_fault(engine, path, text)
    message = text if fault else f"The engine answered with status {status}: {text}"
    return EngineRefusalError(message, status, {"code": "engine_error"}, fault)


def _other_key() -> APIError:
    """The client's own key is right: a 401 would say the opposite, and its program would give up."""
    message = (
        "The model's engine asks for another key than this router has: what engines' keys are made from has changed"
        " since it started. It is replaced as soon as no request needs it."
    )
    return EngineFailedError(message, code="engine_key_refused", retry_after=_OTHER_KEY_SECONDS)
