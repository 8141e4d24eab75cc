"""An engine's whole answer to a chat completion → a response."""

from typing import Any

from berth_router.engine_answers.error_text import error_text
from berth_router.engine_answers.json_values import as_object, as_text, engine_object
from berth_router.errors import EngineFailedError
from berth_router.responses.chunks import calls_of, choice_of, logprobs_of, thought_of
from berth_router.responses.items import COMPLETED, NO_ARGUMENTS, Answered, ended_as, text_part, usage_of


def whole_response(answered: Answered, content: bytes) -> bytes:
    """The response. Raises EngineFailedError where the engine's answer makes no sense."""
    answer = engine_object(content)
    if answer.get("error"):
        raise EngineFailedError(error_text(answer), code="engine_error")
    choice = choice_of(answer)
    if not choice:
        raise EngineFailedError("The engine sent an answer without choices.", code="engine_error")
    message = as_object(choice.get("message"))
    output: list[dict[str, Any]] = []
    if thought := thought_of(message):
        output.append(answered.reasoning_item(len(output), thought, COMPLETED))
    calls = list(calls_of(message))
    text = as_text(message.get("content"))
    if text or not (output or calls):
        parts = [text_part(text, logprobs_of(choice))]
        output.append(answered.message_item(len(output), parts, COMPLETED))
    for call in calls:
        index = len(output)
        call_id = call.call_id or answered.item_id("call", index)
        tool = answered.call.tools.name_of(call.name)
        output.append(answered.call_item(index, tool, call_id, call.arguments or NO_ARGUMENTS, COMPLETED))
    reason = as_text(choice.get("finish_reason"))
    status = ended_as(reason)
    output[-1]["status"] = status
    return answered.response(status, output, usage=usage_of(answer.get("usage")), reason=reason)
