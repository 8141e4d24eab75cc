"""The row about how likely a prompt is, which lm-eval's loglikelihood asks for: `echo` with `logprobs`.

llama.cpp tells how likely tokens are only of those that it makes, and tells it as if nothing had been forced. So it
gets the first token as the prompt, and a grammar that allows the other tokens alone, one after the other.
"""

from typing import Any, cast

from berth_api.inference import COMPLETIONS
from berth_api.model_deployment import Backend
from berth_router.errors import EngineFailedError, InvalidRequestError
from berth_router.repairs.completions import LogprobLists, ask_for_one, choices_of, echoes_logprobs, refused
from berth_router.repairs.refusals import TOO_LONG
from berth_router.repairs.repair import JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import WholeAnswerRewriter

_CHANGES_TOKENS = ("grammar", "json_schema", "response_format", "stop")


def _force_prompt(body: JsonFields) -> None:
    """The first token as the prompt, and the grammar."""
    tokens = _only_prompt(body["prompt"])
    if not tokens:
        raise refused(
            "echo",
            "with `logprobs` needs one `prompt`, as a list of tokens, with backend llamacpp; POST /tokenize makes them",
        )
    for field in ("stream", "n", *_CHANGES_TOKENS):
        if body.get(field) not in ((None, 1) if field == "n" else (None, False, [], "")):
            raise refused(field, "cannot be with `echo` and `logprobs` with backend llamacpp")
    forced = " ".join([f"<[{token}]>" for token in tokens[1:]])
    if forced:
        body["grammar"] = f"root ::= {forced} (!<[{_NO_TOKEN}]>)*"
    body["prompt"] = tokens[:1]
    if body.get("max_tokens") is not None:
        body["max_tokens"] += len(tokens) - 1
    ask_for_one(body)


def _check_length(body: JsonFields, window: int) -> None:
    """Raises InvalidRequestError where the prompt is too long: of what it gets, the engine could not tell."""
    tokens = len(_only_prompt(body["prompt"]))
    if tokens > window:
        raise InvalidRequestError(
            f"The prompt has {tokens} tokens, which exceeds the available context size ({window} tokens). Ask for a"
            " larger context (n_ctx), up to what the model was made for.",
            param="prompt",
            code=TOO_LONG,
        )


_NO_TOKEN = 2**31 - 1
"""The id of no token: every token is another one."""


def _only_prompt(prompt: Any) -> list[int]:
    if isinstance(prompt, list) and len(cast("list[Any]", prompt)) == 1 and isinstance(prompt[0], list):
        prompt = cast("list[Any]", prompt[0])
    tokens = cast("list[Any]", prompt) if isinstance(prompt, list) else []
    right = all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in tokens)
    return tokens if right else []


_LISTS: JsonFields = {"tokens": "", "token_logprobs": None, "top_logprobs": None, "text_offset": 0}
"""What the lists have of a prompt's first token."""


class ForcedPrompt:
    """Makes the answer to a forced prompt one that begins with the prompt."""

    def __init__(self, body: JsonFields) -> None:
        self._prompt_tokens = len(_only_prompt(body["prompt"]))
        self._lists = LogprobLists(body["logprobs"])
        self._ends_with_prompt = body.get("max_tokens") == 0

    def change(self, answer: JsonFields) -> None:
        """Changes the answer in place. Raises EngineFailedError."""
        self._lists.change(answer)
        for choice in choices_of(answer):
            lists: JsonFields = choice.get("logprobs") or dict.fromkeys(_LISTS, ())
            if len(lists["tokens"]) < self._prompt_tokens - 1:
                raise EngineFailedError(
                    "The engine ended within the prompt, which has the token with which answers end.",
                    code="engine_error",
                )
            if self._ends_with_prompt:  # of a prompt of one token, the engine makes another one all the same
                lists = {name: lists[name][: self._prompt_tokens - 1] for name in _LISTS}
                choice["text"] = "".join(lists["tokens"])
            choice["logprobs"] = {name: [first, *lists[name]] for name, first in _LISTS.items()}
        usage = answer.get("usage")
        if isinstance(usage, dict):
            made = cast("JsonFields", usage)
            more = 0 if self._ends_with_prompt else made["total_tokens"] - self._prompt_tokens
            made |= {
                "completion_tokens": more,
                "prompt_tokens": self._prompt_tokens,
                "total_tokens": self._prompt_tokens + more,
            }


ECHOED_LOGPROBS = Repair(
    "echo-logprobs",
    engines=frozenset({Backend.LLAMACPP}),
    paths=frozenset({COMPLETIONS}),
    field="echo, logprobs",
    kind=RepairKind.REPAIRED,
    says=(
        "How likely each token of the prompt is. The prompt must be one list of tokens; it is made like an answer,"
        " token by token, which takes as long. The text of its first token is left out."
    ),
    sign=RequestSign(frozenset({"echo"}), concerns=echoes_logprobs),
    window=_check_length,
    request=_force_prompt,
    whole=lambda asked: WholeAnswerRewriter(ForcedPrompt(asked.body).change),
)
