"""Rows about fields of OpenAI's chats that no engine has, or that llama.cpp reads in another way."""

from collections.abc import Callable
from typing import Any, cast

import orjson

from berth_api.inference import CHAT_COMPLETIONS, TOKENIZE
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError
from berth_router.repairs.completions import choices_of
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import EventRewriter, WholeAnswerRewriter

_CHAT, _LLAMACPP = frozenset({CHAT_COMPLETIONS}), frozenset({Backend.LLAMACPP})

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
"""Those of OpenAI's API, of all its models together."""


def _refuse(field: str, right: str, code: str = "unsupported_value") -> Callable[[JsonFields], None]:
    def refuse(_: JsonFields) -> None:
        raise InvalidRequestError(f"`{field}` {right}.", param=field, code=code)

    return refuse


def _refused(
    field: str, says: str, right: str, concerns: Callable[[JsonFields], bool] | None = None, **code: str
) -> Repair:
    return Repair(
        f"chat-{field.replace('_', '-')}",
        engines=EVERY_ENGINE,
        paths=_CHAT,
        field=field,
        kind=RepairKind.REFUSED,
        says=says,
        sign=RequestSign(frozenset({field}), concerns=concerns),
        request=_refuse(field, right, **code),
    )


# -- logprobs


def _wants_few_logprobs(body: JsonFields) -> bool:
    return body["logprobs"] is True and not body.get("top_logprobs")


def _ask_for_one(body: JsonFields) -> None:
    body["top_logprobs"] = 1


def _without_alternatives(answer: JsonFields) -> None:
    for choice in choices_of(answer):
        logprobs: Any = choice.get("logprobs")
        if isinstance(logprobs, dict):
            for token in cast("list[JsonFields]", cast("JsonFields", logprobs).get("content") or []):
                token["top_logprobs"] = []


# -- arguments of calls that were cut


def _messages(body: JsonFields) -> list[JsonFields]:
    return [each for each in cast("list[Any]", body["messages"]) if isinstance(each, dict)]


def _calls(message: JsonFields) -> list[JsonFields]:
    calls = message.get("tool_calls")
    return [each for each in cast("list[Any]", calls) if isinstance(each, dict)] if isinstance(calls, list) else []


def _is_broken(arguments: object) -> bool:
    if not isinstance(arguments, str):
        return False
    try:
        orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return True
    return False


def _has_broken_calls(body: JsonFields) -> bool:
    """Whether a call of the conversation was cut. Only requests with tools are looked through for one."""
    return any(_is_broken(_function(call).get("arguments")) for message in _messages(body) for call in _calls(message))


def _function(call: JsonFields) -> JsonFields:
    function = call.get("function")
    return cast("JsonFields", function) if isinstance(function, dict) else {}


def _mend_calls(body: JsonFields) -> None:
    for message in _messages(body):
        for call in _calls(message):
            function = _function(call)
            arguments = function.get("arguments")
            if _is_broken(arguments):
                text = cast("str", arguments).strip()
                function["arguments"] = orjson.dumps({"not_whole": text}).decode() if text else "{}"


CHAT_FIELDS = (
    _refused(
        "functions", "The older form of `tools`.", "is the older form of `tools`, which no engine has: send those"
    ),
    _refused(
        "function_call",
        "The older form of `tool_choice`.",
        "is the older form of `tool_choice`, which no engine has: send that one",
    ),
    _refused("audio", "Spoken answers.", "must be left out: no engine answers with sound"),
    _refused(
        "modalities",
        "All but `text`.",
        'must be ["text"], or left out: engines answer with text alone',
        lambda body: body["modalities"] != ["text"],
    ),
    _refused("web_search_options", "A search.", "must be left out: no engine searches the web"),
    _refused(
        "reasoning_effort",
        "What is none of the API's.",
        f"must be one of {', '.join(_EFFORTS)}",
        lambda body: body["reasoning_effort"] not in _EFFORTS,
        code="invalid_value",
    ),
    _refused(
        "chat_template_kwargs",
        "What is no object.",
        "must be an object: the arguments of the model's template",
        lambda body: not isinstance(body["chat_template_kwargs"], dict),
        code="invalid_value",
    ),
    Repair(
        "chat-logprobs",
        engines=_LLAMACPP,
        paths=_CHAT,
        field="logprobs",
        kind=RepairKind.REPAIRED,
        says="Without `top_logprobs`, or with 0: no alternatives. The engine would give 20 of them, or no `logprobs`.",
        sign=RequestSign(frozenset({"logprobs"}), concerns=_wants_few_logprobs),
        request=_ask_for_one,
        whole=lambda _: WholeAnswerRewriter(_without_alternatives),
        stream=lambda _: EventRewriter(_without_alternatives),
    ),
    Repair(
        "broken-calls",
        engines=EVERY_ENGINE,
        paths=_CHAT,
        field="messages",
        kind=RepairKind.REPAIRED,
        says=(
            "In a request with `tools`: the arguments of an earlier call that are no JSON, as they were cut, become the"
            " text of an argument `not_whole`; empty ones become `{}`. The engine would refuse the conversation."
        ),
        sign=RequestSign(frozenset({"tools"}), concerns=_has_broken_calls),
        request=_mend_calls,
    ),
    Repair(
        "tokens-of-messages",
        engines=_LLAMACPP,
        paths=frozenset({TOKENIZE}),
        field="messages",
        kind=RepairKind.REFUSED,
        says=(
            "The tokens of a conversation: the engine has those of texts. How many there are says"
            " /v1/chat/completions/input_tokens."
        ),
        sign=RequestSign(frozenset({"messages"})),
        request=_refuse(
            "messages",
            "is not read by backend llamacpp: send a text as `content`, or ask"
            " /v1/chat/completions/input_tokens how many tokens a conversation has",
        ),
    ),
)
