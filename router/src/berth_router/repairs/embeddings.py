"""Rows about vectors."""

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Any, cast

from berth_api.inference import EMBEDDINGS, RERANK
from berth_api.model_deployment import Backend
from berth_router.errors import EngineFailedError, InvalidRequestError
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import WholeAnswerRewriter

_MOST_DIMENSIONS = 1_000_000


def _check_dimensions(body: JsonFields) -> None:
    dimensions = body["dimensions"]
    if type(dimensions) is not int or not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise InvalidRequestError(
            f"`dimensions` must be a whole number from 1; got {str(dimensions)[:100]!r}.",
            param="dimensions",
            code="invalid_value",
        )


def _cut(answer: JsonFields, dimensions: int) -> None:
    """Cuts each vector to its first numbers, and gives it the length 1 again. Raises APIError."""
    entries: Any = answer.get("data")
    if not isinstance(entries, list):
        raise EngineFailedError("The engine sent an answer without vectors.", code="engine_error")
    for entry in cast("list[JsonFields]", entries):
        entry["embedding"] = _cut_vector(entry.get("embedding"), dimensions)


def _cut_vector(embedding: Any, dimensions: int) -> list[float] | str:
    """The vector in the form in which it came: numbers, or base64 of 32-bit ones. Raises APIError."""
    if not isinstance(embedding, str):
        return _unit(embedding, dimensions)
    try:
        packed = base64.b64decode(embedding, validate=True)
        numbers = struct.unpack(f"<{len(packed) // 4}f", packed)
    except (binascii.Error, struct.error):
        raise EngineFailedError("The engine sent an answer without vectors.", code="engine_error") from None
    return base64.b64encode(struct.pack(f"<{dimensions}f", *_unit(numbers, dimensions))).decode()


def _unit(numbers: Sequence[float], dimensions: int) -> list[float]:
    if dimensions > len(numbers):
        raise InvalidRequestError(
            f"`dimensions` must be at most {len(numbers)} for this model; got {dimensions}.",
            param="dimensions",
            code="invalid_value",
        )
    kept = numbers[:dimensions]
    length = math.hypot(*kept) or 1.0
    return [number / length for number in kept]


def _drop_nulls(body: JsonFields) -> None:
    for name in [name for name, value in body.items() if value is None]:
        del body[name]


EMBEDDINGS_REPAIRS = (
    Repair(
        "null-fields",
        engines=EVERY_ENGINE,
        paths=frozenset({EMBEDDINGS, RERANK}),
        field="null",
        kind=RepairKind.REPAIRED,
        says="A field that is null is left out.",
        sign=RequestSign(null=True),
        request=_drop_nulls,
    ),
    Repair(
        "dimensions",
        engines=frozenset({Backend.LLAMACPP}),
        paths=frozenset({EMBEDDINGS}),
        field="dimensions",
        kind=RepairKind.REPAIRED,
        says=(
            "Each vector is cut to its first `dimensions` numbers and gets the length 1 again, which suits models that"
            " were trained for it (Matryoshka). vllm refuses it for others."
        ),
        sign=RequestSign(fields=frozenset({"dimensions"})),
        request=_check_dimensions,
        whole=lambda asked: WholeAnswerRewriter(lambda answer: _cut(answer, asked.body["dimensions"])),
    ),
)
