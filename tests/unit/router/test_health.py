"""Health and readiness: what a probe hears when the cluster, or the router's view of it, fails."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from berth_cluster.cluster import Kind, ObjectList, UnavailableError
from berth_router import stats
from berth_router.settings import RouterSettings
from tests.instruments import Instrumented
from tests.unit.cluster.api_server import api_server
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.router.conftest import Serving, served
from tests.unit.router.engine import Engine


async def test_a_router_is_ready_once_it_has_heard_from_the_cluster(serving: Serving) -> None:
    assert (await serving.raw("GET", "/healthz")).status == 200
    assert (await serving.raw("GET", "/readyz")).status == 200


@pytest.mark.covers("GET /health, GET /healthz")
@pytest.mark.in_memory("a fault of the cluster's adapter")
async def test_a_router_that_lost_its_view_asks_to_be_restarted(settings: RouterSettings, engine: Engine) -> None:
    class Broken(MemoryCluster):
        async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
            raise RuntimeError("a fault")

    async with served(Broken(), engine, settings) as serving:
        async with asyncio.timeout(10):
            while (reply := await serving.raw("GET", "/healthz")).status == 200:
                pass
        assert (reply.status, orjson.loads(reply.body)["reason"]) == (503, "the task 'view' ended")


@pytest.mark.covers("GET /readyz")
@pytest.mark.in_memory("its cluster is never to be reached")
async def test_a_cluster_that_is_away_is_no_reason_to_restart(settings: RouterSettings, engine: Engine) -> None:
    class Away(MemoryCluster):
        async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
            raise UnavailableError("the API server cannot be reached")

    async with served(Away(), engine, settings) as serving:
        assert (await serving.raw("GET", "/readyz")).status == 503
        assert (await serving.raw("GET", "/healthz")).status == 200


@pytest.mark.in_memory("what answers here is no cluster at all")
@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b'{"items": [', b'{"metadata": {}}', b"null"])
async def test_a_proxy_that_answers_in_the_clusters_place_is_no_reason_to_restart(
    settings: RouterSettings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    monkeypatch.setattr(stats, "WRITE_SECONDS", 0.01)
    (tmp_path / "api").mkdir()
    async with api_server(tmp_path / "api", answer) as server:
        away = await server.connect()
        try:
            counting = settings.model_copy(update={"stats_config_map": "berth-stats"})
            async with served(Instrumented(away), engine, counting) as serving:
                for kind in ("configmaps", "modeldeployments"):
                    async with asyncio.timeout(20):
                        while sum(kind in path for _, path in server.seen) < 3:  # noqa: ASYNC110 (it only counts)
                            await asyncio.sleep(0.01)
                assert (await serving.raw("GET", "/healthz")).status == 200
                assert (await serving.raw("GET", "/v1/models/stats")).status == 200
                assert (await serving.raw("GET", "/v1/models/download")).status == 503
        finally:
            await away.close()
