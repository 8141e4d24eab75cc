"""Every way in which the router refuses or fails, in OpenAI's shape.

APIError
├── InvalidRequestError      400  a field is wrong; `param` names it
│   ├── AuthenticationError      401  no API key, or one that is not valid
│   ├── PermissionDeniedError    403  the API key lacks a scope
│   ├── NotOfferedError          403  this installation does not do that
│   ├── ForeignPageError         403  a web page asks that may not
│   ├── UnknownModelError        404  no such model in the store
│   ├── UnknownPathError         404  no such path in this API
│   ├── MethodNotAllowedError    405
│   ├── RequestTimeoutError      408  the request did not come in time
│   ├── RequestConflictError     409  something else stands in the way; the message names it
│   ├── RequestTooLargeError     413
│   ├── UnsupportedCodingError   415  the body is packed in a way that is not read
│   ├── HeadTooLargeError        431
│   └── InvalidHttpError              what came is no request that HTTP/1.1 allows; with a status of its own
├── TooManyRequestsError     429  the router already has as many as it takes; Retry-After says when to try again
├── InternalError            500  a fault of the router itself; its log has more under the request's id
├── UnreadableObjectError    500  an object of the cluster is of another version; the message names it
├── EngineFailedError        502  the engine broke off before it answered
└── ServiceUnavailableError  503  not now: `code` says why, Retry-After when to try again
    ├── StartFailedError          the model cannot start; the message has the real reason
    └── DeadlineError             the model was not ready before the request's deadline
"""

import itertools
import re
import secrets
from enum import Enum, auto
from typing import Any

import orjson

MAX_RETRY_AFTER_SECONDS = 120
"""OpenAI's clients ignore a Retry-After beyond this."""

_REQUEST_ID_PREFIX = f"req_{secrets.token_hex(8)}"
_REQUEST_NUMBERS = itertools.count(1)

_VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


OLLAMA_PATHS = "/api/"
"""With this begin the paths of Ollama's API, whose clients read its errors."""

ANTHROPIC_VERSION = "anthropic-version"
"""The header that every client of Anthropic's API sends, and no other."""


class Dialect(Enum):
    """The API in whose shape a client reads errors."""

    OPENAI = auto()
    ANTHROPIC = auto()
    OLLAMA = auto()


_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""Anthropic's types by status. Other statuses: `invalid_request_error` below 500, `api_error` from there on."""


class APIError(Exception):
    """A refusal with its HTTP status and OpenAI's four fields: message, type, param and code."""

    status = 500
    type = "server_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after

    def content(self, dialect: Dialect = Dialect.OPENAI) -> dict[str, Any]:
        """The JSON object that a client reads, in the dialect's shape."""
        if dialect is Dialect.OLLAMA:
            return {"error": self.message}
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        if dialect is Dialect.OPENAI:
            return {"error": error}
        other = "invalid_request_error" if self.type == "invalid_request_error" else "api_error"
        return {"type": "error", "error": {**error, "type": _ANTHROPIC_TYPES.get(self.status, other)}}

    def headers(self) -> dict[str, str]:
        """Headers that the error needs besides the content type."""
        if self.retry_after is None:
            return {}
        return {"retry-after": str(round(min(max(self.retry_after, 1), MAX_RETRY_AFTER_SECONDS)))}


class InvalidRequestError(APIError):
    """A field of the request is wrong. The message says what would be right."""

    status = 400
    type = "invalid_request_error"


def wrong_value(field: str, right: str, value: object, code: str = "invalid_value") -> InvalidRequestError:
    """The error of a field that has this value, None where it is missing. `right`: such as `must be a list`."""
    got = "it is missing" if value is None else f"got {str(value)[:100]!r}"
    return InvalidRequestError(f"`{field}` {right}; {got}.", param=field, code=code)


class AuthenticationError(InvalidRequestError):
    """The request carries no valid API key."""

    status = 401

    def headers(self) -> dict[str, str]:
        """Asks for a key: RFC 6750, section 3."""
        return {"www-authenticate": "Bearer"}


class PermissionDeniedError(InvalidRequestError):
    """The request's API key does not allow this."""

    status = 403

    def headers(self) -> dict[str, str]:
        """Says that the key's scopes are why: RFC 6750, section 3.1."""
        return {"www-authenticate": 'Bearer error="insufficient_scope"'}


class NotOfferedError(InvalidRequestError):
    """This installation offers what was asked to nobody."""

    status = 403


class ForeignPageError(InvalidRequestError):
    """A web page asks whose origin, or whose name for this server, is not among those allowed."""

    status = 403


class RequestConflictError(InvalidRequestError):
    """Something that is there stands in the way of what was asked. The message names it."""

    status = 409


class UnknownModelError(InvalidRequestError):
    """The model is not in the model store. Clients of Ollama look for its words, which need `model`, the name."""

    status = 404

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, model: str | None = None
    ) -> None:
        super().__init__(message, code=code, param=param)
        self._model = model

    def content(self, dialect: Dialect = Dialect.OPENAI) -> dict[str, Any]:
        """The JSON object that a client reads, in the dialect's shape."""
        if dialect is Dialect.OLLAMA and self._model:
            return {"error": f"model '{self._model}' not found"}
        return super().content(dialect)


class UnknownPathError(InvalidRequestError):
    """The API has no such path."""

    status = 404


class MethodNotAllowedError(InvalidRequestError):
    """The path is there, but not for this method."""

    status = 405

    def __init__(self, method: str, path: str, allow: str) -> None:
        super().__init__(f"{path} does not take {method}; it takes {allow}.", code="method_not_allowed")
        self.allow = allow

    def headers(self) -> dict[str, str]:
        """The methods that the path takes: RFC 9110, section 15.5.6."""
        return {"allow": self.allow}


class RequestTooLargeError(InvalidRequestError):
    """The body is longer than the router accepts."""

    status = 413


class UnsupportedCodingError(InvalidRequestError):
    """The body is packed in a way that the router does not read."""

    status = 415

    def headers(self) -> dict[str, str]:
        """The codings that are read: RFC 9110, section 15.5.16."""
        return {"accept-encoding": "gzip, deflate"}


class RequestTimeoutError(InvalidRequestError):
    """The request did not come in time."""

    status = 408

    def __init__(self, message: str) -> None:
        super().__init__(message, code="request_timeout")


class TooManyRequestsError(APIError):
    """The router has as many requests of this caller, or for this model, as it takes at once."""

    status = 429
    type = "rate_limit_error"

    def __init__(self, message: str, *, code: str, retry_after: float = 5) -> None:
        super().__init__(message, code=code, retry_after=retry_after)


class InvalidHttpError(InvalidRequestError):
    """The bytes are no request that HTTP/1.1 allows."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message, code="invalid_http")
        self.status = status


class HeadTooLargeError(InvalidRequestError):
    """The request's head is longer than the router accepts."""

    status = 431


class InternalError(APIError):
    """A fault of the router. The message says nothing about the router's inside."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"The router failed. Its log says more under request id {request_id}.", code="internal_error")


class UnreadableObjectError(APIError):
    """This version of Berth cannot read an object of the cluster. Other objects are not affected."""


class EngineFailedError(APIError):
    """The engine broke off, or its answer is no valid one. Trying again after `retry_after` seconds may work."""

    status = 502

    def __init__(
        self, message: str, *, code: str = "engine_failed", retry_after: float = 2, only_request: bool = False
    ) -> None:
        """`only_request`: the engine died by itself while it had no other request, so this one may be why."""
        super().__init__(message, code=code, retry_after=retry_after)
        self._only_request = only_request

    def headers(self) -> dict[str, str]:
        """Stops OpenAI's clients from repeating by themselves what may have killed an engine."""
        return {**super().headers(), **({"x-should-retry": "false"} if self._only_request else {})}


class ServiceUnavailableError(APIError):
    """The router cannot do it now. Trying again after `retry_after` seconds may work."""

    status = 503

    def __init__(self, message: str, *, code: str, retry_after: float = 5, param: str | None = None) -> None:
        super().__init__(message, code=code, param=param, retry_after=retry_after)


class StartFailedError(ServiceUnavailableError):
    """The model cannot start, for the reason that the operator found."""

    def headers(self) -> dict[str, str]:
        """Stops OpenAI's clients from retrying by themselves, which would keep the reason from their user."""
        return {**super().headers(), "x-should-retry": "false"}


class DeadlineError(ServiceUnavailableError):
    """The request was queued until its deadline. The start goes on, so a later request finds it further."""


def request_id(sent: bytes | None) -> str:
    """The x-request-id that the caller sent, where it is printable and short, else a new one."""
    return sent.decode() if sent and _VALID_REQUEST_ID.fullmatch(sent) else new_request_id()


def new_request_id() -> str:
    """An id that no other request has, of this replica or another: a random start for the process, and a number."""
    return f"{_REQUEST_ID_PREFIX}{next(_REQUEST_NUMBERS):08x}"


def error_event(content: dict[str, Any], dialect: Dialect) -> bytes:
    """What ends a stream with an error: the event of its JSON object; in Ollama's API, whose streams are lines, a line.

    Anthropic's clients look at the event's name.
    """
    if dialect is Dialect.OLLAMA:
        return orjson.dumps(content) + b"\n"
    name = b"event: error\n" if dialect is Dialect.ANTHROPIC else b""
    return name + b"data: " + orjson.dumps(content) + b"\n\n"
