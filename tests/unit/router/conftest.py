"""A router served on loopback, with a cluster, an engine on loopback, and an operator played by the test."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httptools
import openai
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, Object
from berth_router.app import Router
from berth_router.serving.server import HttpServer
from berth_router.settings import RouterSettings
from tests.instruments import InstrumentedCluster
from tests.unit.router.engine import Engine

ENGINE_KEY = "the-engines-key"
MODEL = "/models/tiny"
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing here is TLS, and reading all certificate authorities for each client takes longer than most tests."""

PROMPT: Any = [{"role": "user", "content": "What is the capital of France?"}]


class Reply:
    """A raw answer, as far as it came."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.status = 0
        self.body = bytearray()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class Serving:
    """A running router and what surrounds it."""

    def __init__(
        self, router: Router, server: HttpServer, cluster: InstrumentedCluster, engine: Engine, port: int
    ) -> None:
        self.router = router
        self.server = server
        self.cluster = cluster
        self.engine = engine
        self.port = port
        self.client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=NO_AUTHORITIES),
        )

    async def ask(self, **fields: Any) -> str:
        """The text of an answer to a plain question."""
        create: Any = self.client.chat.completions.create  # its overloads do not fit to fields that vary
        answer = await create(model=MODEL, messages=PROMPT, **fields)
        return answer.choices[0].message.content or ""

    async def stream(self, **fields: Any) -> str:
        """The text of a streamed answer to a plain question."""
        parts = await self.client.chat.completions.create(model=MODEL, messages=PROMPT, stream=True, **fields)
        return "".join([part.choices[0].delta.content or "" async for part in parts])

    async def deployments(self) -> list[Object]:
        """The deployments there are."""
        return list((await self.cluster.list(MODEL_DEPLOYMENTS)).items)

    async def until(self, condition: Callable[[list[Object]], bool]) -> list[Object]:
        """The deployments, as soon as they meet the condition."""
        version = (await self.cluster.list(MODEL_DEPLOYMENTS)).resource_version
        found = await self.deployments()
        async with asyncio.timeout(10):
            changes = self.cluster.watch(MODEL_DEPLOYMENTS, version)
            while not condition(found):
                await anext(changes)
                found = await self.deployments()
        return found

    async def created(self) -> str:
        """The name of the only deployment, as soon as it is there."""
        return (await self.until(lambda found: len(found) == 1))[0]["metadata"]["name"]

    async def reported_in_flight(self, count: int) -> None:
        """Returns when router-1 has reported so many requests in flight."""
        await self.until(
            lambda found: found[0].get("status", {}).get("activity", {}).get("router-1", {}).get("inFlight") == count
        )

    async def in_hand(self, count: int) -> None:
        """Returns when this router has so many requests in hand, reported or not."""
        async with asyncio.timeout(10):
            while b'"in_flight":%d}' % count not in (await self.raw("GET", "/v1/models/loaded")).body:
                pass

    async def set_status(self, name: str, **status: Any) -> None:
        """What an operator would write. Returns when the router has seen it: on a real cluster, a moment later."""
        written = await self.cluster.patch_status(MODEL_DEPLOYMENTS, name, status)
        version = int(written["metadata"]["resourceVersion"])
        view = self.router._deployments  # pyright: ignore[reportPrivateUsage]
        async with asyncio.timeout(10):
            while (seen := view.get(name)) and int(seen.resource_version) < version:
                await view.change(name).wait()

    async def make_ready(self, name: str) -> None:
        """Says that the engine serves."""
        now = datetime.now(UTC).isoformat()
        await self.set_status(name, phase="Ready", endpoint=self.engine.url, loadedAt=now, conditions=[])

    async def make_stalled(self, name: str, reason: str, message: str, retry_at: str | None = None) -> None:
        """Says that the deployment cannot start."""
        await self.set_status(
            name,
            phase="Stalled",
            endpoint=None,
            conditions=[{"type": "Stalled", "status": "True", "reason": reason, "message": message}],
            lastFailure={
                "reason": reason,
                "message": message,
                "at": datetime.now(UTC).isoformat(),
                "count": 1,
                "retryAt": retry_at,
            },
        )

    async def until_ready(self) -> None:
        """Returns when the router has heard from the cluster:
        it answers requests before, but does not call itself ready.
        """
        async with asyncio.timeout(10):
            while (await self.raw("GET", "/readyz")).status != 200:  # noqa: ASYNC110 (only the router itself can tell)
                await asyncio.sleep(0.01)

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: str = "",
        before_reading: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        """The answer to a request, or what came of it before the connection was cut."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        reply = Reply()
        parser = httptools.HttpResponseParser(reply)
        try:
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
            )
            async with asyncio.timeout(10):
                if before_reading:
                    await before_reading()
                while not reply.complete and (data := await reader.read(65536)):
                    parser.feed_data(data)
        finally:
            writer.close()
        reply.status = parser.get_status_code()
        return reply


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> RouterSettings:
    """A store with one model. Parametrize it indirectly with the settings that differ."""
    (tmp_path / "tiny").mkdir()
    changed: dict[str, object] = getattr(request, "param", {})
    return RouterSettings.model_validate(
        {"model_store": str(tmp_path), "replica": "router-1", "cold_start_deadline": 30, **changed}
    )


@pytest.fixture
def store(settings: RouterSettings) -> Path:
    """The folder of the models."""
    return Path(settings.model_store)


@asynccontextmanager
async def served(cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings) -> AsyncGenerator[Serving]:
    """A router, listening."""
    keys = {engine.url: ENGINE_KEY}
    router = Router(cluster, settings, engine_key=lambda asked: keys.get(asked.status.endpoint or ""))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with router.serving(listener) as server:
            serving = Serving(router, server, cluster, engine, listener.getsockname()[1])
            yield serving
            await serving.client.close()
            await engine.stop()


@pytest.fixture
async def serving(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Serving]:
    # A lease is given back so long after the last request, and several tests wait for that.
    monkeypatch.setattr("berth_router.lifecycle.lease_rules.SETTLE", timedelta(seconds=0.2))
    async with served(cluster, engine, settings) as running:
        await running.until_ready()
        yield running


@pytest.fixture
async def ready(serving: Serving) -> Serving:
    """A router whose model has been started and answers."""
    asking = asyncio.create_task(serving.ask())
    await serving.make_ready(await serving.created())
    await asking
    return serving
