"""Rows about tokens and texts: vLLM and llama.cpp have other names for what they answer."""

from typing import Any

from berth_api.inference import DETOKENIZE, TOKENIZE
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import WholeAnswerRewriter

_MOST_TOKEN = 2**31 - 1


def _check_tokens(body: JsonFields) -> None:
    tokens: Any = body["tokens"]
    if not all(type(token) is int and 0 <= token <= _MOST_TOKEN for token in tokens):
        raise InvalidRequestError(
            "`tokens` must be whole numbers from 0, each one of the model's tokens.",
            param="tokens",
            code="invalid_value",
        )


def _name_text(answer: JsonFields) -> None:
    text = answer.get("content", answer.get("prompt"))
    if text is not None:
        answer |= {"content": text, "prompt": text}


def _count(answer: JsonFields) -> None:
    tokens: Any = answer.get("tokens")
    if isinstance(tokens, list):
        answer.setdefault("count", len(tokens))  # pyright: ignore[reportUnknownArgumentType]


TOKENS = (
    Repair(
        "tokens",
        engines=EVERY_ENGINE,
        paths=frozenset({DETOKENIZE}),
        field="tokens",
        kind=RepairKind.REFUSED,
        says="They must be whole numbers from 0: llamacpp fails at others, or reads them as other tokens.",
        sign=RequestSign(fields=frozenset({"tokens"})),
        request=_check_tokens,
    ),
    Repair(
        "text-names",
        engines=EVERY_ENGINE,
        paths=frozenset({DETOKENIZE}),
        field="answer",
        kind=RepairKind.MAPPED,
        says="The text has both names: `content`, llamacpp's, and `prompt`, vllm's.",
        whole=lambda _: WholeAnswerRewriter(_name_text),
    ),
    Repair(
        "count",
        engines=frozenset({Backend.LLAMACPP}),
        paths=frozenset({TOKENIZE}),
        field="answer",
        kind=RepairKind.REPAIRED,
        says="The answer has the number of tokens, `count`, as vllm's has.",
        whole=lambda _: WholeAnswerRewriter(_count),
    ),
)
