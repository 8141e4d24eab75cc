"""Rows about what stands beside the messages in Anthropic's API: thinking, the choice of tools, the ends of answers."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from berth_api.inference import MESSAGES, MESSAGES_COUNT_TOKENS
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError, wrong_value
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import EventRewriter, WholeAnswerRewriter

_LLAMACPP, _PATHS = frozenset({Backend.LLAMACPP}), frozenset({MESSAGES, MESSAGES_COUNT_TOKENS})


def _kind(value: object) -> object:
    """The type of an object that has one; None for all else."""
    return cast("JsonFields", value).get("type") if isinstance(value, dict) else None


# -- thinking

_THINKS: Mapping[object, bool] = {"enabled": True, "adaptive": True, "disabled": False}


def _has_wrong_thinking(body: JsonFields) -> bool:
    thinking = body["thinking"]
    kind = _kind(thinking)
    return type(kind) is not str or kind not in _THINKS or (kind == "enabled" and not _has_budget(thinking))


def _has_budget(thinking: JsonFields) -> bool:
    budget = thinking.get("budget_tokens")
    return type(budget) is int and budget > 0


def _refuse_thinking(body: JsonFields) -> None:
    thinking = body["thinking"]
    if not isinstance(thinking, dict):
        raise wrong_value("thinking", 'must be an object, such as {"type": "disabled"}', thinking)
    fields = cast("JsonFields", thinking)
    if fields.get("type") == "enabled":
        raise wrong_value(
            "thinking.budget_tokens", "must be a whole number of tokens from 1", fields.get("budget_tokens")
        )
    raise wrong_value("thinking.type", 'must be "enabled", "adaptive" or "disabled"', fields.get("type"))


def _tell_template(body: JsonFields) -> None:
    """Chat templates read `enable_thinking` (Qwen, GLM) or `thinking` (DeepSeek, Granite), and ignore the other."""
    thinks = _THINKS[_kind(body["thinking"])]
    stated = body.get("chat_template_kwargs")
    own: JsonFields = cast("JsonFields", stated) if isinstance(stated, dict) else {}
    body["chat_template_kwargs"] = {"enable_thinking": thinks, "thinking": thinks, **own}


# -- tool_choice

_CHOICES = ("auto", "any", "tool", "none")


def _is_unknown_choice(body: JsonFields) -> bool:
    return _kind(body["tool_choice"]) not in _CHOICES


def _refuse_choice(body: JsonFields) -> None:
    choice = body["tool_choice"]
    if not isinstance(choice, dict):
        raise wrong_value("tool_choice", 'must be an object, such as {"type": "auto"}', choice)
    shown = _kind(cast("JsonFields", choice))
    raise wrong_value("tool_choice.type", 'must be "auto", "any", "tool" or "none"', shown)


def _wants_no_tool(body: JsonFields) -> bool:
    return _kind(body["tool_choice"]) == "none"


def _leave_out_tools(body: JsonFields) -> None:
    del body["tool_choice"]
    body.pop("tools", None)


def _wants_one_call(body: JsonFields) -> bool:
    choice = body["tool_choice"]
    return isinstance(choice, dict) and cast("JsonFields", choice).get("disable_parallel_tool_use") is True


def _is_call(block: object) -> bool:
    return _kind(block) == "tool_use"


def _keep_one_call(answer: JsonFields) -> None:
    blocks: list[Any] = answer["content"]
    first = next((block for block in blocks if _is_call(block)), None)
    answer["content"] = [block for block in blocks if block is first or not _is_call(block)]


class _OneCall:
    """Leaves out of a stream the calls after the first."""

    def __init__(self) -> None:
        self._called = False
        self._left_out: set[object] = set()
        """Indices of blocks."""

    def change(self, event: JsonFields) -> bool:
        """Whether the event stays."""
        if _is_call(event.get("content_block")):
            if self._called:
                self._left_out.add(event.get("index"))
            self._called = True
        return "index" not in event or event["index"] not in self._left_out


# -- stop_sequences


def _has_wrong_stops(body: JsonFields) -> bool:
    stops = body["stop_sequences"]
    return type(stops) is not list or not all(type(stop) is str for stop in cast("list[Any]", stops))


def _refuse_stops(body: JsonFields) -> None:
    raise wrong_value("stop_sequences", "must be a list of texts", body["stop_sequences"])


def _name_reason(ended: JsonFields) -> None:
    """Gives the reason for the end of an answer: llama.cpp names the text that ended it, and says `end_turn`."""
    if ended.get("stop_sequence") is None:
        return
    if ended.get("stop_reason") == "end_turn":
        ended["stop_reason"] = "stop_sequence"
    else:  # calls of tools that are whole count more
        ended["stop_sequence"] = None


def _name_reason_of_event(event: JsonFields) -> None:
    delta = event.get("delta")
    if event.get("type") == "message_delta" and isinstance(delta, dict):
        _name_reason(cast("JsonFields", delta))


# -- what only Anthropic's servers have


def _refuse_service(field: str, instead: str) -> Callable[[JsonFields], None]:
    def refuse(_: JsonFields) -> None:
        raise InvalidRequestError(f"`{field}` cannot be met: {instead}.", param=field, code="unsupported_value")

    return refuse


_SERVICES = tuple(
    Repair(
        f"no-{field}",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field=field,
        kind=RepairKind.REFUSED,
        says=f"Any, as {why}.",
        sign=RequestSign(frozenset({field}), concerns=lambda body, field=field: body[field] != []),
        request=_refuse_service(field, why),
    )
    for field, why in (
        ("mcp_servers", "no engine here calls tools of other servers"),
        ("container", "no engine here runs code"),
    )
)


ANTHROPIC_FIELDS = (
    Repair(
        "wrong-thinking",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="thinking",
        kind=RepairKind.REFUSED,
        says="A type that there is not, and `enabled` without `budget_tokens`.",
        sign=RequestSign(frozenset({"thinking"}), concerns=_has_wrong_thinking),
        request=_refuse_thinking,
    ),
    Repair(
        "thinking",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="thinking",
        kind=RepairKind.MAPPED,
        says=(
            "The chat template is told whether to have the model think: `enable_thinking` and `thinking` in"
            " `chat_template_kwargs`, unless the request states them. `enabled` and `adaptive` are true. A model whose"
            " template knows of no thoughts answers as always."
        ),
        sign=RequestSign(frozenset({"thinking"})),
        request=_tell_template,
    ),
    Repair(
        "anthropic-tool-choice",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="tool_choice",
        kind=RepairKind.REFUSED,
        says="What is no choice of Anthropic's API.",
        sign=RequestSign(frozenset({"tool_choice"}), concerns=_is_unknown_choice),
        request=_refuse_choice,
    ),
    Repair(
        "anthropic-no-tool-wanted",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="tool_choice",
        kind=RepairKind.REPAIRED,
        says="`none`: the engine, which takes it for `auto`, does not get the `tools`.",
        sign=RequestSign(frozenset({"tool_choice"}), concerns=_wants_no_tool),
        request=_leave_out_tools,
    ),
    Repair(
        "anthropic-one-call",
        engines=_LLAMACPP,
        paths=frozenset({MESSAGES}),
        field="tool_choice",
        kind=RepairKind.REPAIRED,
        says="With `disable_parallel_tool_use`, calls of tools after the first are left out of the answer.",
        sign=RequestSign(frozenset({"tool_choice"}), concerns=_wants_one_call),
        whole=lambda _: WholeAnswerRewriter(_keep_one_call),
        stream=lambda _: EventRewriter(_OneCall().change),
    ),
    Repair(
        "wrong-stop-sequences",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="stop_sequences",
        kind=RepairKind.REFUSED,
        says="What is no list of texts.",
        sign=RequestSign(frozenset({"stop_sequences"}), concerns=_has_wrong_stops),
        request=_refuse_stops,
    ),
    Repair(
        "stop-sequence",
        engines=_LLAMACPP,
        paths=frozenset({MESSAGES}),
        field="stop_sequences",
        kind=RepairKind.REPAIRED,
        says="An answer that one of them ended has the `stop_reason` `stop_sequence`.",
        sign=RequestSign(frozenset({"stop_sequences"}), concerns=lambda body: bool(body["stop_sequences"])),
        whole=lambda _: WholeAnswerRewriter(_name_reason),
        stream=lambda _: EventRewriter(_name_reason_of_event),
    ),
    *_SERVICES,
)
