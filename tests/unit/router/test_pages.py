"""The pages for people: what is at `/`, and the API to try out."""

import re
from typing import Any

import orjson
import pytest

from berth_api.inference import DETOKENIZE
from berth_router.management.examples import EXAMPLES, MODEL
from berth_router.management.pages import greeting_for
from tests.unit.router.conftest import Serving

JSON = "Content-Type: application/json\r\n"
BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"


async def openapi(serving: Serving) -> dict[str, Any]:
    return orjson.loads((await serving.raw("GET", "/openapi.json")).body)


@pytest.mark.parametrize(
    ("accept", "agent", "kind"),
    [
        ("text/html,application/xhtml+xml", "Mozilla/5.0", "html"),
        ("*/*", "curl/8.9.1", "text"),
        ("*/*", "Wget/1.21", "text"),
        ("*/*", "ollama-python/0.6", "ollama"),
        ("", "", "ollama"),
        ("application/json", "Mozilla/5.0", "ollama"),
    ],
)
def test_a_browser_gets_a_page_hands_get_lines_and_programs_what_they_look_for(
    accept: str, agent: str, kind: str
) -> None:
    assert greeting_for(accept, agent) == kind


@pytest.mark.covers("GET /")
async def test_the_root_leads_on(serving: Serving) -> None:
    page = await serving.raw("GET", "/", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert b"Berth is running" in page.body
    assert b'href="/docs"' in page.body
    lines = (await serving.raw("GET", "/", headers="User-Agent: curl/8.9.1\r\n")).body.decode()
    assert lines.startswith("Berth is running.\n")
    assert "http://x/v1/chat/completions" in lines
    assert "Ollama is running" in lines


async def test_pages_need_nothing_from_elsewhere(serving: Serving) -> None:
    for path in ("/", "/docs"):
        page = (await serving.raw("GET", path, headers=BROWSER)).body.decode()
        for address in re.findall(r"""(?:src|href)=["']([^"']*)""", page):
            assert address.startswith(("/", "data:")), address
            if address.startswith("/"):
                assert (await serving.raw("GET", address)).status == 200, address
    script = await serving.raw("GET", "/docs/swagger-ui-bundle.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert len(script.body) > 1_000_000


async def test_the_api_has_inference_first(serving: Serving) -> None:
    schema = await openapi(serving)
    assert next(iter(schema["paths"])) == "/v1/chat/completions"
    assert [tag["name"] for tag in schema["tags"]][:2] == ["inference", "models"]
    used = {tag for path in schema["paths"].values() for operation in path.values() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in schema["tags"]}


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path not in ("/v1/models/unload", DETOKENIZE)])
async def test_the_examples_run_as_they_are(ready: Serving, path: str) -> None:
    body = (await openapi(ready))["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert body["model"] == MODEL
    reply = await ready.raw("POST", path, orjson.dumps({**body, "model": "tiny"}), JSON)
    assert reply.status == 200, reply.body
