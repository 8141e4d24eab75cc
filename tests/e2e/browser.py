"""Pages in a real browser: served from this machine under any name, run headless, and asked what came of them."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.conftest import missing
from tests.waiting import PATIENCE_SECONDS

FOREIGN_HOST = "foreign.example"
"""A name of the public Internet to the browser. It resolves to this machine, as an attacker's name may do."""

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PAGE = """<!doctype html><meta charset=utf-8><title>page</title><body><script type=module>
const result = await (async () => {{ {script} }})().catch(error => ({{failed: String(error)}}));
await fetch("/result", {{method: "POST", body: JSON.stringify(result)}});
</script>"""


def chromium() -> str:
    """The browser's program. Skips where there is none, which is a failure where everything must run."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing("a browser", "apt-get install chromium")
    return found or ""


_OPTIONS = (
    "--headless",
    "--no-sandbox",  # root has none, and containers forbid what it needs
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
)


async def shown(folder: Path, url: str) -> str:
    """What a page of this machine holds when its scripts are done, in a browser that reaches nothing else."""
    browser = await asyncio.create_subprocess_exec(
        chromium(),
        *_OPTIONS,
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        url,
        env=_without_proxy(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await asyncio.wait_for(browser.communicate(), 3 * PATIENCE_SECONDS)
    finally:
        if browser.returncode is None:
            browser.terminate()
            await browser.wait()
    return out.decode()


def _without_proxy() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


class Pages:
    """A web server for pages, and a browser that opens them. Use as an async context."""

    def __init__(self, folder: Path) -> None:
        self._program = chromium()
        self._folder = folder
        self._script = ""
        self._result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        app = web.Application()
        app.add_routes([web.get("/", self._page), web.post("/result", self._take)])
        self._runner = web.AppRunner(app)
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def opened(self, host: str, script: str) -> Any:
        """What the script of a page returns that a new browser opens at `host`. The script is the body of a function.

        {"failed": ...}: it threw an error.
        """
        self._script, self._result = script, asyncio.get_running_loop().create_future()
        browser = await asyncio.create_subprocess_exec(
            self._program,
            *_OPTIONS,
            f"--host-resolver-rules=MAP {FOREIGN_HOST} 127.0.0.1",
            f"--user-data-dir={self._folder / 'profile'}",
            f"http://{host}:{self.port}/",
            env=_without_proxy(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(3 * PATIENCE_SECONDS):
                return await self._result
        finally:
            browser.terminate()
            await browser.wait()

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=_PAGE.format(script=self._script), content_type="text/html")

    async def _take(self, request: web.Request) -> web.Response:
        if not self._result.done():
            self._result.set_result(json.loads(await request.text()))
        return web.Response()
