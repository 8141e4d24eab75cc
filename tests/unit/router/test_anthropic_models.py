"""GET /v1/models, and errors, for clients that send `anthropic-version`."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.formats.weights import write_gguf
from tests.unit.router.conftest import Serving

VERSION = "anthropic-version: 2023-06-01\r\n"


async def get(serving: Serving, path: str) -> tuple[int, Any]:
    reply = await serving.raw("GET", path, b"", VERSION)
    return reply.status, orjson.loads(reply.body)


def with_models(store: Path, names: Sequence[str]) -> None:
    for name in names:
        write_gguf(store / name / "model.gguf")


@pytest.mark.covers(
    "data[].type",
    "data[].id, data[].display_name",
    "data[].created_at",
    "data[].max_input_tokens, data[].max_tokens",
)
async def test_the_list_has_the_shape_of_anthropics(serving: Serving, store: Path) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    status, answer = await get(serving, "/v1/models")
    (model,) = answer.pop("data")
    assert (status, answer) == (200, {"has_more": False, "first_id": "tiny", "last_id": "tiny"})
    changed = datetime.fromisoformat(model.pop("created_at"))
    assert changed.timestamp() == int((store / "tiny").stat().st_mtime)
    assert model == {
        "type": "model",
        "id": "tiny",
        "display_name": "tiny",
        "lifecycle": "active",
        "max_input_tokens": 2048,
        "max_tokens": 2048,
    }
    status, one = await get(serving, "/v1/models/tiny")
    assert (status, one) == (200, {**model, "created_at": one["created_at"]})


@pytest.mark.covers("limit, after_id, before_id (query)", "has_more, first_id, last_id")
@pytest.mark.parametrize(
    ("query", "page", "more"),
    [
        ("limit=2", ["a", "b"], True),
        ("limit=2&after_id=b", ["c", "tiny"], False),
        ("limit=1&after_id=b", ["c"], True),
        ("after_id=tiny", [], False),
        ("limit=2&before_id=tiny", ["b", "c"], True),
        ("limit=2&before_id=c", ["a", "b"], False),
        ("limit=1000", ["a", "b", "c", "tiny"], False),
    ],
)
async def test_a_page_is_what_was_asked_for(
    serving: Serving, store: Path, query: str, page: list[str], more: bool
) -> None:
    with_models(store, ["a", "b", "c"])
    status, answer = await get(serving, f"/v1/models?{query}")
    assert (status, [model["id"] for model in answer["data"]], answer["has_more"]) == (200, page, more)
    assert (answer["first_id"], answer["last_id"]) == ((page[0], page[-1]) if page else (None, None))


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("after_id=absent", "after_id"),
        ("after_id=tiny&before_id=tiny", "before_id"),
    ],
)
async def test_a_wrong_page_is_refused(serving: Serving, query: str, param: str) -> None:
    status, answer = await get(serving, f"/v1/models?{query}")
    assert (status, answer["type"], answer["error"]["param"]) == (400, "error", param)


@pytest.mark.parametrize("path", ["/v1/models/absent", "/v1/nowhere"])
async def test_what_there_is_not_is_told_in_anthropics_shape(serving: Serving, path: str) -> None:
    status, answer = await get(serving, path)
    assert (status, answer["type"], answer["error"]["type"]) == (404, "error", "not_found_error")


async def test_a_refusal_of_the_byte_path_has_it_too(serving: Serving) -> None:
    reply = await serving.raw("GET", "/v1/models", b"", f"{VERSION}Origin: http://evil.example\r\n")
    assert (reply.status, orjson.loads(reply.body)["type"]) == (403, "error")
