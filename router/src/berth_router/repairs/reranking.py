"""Rows about the order of texts. Clients speak Jina's and Cohere's API, of which llama.cpp has a part."""

from collections.abc import Sequence
from typing import Any, cast

from berth_api.inference import RERANK
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import WholeAnswerRewriter

_LLAMACPP = frozenset({Backend.LLAMACPP})
_PATHS = frozenset({RERANK})
_MOST = 2**31 - 1


def _check_top_n(body: JsonFields) -> None:
    top_n = body["top_n"]
    if type(top_n) is not int or not 1 <= top_n <= _MOST:
        raise InvalidRequestError(
            f"`top_n` must be a whole number from 1; got {str(top_n)[:100]!r}.", param="top_n", code="invalid_value"
        )


def _has_objects(body: JsonFields) -> bool:
    return any(isinstance(document, dict) for document in body["documents"])


def _write_as_texts(body: JsonFields) -> None:
    documents: Any = body["documents"]
    body["documents"] = [_text_of(document) for document in documents]


def _text_of(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    text = cast("JsonFields", document).get("text")
    if not isinstance(text, str):
        raise InvalidRequestError(
            "`documents` must be strings, or objects with a `text`.", param="documents", code="invalid_value"
        )
    return text


def _add_documents(answer: JsonFields, documents: Sequence[Any]) -> None:
    results: Any = answer.get("results")
    if not isinstance(results, list):
        return
    for result in cast("list[JsonFields]", results):
        index = result.get("index")
        if isinstance(index, int) and 0 <= index < len(documents):
            result["document"] = {"text": _text_of(documents[index])}


RERANKING = (
    Repair(
        "top-n",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="top_n",
        kind=RepairKind.REFUSED,
        says="It must be a whole number from 1: the engines fail at others, or read them as all or none.",
        sign=RequestSign(fields=frozenset({"top_n"})),
        request=_check_top_n,
    ),
    Repair(
        "documents",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="documents",
        kind=RepairKind.MAPPED,
        says="An object with a `text` is sent as that text.",
        sign=RequestSign(fields=frozenset({"documents"}), concerns=_has_objects),
        request=_write_as_texts,
    ),
    Repair(
        "return-documents",
        engines=_LLAMACPP,
        paths=_PATHS,
        field="return_documents",
        kind=RepairKind.REPAIRED,
        says="If it is true, each result has its `document`, as those of vllm always have.",
        sign=RequestSign(
            fields=frozenset({"return_documents"}), concerns=lambda body: body["return_documents"] is True
        ),
        whole=lambda asked: WholeAnswerRewriter(lambda answer: _add_documents(answer, asked.body["documents"])),
    ),
)
