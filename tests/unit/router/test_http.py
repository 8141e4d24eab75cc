"""HTTP as clients, proxies and checkers write it."""

from typing import Any

import orjson
import pytest

from tests.unit.router.conftest import MODEL, PROMPT, Serving

CLOSE = "Connection: close\r\n"
"""An answer to HEAD ends nowhere for a reader that takes it for one to GET."""


def json(**fields: Any) -> bytes:
    return orjson.dumps(fields)


@pytest.mark.parametrize("path", ["//v1/models", "/v1/models/", "///v1/models//", "/v1/models/?x=1", "/v1/models?x=/"])
async def test_slashes_that_a_base_url_brought_do_no_harm(serving: Serving, path: str) -> None:
    assert (await serving.raw("GET", path)).status == 200


async def test_a_slash_more_reaches_the_engine_too(ready: Serving) -> None:
    for path in ("//v1/chat/completions", "/v1/chat/completions/"):
        reply = await ready.raw("POST", path, json(model=MODEL, messages=PROMPT))
        assert reply.status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/openapi.json"])
async def test_head_is_get_without_the_body(serving: Serving, path: str) -> None:
    asked, headed = await serving.raw("GET", path), await serving.raw("HEAD", path, headers=CLOSE)
    assert (headed.status, bytes(headed.body)) == (200, b"")
    assert headed.headers["content-length"] == asked.headers["content-length"]


async def test_health_has_the_name_that_other_servers_have_for_it(serving: Serving) -> None:
    assert (await serving.raw("GET", "/health")).status == 200


async def test_an_unknown_path_names_the_nearest(serving: Serving) -> None:
    reply = await serving.raw("POST", "/v1/chat/completion", json())
    assert reply.status == 404
    assert b"Did you mean /v1/chat/completions?" in reply.body
    assert b"Did you mean" not in (await serving.raw("GET", "/xyz")).body


async def test_no_proxy_keeps_a_stream_back(ready: Serving) -> None:
    reply = await ready.raw("POST", "/v1/chat/completions", json(model=MODEL, messages=PROMPT, stream=True))
    assert reply.headers["x-accel-buffering"] == "no"


async def test_anthropics_clients_find_the_requests_id_under_their_name(serving: Serving) -> None:
    reply = await serving.raw("POST", "/v1/messages", json())
    assert reply.headers["request-id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize("length", [504, 505, 512, 513, 5000])
async def test_a_name_of_any_length_is_no_fault_of_the_router(serving: Serving, length: int) -> None:
    reply = await serving.raw("POST", "/v1/chat/completions", json(model="m" * length, messages=PROMPT))
    assert reply.status in (400, 404)
