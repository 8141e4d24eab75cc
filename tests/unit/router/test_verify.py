"""What a download would bring: asked of a hub on loopback through its real client."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from berth_router.management.verify import Space
from berth_router.settings import RouterSettings
from berth_router.store import hub_lookup
from tests.hub.faults import Fault
from tests.hub.server import HubServer
from tests.unit.router.conftest import InstrumentedCluster, Serving, served
from tests.unit.router.engine import Engine
from tests.unit.router.management import call

TOKEN = "hf_verysecret"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.tokens.add(TOKEN)
        server.repository("acme/tiny").commit(
            {"config.json": b"{}", "model.safetensors": os.urandom(5000), "model.bin": b"x", "README.md": b"#"}
        )
        yield server


@pytest.fixture
async def asking(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings, hub: HubServer
) -> AsyncIterator[Serving]:
    """A router that knows the hub, and has an engine for safetensors alone."""
    engines = {"engines": {"transformers": ["cpu"]}, "default_backend": "transformers"}
    changed = settings.model_copy(update={"hub_endpoint": hub.url, "min_free_bytes": 100, **engines})
    async with served(cluster, engine, changed) as running:
        yield running


async def verify(serving: Serving, **fields: Any) -> tuple[int, Any]:
    return await call(serving, "POST", "/v1/models/verify-repo", **fields)


@pytest.mark.covers(
    "POST /v1/models/verify-repo: url (request)",
    "POST /v1/models/verify-repo: include (request)",
    "POST /v1/models/verify-repo: exclude (request)",
    "POST /v1/models/verify-repo: repository",
    "private",
    "POST /v1/models/verify-repo: revision",
    "POST /v1/models/verify-repo: destination",
    "files[].name",
    "files[].size",
    "total_bytes",
    "recommended_backends",
)
async def test_a_repository_that_can_be_downloaded(asking: Serving, hub: HubServer) -> None:
    status, found = await verify(asking, url=f"{hub.url}/acme/tiny")
    assert status == 200
    assert found.pop("free_bytes") > 0
    assert len(found.pop("commit")) == 40
    assert found == {
        "repository": "acme/tiny",
        "exists": True,
        "gated": False,
        "private": False,
        "revision": "main",
        "destination": "/models/tiny",
        "files": [
            {"name": "README.md", "size": 1},
            {"name": "config.json", "size": 2},
            {"name": "model.safetensors", "size": 5000},
        ],
        "total_bytes": 5003,
        "quantizations": [],
        "recommended_backends": ["transformers"],
        "downloadable": True,
        "warnings": [],
    }
    assert (await verify(asking, url="acme/tiny", include=["README.md"]))[1]["total_bytes"] == 1


@pytest.mark.covers(
    "POST /v1/models/verify-repo: quantization (request)", "quantizations[].name", "quantizations[].size"
)
async def test_of_several_quantizations_one_must_be_named(asking: Serving, hub: HubServer) -> None:
    hub.repository("acme/many").commit({"many-Q4_K_M.gguf": b"GGUF" * 10, "many-Q8_0.gguf": b"GGUF" * 20})
    _, found = await verify(asking, url="acme/many")
    assert not found["downloadable"]
    assert found["quantizations"] == [{"name": "Q4_K_M", "size": 40}, {"name": "Q8_0", "size": 80}]
    assert "Q4_K_M" in found["warnings"][0]
    _, found = await verify(asking, url="acme/many", quantization="q8_0")
    assert (found["downloadable"], found["destination"], found["total_bytes"]) == (True, "/models/many-Q8_0", 80)
    assert found["recommended_backends"] == []
    assert "no engine that takes these files" in found["warnings"][0]


@pytest.mark.covers("exists", "POST /v1/models/verify-repo: commit")
async def test_what_does_not_exist_is_told(asking: Serving) -> None:
    status, found = await verify(asking, url="acme/absent")
    assert (status, found["exists"], found["downloadable"]) == (200, False, False)
    _, found = await verify(asking, url="acme/tiny@v9")
    assert (found["exists"], found["commit"], found["downloadable"]) == (True, None, False)
    assert found["warnings"]


@pytest.mark.covers("gated", "downloadable")
async def test_a_gated_repository_needs_the_token(
    asking: Serving, hub: HubServer, cluster: InstrumentedCluster, settings: RouterSettings
) -> None:
    hub.repository("acme/gated", gated=True).commit({"config.json": b"{}", "model.safetensors": os.urandom(100)})
    _, found = await verify(asking, url="acme/gated")
    assert (found["exists"], found["gated"], found["downloadable"]) == (True, True, False)
    assert found["warnings"]
    changed = settings.model_copy(
        update={
            "hub_endpoint": hub.url,
            "min_free_bytes": 0,
            "hub_token": RouterSettings.model_validate({"HF_TOKEN": TOKEN}).hub_token,
        }
    )
    async with Engine() as engine, served(cluster, engine, changed) as trusted:
        _, found = await verify(trusted, url="acme/gated")
    assert (found["gated"], found["downloadable"]) == (True, True)
    assert TOKEN not in str(found)


@pytest.mark.covers("POST /v1/models/verify-repo: destination (request)", "warnings")
async def test_a_place_that_is_taken_is_told(asking: Serving, settings: RouterSettings) -> None:
    (Path(settings.model_store) / "tiny" / "model.gguf").write_bytes(b"GGUF")
    _, found = await verify(asking, url="acme/tiny")
    assert not found["downloadable"]
    assert "/models/tiny holds something that was not downloaded" in found["warnings"][0]


@pytest.mark.covers("free_bytes")
async def test_a_model_that_does_not_fit_is_told(asking: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(_: Space) -> int:
        return 5102

    monkeypatch.setattr(Space, "free", free)
    _, found = await verify(asking, url="acme/tiny")
    assert not found["downloadable"]
    assert "needs 5003 bytes. The model store has 5102 left, of which 100 stay free" in found["warnings"][0]


async def test_a_hub_that_fails_is_503(asking: Serving, hub: HubServer) -> None:
    hub.faults.append(Fault("api", status=500, times=100))
    status, answer = await verify(asking, url="acme/tiny")
    assert (status, answer["error"]["code"]) == (503, "hub_unavailable")


@pytest.mark.covers("503 hub_unavailable")
async def test_a_hub_that_hangs_holds_nobody_up(
    asking: Serving, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_lookup, "LOOKUP_SECONDS", 0.2)
    with hub.lock:  # the hub does not answer meanwhile
        status, answer = await verify(asking, url="acme/tiny")
    assert (status, answer["error"]["code"]) == (503, "hub_unavailable")
    assert "0.2 s" in answer["error"]["message"]


@pytest.mark.covers("503 hub_setting_wrong")
async def test_a_variable_that_keeps_the_router_from_the_hub_is_named(
    asking: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "soon")
    status, answer = await verify(asking, url="acme/tiny")
    assert (status, answer["error"]["code"]) == (503, "hub_setting_wrong")
    assert answer["error"]["message"].startswith("HF_HUB_ETAG_TIMEOUT is 'soon': it must be ")


async def test_another_host_is_never_asked(asking: Serving, hub: HubServer) -> None:
    asked = len(hub.requests)
    status, answer = await verify(asking, url=f"{hub.cdn_url}/acme/tiny")
    assert (status, answer["error"]["param"]) == (400, "url")
    assert len(hub.requests) == asked
