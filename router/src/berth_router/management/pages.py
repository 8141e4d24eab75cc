"""The pages for people: what is at `/`, and the API to try out, without anything from the internet."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

_GREETING = "Ollama is running"
"""What clients of Ollama look for at `/`, some of them word for word."""

_TOOLS = ("curl/", "wget/", "httpie/")
"""Programs with which people ask by hand, as they name themselves."""

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_HTML = Path(__file__).with_name("html")
_DAY = {"cache-control": "public, max-age=86400"}


def page_routes() -> APIRouter:
    """The routes of the pages."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def greet(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        headers = request.headers
        kind = greeting_for(headers.get("accept", ""), headers.get("user-agent", ""))
        vary = {"vary": "accept, user-agent"}
        if kind == "html":
            return HTMLResponse(_page("home.html"), headers=vary)
        text = _GREETING if kind == "ollama" else _for_hands(str(request.base_url).rstrip("/"))
        return PlainTextResponse(text, headers=vary)

    @routes.get("/docs")
    async def show_api() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return HTMLResponse(_page("api.html"))

    @routes.get("/docs/swagger-ui-bundle.js")
    @routes.get("/docs/swagger-ui.css")
    async def send_asset(request: Request) -> FileResponse:  # pyright: ignore[reportUnusedFunction]
        name = request.url.path.rpartition("/")[2]
        return FileResponse(_assets() / name, media_type=_ASSETS[name], headers=_DAY)

    return routes


def greeting_for(accept: str, agent: str) -> str:
    """`html` for a browser, `text` for whoever asks by hand, `ollama` for a program that looks for an Ollama."""
    if "text/html" in accept.lower():
        return "html"
    return "text" if agent.lower().startswith(_TOOLS) else "ollama"


def _for_hands(url: str) -> str:
    return f"""\
Berth is running.

  OpenAI's API      {url}/v1            (models: {url}/v1/models)
  Anthropic's API   {url}/v1/messages
  Ollama's API      {url}/api           ({_GREETING}, as its clients say)
  all paths         {url}/docs          (in a browser)

  curl {url}/v1/chat/completions --json '{{"model": "MODEL", "messages": [{{"role": "user", "content": "Hi"}}]}}'
"""


@cache
def _page(name: str) -> str:
    return (_HTML / name).read_text(encoding="utf-8")


@cache
def _assets() -> Path:
    """The folder of Swagger UI's files. The package that has them is not imported: it would make an application."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package fastapi-offline is not installed")
    return Path(spec.origin).parent / "static"
