"""How a model is deleted from the store, which are not, and what is left of it after a crash."""

import asyncio
import errno
import threading
from pathlib import Path
from typing import Any

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, MODEL_DOWNLOADS
from berth_router.errors import APIError, UnknownModelError
from berth_router.settings import RouterSettings
from berth_router.store import removal
from berth_router.store.removal import ASIDE, LEFT_OVER_SECONDS, Remover
from tests.unit.formats.weights import write_gguf
from tests.unit.router.conftest import MODEL, InstrumentedCluster, Serving, served
from tests.unit.router.engine import Engine
from tests.unit.router.management import call, models

DELETABLE = {"store_writable": True}

SPEC: dict[str, Any] = {"model": MODEL, "backend": "llamacpp", "device": "cpu"}


async def delete(serving: Serving, name: str) -> tuple[int, Any]:
    return await call(serving, "DELETE", f"/v1/models/inventory/{name}")


def aside(store: Path) -> list[str]:
    """Names of what is being deleted."""
    return [entry.name for entry in store.iterdir() if entry.name.startswith(ASIDE)]


@pytest.mark.covers("deleted", "DELETE /v1/models/inventory/{name}: message")
@pytest.mark.parametrize("settings", [DELETABLE], indirect=True)
@pytest.mark.parametrize("name", ["org/mine", "file.gguf", "models/org/mine"])
async def test_a_model_is_deleted_from_the_store(serving: Serving, store: Path, name: str) -> None:
    write_gguf(store / "org" / "mine" / "model.gguf")
    write_gguf(store / "file.gguf")
    status, answer = await delete(serving, name)
    assert (status, answer["deleted"]) == (200, f"/models/{name.removeprefix('models/')}")
    assert name.removeprefix("models/") not in await models(serving)
    assert not (store / name.removeprefix("models/")).exists()
    assert (store / "org").exists() == ("org" not in name)
    async with asyncio.timeout(10):
        while aside(store):
            await models(serving)


@pytest.mark.covers("DELETE /v1/models/inventory/{name}: 404 model_not_found")
@pytest.mark.parametrize("settings", [DELETABLE], indirect=True)
@pytest.mark.parametrize("name", ["absent", "org", "../tiny", "tiny/..", "tiny/model.gguf", ".deleted-x", "%20"])
async def test_what_is_no_model_is_not_deleted(serving: Serving, store: Path, name: str) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    write_gguf(store / "org" / "mine" / "model.gguf")
    status, _ = await delete(serving, name)
    assert status == 404
    assert (store / "tiny" / "model.gguf").exists()
    assert (store / "org" / "mine" / "model.gguf").exists()


@pytest.mark.covers("409 model_in_use")
@pytest.mark.parametrize("settings", [DELETABLE], indirect=True)
@pytest.mark.parametrize("model", [MODEL, f"{MODEL}/model.gguf"])
async def test_a_model_that_a_deployment_uses_is_not_deleted(serving: Serving, store: Path, model: str) -> None:
    manifest = {"metadata": {"name": "mine"}, "spec": SPEC | {"model": model}}
    created = await serving.cluster.create(
        MODEL_DEPLOYMENTS, {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind, **manifest}
    )
    await serving.cluster.patch_status(MODEL_DEPLOYMENTS, "mine", {"phase": "Sleeping"})
    status, answer = await delete(serving, "tiny")
    assert (status, answer["error"]["code"]) == (409, "model_in_use")
    assert "the ModelDeployment mine" in answer["error"]["message"]
    assert (store / "tiny").exists()
    await serving.cluster.delete(MODEL_DEPLOYMENTS, created["metadata"]["name"])
    assert (await delete(serving, "tiny"))[0] == 200


@pytest.mark.covers("409 model_in_use by a download")
@pytest.mark.parametrize("settings", [DELETABLE], indirect=True)
async def test_a_model_that_is_being_downloaded_is_not_deleted(serving: Serving) -> None:
    _, made = await call(serving, "POST", "/v1/models/download", url="acme/tiny")
    status, answer = await delete(serving, "tiny")
    assert status == 409
    assert made["job_id"] in answer["error"]["message"]
    await serving.cluster.patch_status(MODEL_DOWNLOADS, made["job_id"], {"phase": "Succeeded"})
    assert (await delete(serving, "tiny"))[0] == 200


class MadeMeanwhile:
    """A cluster in which a deployment is made between one list and the next."""

    def __init__(self, cluster: InstrumentedCluster) -> None:
        self._cluster = cluster
        self._lists = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def list(self, kind: Any, labels: Any = None) -> Any:
        if kind == MODEL_DEPLOYMENTS:
            self._lists += 1
            if self._lists == 2:
                manifest = {
                    "apiVersion": kind.api_version,
                    "kind": kind.kind,
                    "metadata": {"name": "new"},
                    "spec": SPEC,
                }
                await self._cluster.create(kind, manifest)
        return await self._cluster.list(kind, labels)


@pytest.mark.in_memory("a deployment at a moment that cannot be hit")
async def test_a_deployment_that_is_made_meanwhile_gets_its_model_back(
    cluster: InstrumentedCluster, store: Path
) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    meanwhile: Any = MadeMeanwhile(cluster)
    with pytest.raises(APIError, match="in use by the ModelDeployment new"):
        await Remover(meanwhile, store).remove("tiny")
    assert (store / "tiny" / "model.gguf").exists()


@pytest.mark.covers("403 store_not_writable")
async def test_a_router_that_may_only_read_deletes_nothing(serving: Serving, store: Path) -> None:
    status, answer = await delete(serving, "tiny")
    assert (status, answer["error"]["code"]) == (403, "store_not_writable")
    assert "routerMayDelete" in answer["error"]["message"]
    assert (store / "tiny").exists()


async def test_what_a_crash_left_is_deleted_once_it_is_old(
    cluster: InstrumentedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / f"{ASIDE}0123" / "model.gguf")
    remover = Remover(cluster, tmp_path)
    remover.begin_sweep().join()
    assert (tmp_path / f"{ASIDE}0123").exists()  # another router may be about to move it back
    monkeypatch.setattr("berth_router.store.removal.LEFT_OVER_SECONDS", -1)
    remover.begin_sweep().join()
    assert aside(tmp_path) == []
    assert LEFT_OVER_SECONDS > 600


@pytest.mark.parametrize("settings", [DELETABLE], indirect=True)
async def test_a_router_starts_and_ends_while_a_slow_store_is_still_swept(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(root: Path, now: float) -> None:
        begun.set()
        may_end.wait(30)

    monkeypatch.setattr(removal, "_sweep", slow)
    async with served(cluster, engine, settings) as serving:
        await serving.until_ready()
        assert begun.is_set()
        assert await models(serving)
    assert not may_end.is_set()
    may_end.set()


async def test_a_sweep_that_fails_is_logged(
    cluster: InstrumentedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(self: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(self))

    monkeypatch.setattr(Path, "iterdir", failing)
    Remover(cluster, tmp_path).begin_sweep().join()
    monkeypatch.undo()
    printed = capsys.readouterr().out
    assert "store_not_swept" in printed
    assert "Input/output error" in printed


async def test_a_model_that_somebody_else_has_just_deleted_is_not_found(
    cluster: InstrumentedCluster,
    tmp_path: Path,
) -> None:
    with pytest.raises(UnknownModelError):
        await Remover(cluster, tmp_path).remove("gone")
