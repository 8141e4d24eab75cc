"""What the server answers when it refuses or fails, as the command's errors: pure."""

import re
from http import HTTPStatus
from typing import Any, cast

from berth_local.cli.errors import (
    CommandError,
    FailedError,
    KeyRefusedError,
    NotNowError,
    UnknownNameError,
    UsageError,
)
from berth_local.cli.printing import with_names
from berth_local.cli.words import failure_words

_COMMANDS = {
    "GET /v1/models": "`berth list`",
    "GET /v1/models/inventory": "`berth list`",
    "GET /v1/models/loaded": "`berth ps`",
    "POST /v1/models/unload": "`berth stop`",
    "POST /v1/models/download": "`berth pull`",
    "DELETE /v1/models/inventory/{name}": "`berth rm`",
}
_ENDPOINT = re.compile(r"\b(?:GET|POST|DELETE) /v1/[a-z/-]+(?:\{\w+\})?")

_DELETION = re.compile(r"DELETE /v1/models/inventory/([^\s{]*[^\s{.])")

_UNKNOWN = frozenset(
    {"model_not_found", "model_not_loaded", "download_not_found", "profile_not_found", "quantization_not_found"}
)
"""The codes of a name that nothing has."""

_FINAL = frozenset(
    {
        "engine_failed",
        "engine_error",
        "internal_error",
        "wrong_format",
        "model_incomplete",
        "ambiguous_model",
        "invalid_arguments",
        "engine_not_installed",
        "engine_unavailable",
        "engine_args_not_allowed",
        "never_fits",
        "memory_insufficient",
        "name_too_long",
        "store_not_writable",
    }
)
"""The codes of errors that another try does not mend: broken files, what can never fit, faults."""

_WRONG_SETTING = "hub_setting_wrong"
"""The code for a variable of the server that is wrong."""

_NO_OPTION = frozenset({"context_length_exceeded"})
"""The codes of refusals with status 400 for which no option is to blame."""

_OPTIONS = {
    "n_ctx": "--n-ctx",
    "backend": "--backend",
    "device": "--device",
    "temperature": "--temperature",
    "max_tokens": "--max-tokens",
    "ttl": "--ttl",
    "include": "--include",
    "exclude": "--exclude",
    "destination": "--name",
    "quantization": "REPO:QUANT",
    "url": "REPO",
    "model": "MODEL",
}
"""What a field of a request is called on the command line."""

_FIELD = re.compile(r"`(\w+)`")
_NOT_VALID = re.compile(
    r"^`(?P<field>[\w.]+)` is not valid: (?:input|string|list) should (?P<right>(?:be|have) .*); got (?P<got>.*?)\.?$"
)
_NOT_LIVE = re.compile(
    r"^No deployment of (?P<model>\S+) is live with that backend, device and profile\."
    r" GET /v1/models/loaded lists those that are\."
)
_BOUNDS = (
    ("a valid integer", "a whole number"),
    ("less than or equal to ", "at most "),
    ("greater than or equal to ", "at least "),
)


def error_of(status: int, content: Any, path: str) -> CommandError:
    """The error for an answer with this status and content, to a request for this path."""
    error = _told(content)
    if error is None:
        return _of_another_server(status, path)
    code: str | None = error.get("code")
    message = _for_people(error["message"])
    if code in _UNKNOWN:
        return UnknownNameError(message, code)
    if code in _FINAL:
        return FailedError(message, code)
    if code == _WRONG_SETTING:
        return UsageError(message, code)
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return KeyRefusedError(f"{message} --api-key or BERTH_API_KEY gives the key.", code)
        case HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.TOO_MANY_REQUESTS:
            return NotNowError(message, code)
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY if code not in _NO_OPTION:
            return UsageError(message, code)
        case _:
            return FailedError(message, code)


def stream_error_of(event: dict[str, Any]) -> CommandError:
    """The error for an event in a stream: it has no status, but that which it would have had before the stream."""
    error = _told(event)
    wrong = error is not None and error.get("type") == "invalid_request_error"
    return error_of(HTTPStatus.BAD_REQUEST if wrong else HTTPStatus.SERVICE_UNAVAILABLE, event, "the stream")


def _told(content: Any) -> dict[str, Any] | None:
    """The error as Berth and OpenAI tell one, with a message. None: it is told in another way, or not at all."""
    error: Any = cast("dict[str, Any]", content).get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return None
    told = cast("dict[str, Any]", error)
    is_ours = isinstance(told.get("message"), str) and isinstance(told.get("code"), str | None)
    return told if is_ours else None


def _of_another_server(status: int, path: str) -> CommandError:
    """The error for a refusal that is not in Berth's words: of a proxy before it, or at an address that is not its."""
    message = f"the server answered {path} with status {status}, and not as Berth does: is that its address?"
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return KeyRefusedError(message)
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.GATEWAY_TIMEOUT:
            return NotNowError(message)
        case _:
            return FailedError(message)


def _for_people(message: str) -> str:
    """The message in one line, with names for paths, and commands and options in place of endpoints and fields."""
    message = with_names(" ".join(failure_words(message).split()))
    message = _NOT_LIVE.sub(r"\g<model> does not run: `berth ps` lists those that do.", message)
    message = _DELETION.sub(r"`berth rm \1`", message)
    message = _ENDPOINT.sub(lambda found: _COMMANDS.get(found[0], found[0]), message)
    found = _NOT_VALID.match(message)
    if not found:
        return _FIELD.sub(lambda field: _OPTIONS.get(field[1], field[0]), message)
    right = found["right"]
    for theirs, ours in _BOUNDS:
        right = right.replace(theirs, ours)
    return f"{_OPTIONS.get(found['field'], found['field'])} is {found['got']}: it must {right}"
