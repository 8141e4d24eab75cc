"""HTTP as clients, proxies and checkers write it."""

from typing import Any

import orjson
import pytest

from berth_router.ollama.endpoints import OLLAMA_ENDPOINTS
from berth_router.request.endpoints import INFERENCE_PATHS
from tests.unit.router.conftest import MODEL, PROMPT, Reply, Serving

CLOSE = "Connection: close\r\n"
"""An answer to HEAD ends nowhere for a reader that takes it for one to GET."""


def json(**fields: Any) -> bytes:
    return orjson.dumps(fields)


def json_of(reply: Reply) -> Any:
    return orjson.loads(reply.body)


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


@pytest.mark.covers("404 unknown_path")
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/audio/transcriptions", b"`input_audio`"),
        ("/v1/images/generations", b"No engine here makes images."),
        ("/v1/files/file-1/content", b"Send what a request needs with it."),
    ],
)
async def test_a_path_of_openais_api_that_is_not_here_says_what_to_do_instead(
    serving: Serving, path: str, says: bytes
) -> None:
    reply = await serving.raw("POST", path)
    assert (reply.status, orjson.loads(reply.body)["error"]["code"]) == (404, "unknown_path")
    assert says in reply.body


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/models/download", "GET, HEAD, POST"),
        ("/v1/models/download/job", "DELETE, GET, HEAD"),
        ("/v1/models/unload", "POST"),
        ("/api/tags", "GET, HEAD"),
    ],
)
async def test_a_refused_method_comes_with_all_that_the_path_takes(serving: Serving, path: str, allow: str) -> None:
    reply = await serving.raw("PATCH", path)
    assert (reply.status, reply.headers["allow"]) == (405, allow)


async def test_every_operation_of_the_description_has_every_refusal(serving: Serving) -> None:
    schema = json_of(await serving.raw("GET", "/openapi.json"))
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            statuses = {*operation["responses"]}
            assert {"400", "403", "405", "408", "413", "431", "500", "503"} <= statuses, (method, path)
            assert "422" not in statuses or path in {*INFERENCE_PATHS, *OLLAMA_ENDPOINTS}
            assert ("401" in statuses) is (operation.get("security") != [])
    assert schema["paths"]["/healthz"]["get"]["security"] == []


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
