"""Rows about the older completions: what llama.cpp has in another shape, and what no engine has."""

from collections import defaultdict
from typing import Any, cast

from berth_api.inference import COMPLETIONS
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError
from berth_router.repairs.repair import EVERY_ENGINE, AnsweredRequest, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import EventRewriter, WholeAnswerRewriter

_LLAMACPP, _PATHS = frozenset({Backend.LLAMACPP}), frozenset({COMPLETIONS})
_MOST_ANSWERS = 8
"""The largest `n`."""


def refused(field: str, message: str) -> InvalidRequestError:
    """The error of a field that cannot be had."""
    return InvalidRequestError(f"`{field}` {message}.", param=field, code="unsupported_value")


# -- no tokens


def _wants_no_tokens(body: JsonFields) -> bool:
    return body["max_tokens"] == 0


def _ask_for_a_token(body: JsonFields) -> None:
    body["max_tokens"] = 1


def _empty(answer: JsonFields) -> None:
    """Takes out the one token that engines make in any case."""
    for choice in choices_of(answer):
        choice["text"], choice["logprobs"] = "", None
    usage = answer.get("usage")
    if isinstance(usage, dict):
        counts = cast("JsonFields", usage)
        counts["completion_tokens"], counts["total_tokens"] = 0, counts.get("prompt_tokens", 0)


# -- logprobs: a number in, four lists out


def _wants_logprobs(body: JsonFields) -> bool:
    wanted = body.get("logprobs")
    return isinstance(wanted, int) and not isinstance(wanted, bool)


def _echoes(body: JsonFields) -> bool:
    return body.get("echo") is True


def echoes_logprobs(body: JsonFields) -> bool:
    """Whether the answer has the prompt, and how likely each of its tokens is."""
    return _echoes(body) and _wants_logprobs(body)


def ask_for_one(body: JsonFields) -> None:
    """Asks for one alternative where none is wanted: llama.cpp would give no `logprobs` at all."""
    body["logprobs"] = max(body["logprobs"], 1)


class LogprobLists:
    """Makes the lists of OpenAI's completions of what chats have: an object for each token."""

    def __init__(self, alternatives: int) -> None:
        self._alternatives = alternatives
        self._offsets: defaultdict[int, int] = defaultdict(int)
        """Characters of each choice so far."""

    def change(self, answer: JsonFields) -> None:
        """Changes an answer, or one event of a stream, in place."""
        for choice in choices_of(answer):
            logprobs = choice.get("logprobs")
            if isinstance(logprobs, dict):
                tokens = cast("JsonFields", logprobs).get("content")
                if isinstance(tokens, list):
                    choice["logprobs"] = self._lists(choice.get("index", 0), cast("list[JsonFields]", tokens))

    def _lists(self, index: int, tokens: list[JsonFields]) -> JsonFields:
        offsets: list[int] = []
        for token in tokens:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [self._top(token) for token in tokens],
            "text_offset": offsets,
        }

    def _top(self, token: JsonFields) -> JsonFields:
        """The most likely tokens, and the one that was taken: the API has it in any case."""
        best = token.get("top_logprobs", [])[: self._alternatives]
        return {each["token"]: each["logprob"] for each in [*best, token]}


def choices_of(answer: JsonFields) -> list[JsonFields]:
    """The choices of an answer, or of an event."""
    choices = answer.get("choices")
    return [each for each in cast("list[Any]", choices) if isinstance(each, dict)] if isinstance(choices, list) else []


# -- echo: the prompt before the answer


def _check_echoed_texts(body: JsonFields) -> None:
    if not _texts(body):
        raise refused("echo", "needs a `prompt` of text with backend llamacpp: it does not tell the text of tokens")


def _texts(body: JsonFields) -> list[str]:
    """The prompts that are texts; an empty list where one is not."""
    prompt = body["prompt"]
    prompts = cast("list[Any]", prompt) if isinstance(prompt, list) else [prompt]
    return prompts if all(isinstance(each, str) for each in prompts) else []


class PromptEcho:
    """Puts the prompt before the first text of each choice."""

    def __init__(self, body: JsonFields) -> None:
        self._prompts = _texts(body)
        self._times = body.get("n") or 1
        """Answers to each prompt. Whether the engine makes so many is not known here."""
        self._echoed: set[int] = set()

    def change(self, answer: JsonFields) -> None:
        """Changes an answer, or one event of a stream, in place."""
        for choice in choices_of(answer):
            index = choice.get("index", 0)
            place = index // self._times
            if index not in self._echoed and place < len(self._prompts):
                self._echoed.add(index)
                choice["text"] = self._prompts[place] + (choice.get("text") or "")


# -- several answers, and what no engine has


def _repeat_prompts(body: JsonFields) -> None:
    """Each prompt so often: of `n`, llama.cpp takes as many as it has slots, which may be two."""
    times = body["n"]
    if times > _MOST_ANSWERS:
        raise refused("n", f"can be at most {_MOST_ANSWERS} with backend llamacpp")
    prompt = body["prompt"]
    given = cast("list[Any]", prompt) if isinstance(prompt, list) else []
    prompts: list[Any] = given if given and not isinstance(given[0], int) else [prompt]
    body["prompt"] = [each for each in prompts for _ in range(times)]
    del body["n"]


def _has_several_answers(body: JsonFields) -> bool:
    prompt, times = body["prompt"], body.get("n")
    several = isinstance(prompt, list) and len(cast("list[Any]", prompt)) > 1 and not isinstance(prompt[0], int)
    return several or (isinstance(times, int) and times > 1)


def _as_it_is(_: JsonFields) -> None:
    """Changes nothing: a rewriter of events leaves out those that are null in any case."""


def _wants_several(body: JsonFields) -> bool:
    wanted = body.get("n")
    return isinstance(wanted, int) and wanted > 1 and body.get("seed") is None and not echoes_logprobs(body)


def _refuse_best_of(body: JsonFields) -> None:
    if body["best_of"] not in (1, body.get("n") or 1):
        raise refused("best_of", "must be the same as `n`, or left out: engines do not choose among answers")
    del body["best_of"]


def _refuse_suffix(_: JsonFields) -> None:
    raise refused("suffix", "must be left out: engines' completions know only what comes before")


COMPLETIONS_REPAIRS = (
    Repair(
        "no-tokens",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="max_tokens",
        kind=RepairKind.REPAIRED,
        says="0: the answer has no text; the engine makes a token all the same.",
        sign=RequestSign(
            frozenset({"max_tokens"}), concerns=lambda body: _wants_no_tokens(body) and not echoes_logprobs(body)
        ),
        whole=lambda _: WholeAnswerRewriter(_empty),
        stream=lambda _: EventRewriter(_empty),
    ),
    Repair(
        "transformers-no-tokens",
        engines=frozenset({Backend.TRANSFORMERS}),
        paths=_PATHS,
        field="max_tokens",
        kind=RepairKind.REPAIRED,
        says="0: the answer has no text; the engine is asked for a token all the same, as it fails at none.",
        sign=RequestSign(frozenset({"max_tokens"}), concerns=_wants_no_tokens),
        request=_ask_for_a_token,
        whole=lambda _: WholeAnswerRewriter(_empty),
        stream=lambda _: EventRewriter(_empty),
    ),
    Repair(
        "best-of",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="best_of",
        kind=RepairKind.REFUSED,
        says="More than `n`: no engine chooses among answers.",
        sign=RequestSign(frozenset({"best_of"})),
        request=_refuse_best_of,
    ),
    Repair(
        "suffix",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="suffix",
        kind=RepairKind.REFUSED,
        says="A text to come after the answer.",
        sign=RequestSign(frozenset({"suffix"}), concerns=lambda body: body["suffix"] != ""),
        request=_refuse_suffix,
    ),
    Repair(
        "echo",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="echo",
        kind=RepairKind.REPAIRED,
        says="The answer begins with the prompt, which must be text.",
        sign=RequestSign(frozenset({"echo"}), concerns=lambda body: _echoes(body) and not _wants_logprobs(body)),
        request=_check_echoed_texts,
        whole=lambda asked: WholeAnswerRewriter(PromptEcho(asked.body).change),
        stream=lambda asked: EventRewriter(PromptEcho(asked.body).change),
    ),
    Repair(
        "logprobs",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="logprobs",
        kind=RepairKind.MAPPED,
        says="A number: the answer has the lists of completions, and not the objects of chats.",
        sign=RequestSign(frozenset({"logprobs"}), concerns=lambda body: _wants_logprobs(body) and not _echoes(body)),
        request=ask_for_one,
        whole=lambda asked: WholeAnswerRewriter(_lists_for(asked).change),
        stream=lambda asked: EventRewriter(_lists_for(asked).change),
    ),
    Repair(
        "several-completions",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="n",
        kind=RepairKind.MAPPED,
        says="Up to 8, however many requests the engine answers at once; with a `seed`, no more than those.",
        sign=RequestSign(frozenset({"n"}), concerns=_wants_several),
        request=_repeat_prompts,
    ),
    Repair(
        "empty-events",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="stream",
        kind=RepairKind.REPAIRED,
        says="With several answers in one stream: the engine's events that are `null` are left out.",
        sign=RequestSign(frozenset({"prompt"}), concerns=_has_several_answers),
        stream=lambda _: EventRewriter(_as_it_is),
    ),
)


def _lists_for(asked: AnsweredRequest) -> LogprobLists:
    return LogprobLists(asked.body["logprobs"])
