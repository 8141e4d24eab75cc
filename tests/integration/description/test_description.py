"""The description of the API against the router: schemathesis makes requests of it, right and wrong ones.

No answer may be a 5xx, have a status or a content type that the description does not have, or another shape than it
says. The engine, the hub and the operator are the tests' own.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, Kind, Object
from berth_router.settings import RouterSettings
from tests.hub.server import HubServer
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.router.conftest import Serving, served
from tests.unit.router.engine import COMPLETION, Call, Engine, chunk

SEED = 20261127
KEY = "key-of-admin"
MODEL_NAMES = ["tiny", "/models/tiny", "tiny@long"]


async def answer(call: Call) -> None:
    """What an engine answers at any path, streamed or not."""
    if not call.body.get("stream"):
        await call.answer({**COMPLETION, "data": [{"embedding": [0.5, 0.5]}], "content": "Paris."})
        return
    await call.begin_stream()
    await call.stream(chunk("Paris.") + b"data: [DONE]\n\n")
    await call.stream(b"")


class Operator:
    """Makes ready what is asked for, and ends each download at once."""

    def __init__(self, cluster: MemoryCluster, engine: Engine) -> None:
        self._cluster = cluster
        self._statuses: list[tuple[Kind, Object]] = [
            (
                MODEL_DEPLOYMENTS,
                {"phase": "Ready", "endpoint": engine.url, "loadedAt": "2026-01-01T00:00:00Z", "conditions": []},
            ),
            (MODEL_DOWNLOADS, {"phase": "Succeeded", "message": "done"}),
        ]

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            for kind, status in self._statuses:
                tasks.create_task(self._run(kind, status))

    async def _run(self, kind: Kind, status: Object) -> None:
        async for event in self._cluster.watch(kind, "0"):
            if event.type == "ADDED":
                await self._cluster.patch_status(kind, event.object["metadata"]["name"], status)


@asynccontextmanager
async def router(store: Path) -> AsyncGenerator[Serving]:
    """A router whose models run as soon as they are asked for."""
    (store / "tiny").mkdir(parents=True)
    keys = store.parent / "keys"
    keys.mkdir()
    (keys / "admin").write_text(KEY)
    cluster = MemoryCluster()
    with HubServer() as hub:
        hub.repository("acme/tiny").commit({"model.gguf": b"x" * 100})
        settings = RouterSettings.model_validate(
            {
                "model_store": str(store),
                "replica": "router-1",
                "engines": {"llamacpp": ["cpu", "cuda"], "vllm": ["cuda"], "transformers": ["cpu"]},
                "profiles": {"long": {"n_ctx": 8192}},
                "max_deployments": 100_000,
                "hub_endpoint": hub.url,
                "cold_start_deadline": 20,
                "api_keys_dir": str(keys),
                "api_key_scopes": {"admin": ["inference", "manage"]},
            }
        )
        async with Engine() as engine:
            engine.behaviour = answer
            operating = asyncio.create_task(Operator(cluster, engine).run())
            async with served(cluster, engine, settings) as serving:
                await serving.until_ready()
                yield serving
            operating.cancel()
            with suppress(asyncio.CancelledError):
                await operating


def with_models(schema: dict[str, Any]) -> dict[str, Any]:
    """The description, where a model is one that the store has: requests for others would all be answered alike."""
    for described in schema["components"]["schemas"].values():
        if "model" in described.get("properties", {}):
            described["properties"]["model"] = {"type": "string", "enum": MODEL_NAMES}
    return schema


async def test_no_answer_is_a_fault_or_one_that_the_description_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("berth_router.lifecycle.lease_rules.SETTLE", timedelta(seconds=0.05))
    async with router(tmp_path / "models") as serving:
        schema = orjson.loads((await serving.raw("GET", "/openapi.json")).body)
        (tmp_path / "openapi.json").write_bytes(orjson.dumps(with_models(schema)))
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
            "--no-color",
            "run",
            tmp_path / "openapi.json",
            f"--url=http://127.0.0.1:{serving.port}",
            f"--header=Authorization: Bearer {KEY}",
            f"--seed={SEED}",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=5",
            "--no-shrink",
            "--request-timeout=20",
            "--suppress-health-check=all",
            "--generation-database=none",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, f"seed {SEED}\n{output.decode()}"
