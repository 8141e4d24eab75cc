"""The outcome of a request, and whether it is right."""

import orjson

from tests.integration.serving.asking import BROKEN, BUSY, CUT, POISONED, REFUSED, TOLD, WHOLE, Asked
from tests.integration.serving.prompts import Prompt
from tests.unit.serving.wire import Answer

_BUSY = frozenset(f"too_many_{what}" for what in ("requests", "bodies", "heads", "connections"))
_DONE = b"data: [DONE]"
_ERROR = b'data: {"error"'


class FaultError(Exception):
    """The router did what it must not."""


def judge(asked: Asked, answer: Answer) -> str:
    """The outcome. Raises FaultError where it is not right for the request."""
    outcome = _outcome(asked, answer)
    if outcome not in asked.allowed and outcome != POISONED:
        raise FaultError(f"{outcome}, not {' or '.join(sorted(asked.allowed))}: {_shown(answer)}")
    if asked.closes and answer.whole and not answer.closes:
        raise FaultError(f"it does not say that it is the last: {_shown(answer)}")
    return outcome


def _shown(answer: Answer) -> str:
    whole, body = "whole" if answer.whole else "not whole", answer.body
    return f"{answer.status} {answer.headers}, {whole}, {len(body)} bytes: {body[:300]!r} ... {body[-300:]!r}"


def _outcome(asked: Asked, answer: Answer) -> str:
    if answer.status == 0:
        return CUT
    if answer.status >= 400:
        return _refusal(asked, answer)
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return _stream(asked, answer)
    if not answer.whole:
        return CUT
    if asked.prompt is None:
        if answer.status not in asked.statuses:
            raise FaultError(f"the wrong status: {_shown(answer)}")
        return WHOLE
    return _plain(asked.prompt, asked.name, answer)


def _refusal(asked: Asked, answer: Answer) -> str:
    if not answer.whole:
        return CUT
    if asked.method == "HEAD":
        return REFUSED if answer.status in asked.statuses else BUSY
    try:
        error = answer.error
    except (orjson.JSONDecodeError, KeyError) as failed:
        raise FaultError(f"no error object: {_shown(answer)}") from failed
    if answer.status in (429, 503) and error["code"] in _BUSY:
        return BUSY
    if answer.status in (502, 503):
        return BROKEN
    if answer.status not in asked.statuses:
        raise FaultError(f"refused without a reason: {_shown(answer)}")
    if asked.prompt is None:
        return REFUSED
    if error != asked.prompt.refusal()["error"]:
        raise FaultError(f"another refusal than the engine's: {_shown(answer)}")
    return WHOLE


def _plain(prompt: Prompt, name: str, answer: Answer) -> str:
    if answer.status == 204 and not answer.body:
        return WHOLE
    if b"POISON-" in answer.body:
        return POISONED  # whether that may be is known at the end
    if answer.body != prompt.whole(name):
        raise FaultError(f"another answer than the engine's to {prompt}: {_shown(answer)}")
    return WHOLE


def _stream(asked: Asked, answer: Answer) -> str:
    prompt = asked.prompt
    if prompt is None:
        raise FaultError(f"a stream that nobody asked for: {_shown(answer)}")
    events = [event for event in answer.body.split(b"\n\n") if event and not event.startswith(b":")]
    for number, event in enumerate(events):
        last = number == len(events) - 1
        if event == _DONE and last and number == prompt.count:
            return WHOLE
        if event.startswith(_ERROR) and last:
            return TOLD if answer.whole else CUT
        if event == prompt.event(number, asked.name).rstrip():
            continue
        # A half event is seen to be one: the connection is cut in it, or an error follows.
        followed = not last and events[number + 1].startswith(_ERROR)
        if not followed and (answer.whole or not last):
            raise FaultError(f"event {number} is not the engine's to {prompt}: {event[:300]!r} in {_shown(answer)}")
    if answer.whole:
        raise FaultError(f"a stream that ends without a word to {prompt}: {_shown(answer)}")
    return CUT
